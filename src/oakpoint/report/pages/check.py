"""The report of ``check``: every layer of a network, and whether the target takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from oakpoint.layers.check.verdicts import KINDS, CheckReport, Kind, LayerVerdict
from oakpoint.layers.check.words import WORDS, cut_words, numbers_words, reasons
from oakpoint.report.parts.blocks import (
    Badge,
    Bar,
    Block,
    Cell,
    Code,
    Column,
    Folded,
    Lines,
    Page,
    Section,
    Table,
    Tone,
    Words,
)
from oakpoint.report.parts.page import html_of
from oakpoint.report.sections.fp16 import ranges_blocks
from oakpoint.report.sections.origin import MADE_BY, made_section

MOST_LAYERS: Final = 500

TONES: Final[dict[Kind, Tone]] = {
    "refused": "fail",
    "untried": "open",
    "caveat": "open",
    "rewritten": "pass",
    "taken": "pass",
}


def check_page(report: CheckReport, *, line: str) -> str:
    """The page as HTML.

    Args:
        report: the verdicts.
        line: the command line.

    Raises:
        OutputError: the page would be too large.
    """
    entries: list[tuple[str, Cell]] = [("target", report.target), ("layers", str(len(report.layers)))]
    entries += [("heads", report.heads)] if report.heads else []
    entries += [("images", str(report.images))] if report.images else []
    page = Page(
        command="oakpoint check",
        title=Path(report.model).name or report.model,
        verdict=_verdict(report),
        summary=_summary(report),
        notices=report.notes,
        entries=entries,
        sections=[
            Section(key="layers", title="Layers", blocks=_layers(report)),
            Section(key="numbers", title="Numbers", blocks=_numbers(report)),
            made_section(line),
        ],
        made_by=MADE_BY,
    )
    return html_of(page)


def _verdict(report: CheckReport) -> Badge:
    if report.of_kind("refused"):
        return Badge("fail", "NOT TAKEN")
    if report.untried or report.of_kind("untried"):
        return Badge("open", "NOT ALL TRIED")
    return Badge("pass", "TAKEN")


def _summary(report: CheckReport) -> str:
    refused = len(report.of_kind("refused"))
    if refused:
        return f"{refused} of {len(report.layers)} layers are not taken by {report.target}."
    if report.untried:
        return f"{report.untried}."
    untried = len(report.of_kind("untried"))
    if untried:
        return f"None was refused, and {untried} of {len(report.layers)} layers could not be tried."
    return f"All {len(report.layers)} layers are taken by {report.target}."


def _layers(report: CheckReport) -> list[Block]:
    total = max(len(report.layers), 1)
    counts: list[list[Cell]] = [
        [Badge(TONES[kind], WORDS[kind]), Bar(len(found) / total, str(len(found)), _bar_tone(kind))]
        for kind in KINDS
        if (found := report.of_kind(kind))
    ]
    caption = "How many layers have which verdict"
    blocks: list[Block] = [Table(caption=caption, columns=[Column("verdict"), Column("layers")], rows=counts)]
    if words := cut_words(report):
        blocks.append(Words(parts=[f"{words[:1].upper()}{words[1:]}."]))
    told = [verdict for kind in KINDS if kind != "taken" for verdict in report.of_kind(kind)]
    if told:
        blocks.append(_table(told, "Layers that are not simply taken, worst first"))
    everything = _table(report.layers, "All layers, in the order of execution")
    blocks.append(Folded(title=f"All {len(report.layers)} layers", blocks=[everything]))
    return blocks


def _bar_tone(kind: Kind) -> Tone:
    return "plain" if TONES[kind] == "pass" else TONES[kind]


def _table(verdicts: list[LayerVerdict] | tuple[LayerVerdict, ...], caption: str) -> Table:
    rows: list[list[Cell]] = [
        [
            Lines([Code(verdict.layer.shown), verdict.layer.operator], aside=True),
            Badge(TONES[verdict.kind], WORDS[verdict.kind]),
            Lines(reasons(verdict)),
        ]
        for verdict in verdicts[:MOST_LAYERS]
    ]
    columns = [Column("layer"), Column("verdict"), Column("why, and what to do")]
    return Table(caption=caption, columns=columns, rows=rows, left_out=len(verdicts) - len(rows))


def _numbers(report: CheckReport) -> list[Block]:
    words = numbers_words(report)
    if not words:
        return [Words(parts=["Nothing was measured: there were no images, or the network could not be run on them."])]
    rows = [(verdict.layer, verdict.numbers) for verdict in report.layers if verdict.numbers is not None]
    overflow = report.target != "myriad" or report.first_infinity is not None
    first = [Words(parts=[f"{words[:1].upper()}{words[1:]}."])] if overflow else []
    return [*first, *ranges_blocks(rows, f"on {report.images} image{'s' if report.images > 1 else ''}")]
