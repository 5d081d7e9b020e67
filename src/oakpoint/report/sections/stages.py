"""The stages of a chain: what each came to, and its figures against their tolerances."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from oakpoint.bundle.records import Check, StageReport, Verdict
from oakpoint.report.parts.blocks import (
    Badge,
    Bar,
    Block,
    Cell,
    Column,
    Folded,
    Lines,
    Link,
    Section,
    Table,
    Tone,
    Words,
)

TONES: Final[dict[Verdict, Tone]] = {Verdict.PASS: "pass", Verdict.FAIL: "fail", Verdict.NOTHING_COMPARED: "open"}
WORDS: Final = {Verdict.PASS: "PASS", Verdict.FAIL: "FAIL", Verdict.NOTHING_COMPARED: "NOT COMPARED"}


MOST_FIGURES: Final = 200
"""Of a stage in a table: a network of hundreds of outputs has thousands."""


def badge(verdict: Verdict) -> Badge:
    """A verdict, to be seen."""
    return Badge(TONES[verdict], WORDS[verdict])


def number_text(value: float) -> str:
    """A figure in few digits; a dash for what could not be measured."""
    if math.isnan(value):
        return "–"
    return ("−" if value < 0 else "") + "∞" if math.isinf(value) else f"{value:.6g}"


def stages_table(reports: Sequence[StageReport]) -> Table:
    """One row for each stage, with a link to its figures."""
    return Table(
        caption="What each stage came to, compared with the one before it",
        columns=[Column("stage"), Column("what its verdict rests on")],
        rows=[
            [Lines([Link(stage_key(number), report.stage), badge(report.verdict)]), report.summary]
            for number, report in enumerate(reports)
        ],
    )


def stage_key(number: int) -> str:
    """Key of a stage's section."""
    return f"stage-{number}"


def stage_sections(reports: Sequence[StageReport], reasons: Mapping[str, Mapping[str, str]]) -> list[Section]:
    """One section for each stage.

    Args:
        reports: of the stages, in order.
        reasons: by stage and figure, where the tolerance comes from, as far as it is known.
    """
    return [
        Section(
            key=stage_key(number),
            title=report.stage,
            badge=badge(report.verdict),
            blocks=stage_blocks(report, reasons.get(report.stage, {})),
        )
        for number, report in enumerate(reports)
    ]


def stage_blocks(report: StageReport, reasons: Mapping[str, str]) -> list[Block]:
    """The summary of a stage, its figures with a tolerance, and behind a line the others."""
    blocks: list[Block] = [Words(parts=[report.summary])]
    if report.checks:
        about = "figure, and where its limit comes from" if reasons else "figure"
        columns = [Column(about), Column("measured", number=True), Column("limit", number=True)]
        columns += [Column("verdict"), Column("used of the tolerance")]
        worst_first = sorted(report.checks, key=lambda check: check.passed)
        told = worst_first if len(worst_first) > MOST_FIGURES else report.checks
        rows = [_row(check, reasons) for check in told[:MOST_FIGURES]]
        caption = f"{report.stage}: figures against their tolerances, over {report.images} pictures"
        more = len(report.checks) - len(rows)
        blocks.append(Table(caption=caption, columns=columns, rows=rows, left_out=more))
    judged = {check.name for check in report.checks}
    others = {name: value for name, value in (report.figures or {}).items() if name not in judged}
    if others:
        rows = [[name, number_text(value)] for name, value in list(others.items())[:MOST_FIGURES]]
        table = Table(
            caption=f"{report.stage}: figures without a tolerance",
            columns=[Column("figure"), Column("measured", number=True)],
            rows=rows,
            left_out=len(others) - len(rows),
        )
        blocks.append(Folded(title=f"{len(others)} more figures, on which no verdict hangs", blocks=[table]))
    if report.claim:
        blocks.append(Words(parts=[report.claim], faint=True))
    return blocks


def _row(check: Check, reasons: Mapping[str, str]) -> list[Cell]:
    sign = "≥" if check.kind == "at_least" else "≤"
    mark = Badge("pass", "ok") if check.passed else Badge("fail", "failed")
    used = _used(check)
    bar: Cell = "–" if used is None else Bar(used, f"{used:.0%}" if used < 10 else "over 1000%", _tone(check))
    reason = [reasons[check.name]] if check.name in reasons else []
    name = Lines([check.name, *reason], aside=True)
    return [name, number_text(check.value), f"{sign} {number_text(check.limit)}", mark, bar]


def _tone(check: Check) -> Tone:
    return "plain" if check.passed else "fail"


def _used(check: Check) -> float | None:
    """Which share of what is allowed was taken; of a lower limit, of what is allowed to be missing from 1."""
    if not math.isfinite(check.value):
        return None
    off, allowed = (check.value, check.limit)
    if check.kind == "at_least":
        off, allowed = 1 - check.value, 1 - check.limit
    if allowed <= 0:
        return 0.0 if check.passed else 1.0
    return max(off, 0.0) / allowed
