"""The report of ``bench``: what a camera computes, how fast, and its last frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from oakpoint.bench.camera.phases import Measured
from oakpoint.bench.camera.table import rows, table
from oakpoint.bundle.records import StageReport, Verdict
from oakpoint.oak.live import LiveFrame
from oakpoint.report.folders import write_text
from oakpoint.report.parts.blocks import Badge, Block, Cell, Code, Column, Page, Section, Still, Table, Words
from oakpoint.report.parts.page import html_of
from oakpoint.report.parts.pictures import Picture
from oakpoint.report.sections.origin import MADE_BY, made_section
from oakpoint.report.sections.stages import TONES, WORDS, stage_blocks
from oakpoint.view.picture import write_image
from oakpoint.view.results.registry import view_of

TABLE_FILE, PICTURE_FILE = "report.md", "last_frame.png"
LAST: Final = "The last frame, with what was found in it."


def bench_page(facts: dict[str, Any], measured: Measured, last: LiveFrame | None, *, line: str) -> str:
    """The page as HTML.

    Args:
        facts: from ``report_facts``.
        measured: what came of each phase.
        last: the last frame; None where there was none.
        line: the command line.

    Raises:
        OutputError: the page would be too large.
    """
    network = facts["network"]
    verdict, failures = measured.verdict, measured.failures
    title = f"{Path(network['name']).name} {network['size'][0]}×{network['size'][1]}"
    notices = [] if network["trained"] else ["RANDOM WEIGHTS: what the network finds means nothing."]
    if facts["measured_on"] == "stand-in":
        notices.append("Measured on a camera's stand-in on this machine: it says nothing of a camera's speed.")
    page = Page(
        command="oakpoint bench",
        title=title,
        verdict=Badge(TONES[verdict], WORDS[verdict]),
        summary=f"{'; '.join(failures)}." if failures else _summary(verdict, facts["measured_on"]),
        notices=notices,
        entries=[("weights", network["weights"]), ("heads", network["heads"]), ("SHAVE cores", str(network["shaves"]))],
        sections=[
            Section(key="figures", title="Figures", blocks=[_table(facts)]),
            Section(key="parity", title="Parity with the simulator", blocks=_parity(measured)),
            *_frames(last),
            made_section(line, _origin(facts)),
        ],
        made_by=MADE_BY,
    )
    return html_of(page)


def write_beside(facts: dict[str, Any], last: LiveFrame | None, folder: Path) -> None:
    """Write the table as Markdown, and the last frame.

    Raises:
        OutputError: one cannot be written.
    """
    write_text(folder / TABLE_FILE, table(facts))
    if last is not None:
        write_image(folder / PICTURE_FILE, view_of(last.result).still(last.image, last.result))


def _summary(verdict: Verdict, measured_on: str) -> str:
    place = "a camera's stand-in" if measured_on == "stand-in" else "the device"
    if verdict is Verdict.PASS:
        return f"What the network gives on {place} is what the simulator gives, within tolerance."
    if verdict is Verdict.FAIL:
        return f"What the network gives on {place} is not what the simulator gives."
    return "Nothing was compared."


def _table(facts: dict[str, Any]) -> Table:
    cells: list[list[Cell]] = [[name, text] for name, text in rows(facts)]
    return Table(caption="What was measured", columns=[Column("what"), Column("figure")], rows=cells)


def _parity(measured: Measured) -> list[Block]:
    report = measured.parity
    if isinstance(report, StageReport):
        return stage_blocks(report, {})
    return [Words(parts=["It was not compared." if report is None else f"It failed: {report.reason}."])]


def _frames(last: LiveFrame | None) -> list[Section]:
    if last is None:
        return []
    picture = Picture(view_of(last.result).still(last.image, last.result))
    label = f"{LAST} {last.result.figure()}."
    return [Section(key="frame", title="Last frame", blocks=[Still(picture=picture, label=label, caption=label)])]


def _origin(facts: dict[str, Any]) -> list[tuple[str, Cell]]:
    network, device = facts["network"], facts["device"]
    items: list[tuple[str, Cell]] = [("file", network["file"]), ("its sha256", Code(network["file_sha256"]))]
    return items + ([(name.replace("_", " "), str(value)) for name, value in device.items()] if device else [])
