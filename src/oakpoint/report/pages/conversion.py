"""The report of ``convert``, ``verify`` and ``demo``: a bundle, its chain, and what was proved of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from oakpoint.bundle.folder import Bundle
from oakpoint.bundle.manifest import Manifest
from oakpoint.bundle.records import StageReport, Verdict
from oakpoint.chain.evidence import Evidence
from oakpoint.report.parts.blocks import Badge, Block, Cell, Page, Section, Still, Words
from oakpoint.report.parts.page import html_of
from oakpoint.report.parts.pictures import Picture
from oakpoint.report.sections.blob_time import blob_time_section
from oakpoint.report.sections.chain import chain_diagram
from oakpoint.report.sections.fp16 import fp16_section
from oakpoint.report.sections.int8 import int8_sections
from oakpoint.report.sections.origin import MADE_BY, notices_of, origin_section, rewrites_section
from oakpoint.report.sections.seen import seen_section, spread_blocks
from oakpoint.report.sections.stages import stage_sections, stages_table


def conversion_page(
    bundle: Bundle,
    reports: Sequence[StageReport],
    evidence: Evidence,
    *,
    command: str,
    line: str = "",
    further: Sequence[Section] = (),
) -> str:
    """The page as HTML.

    Args:
        bundle: the bundle, whose manifest may not be on the disk yet.
        reports: the verdicts on its stages.
        evidence: what was kept of the comparisons.
        command: whose report it is, such as ``oakpoint convert``.
        line: the command line; empty where there was none.
        further: sections before those on numbers.

    Raises:
        OutputError: the page would be too large.
    """
    manifest = bundle.manifest
    page = Page(
        command=command,
        title=title_of(manifest),
        verdict=verdict_of(manifest, reports),
        summary=_summary(manifest, reports),
        notices=notices_of(manifest.weights),
        entries=_entries(manifest),
        sections=[
            _chain_section(manifest, reports),
            seen_section(evidence, takes_image=manifest.interface.size is not None),
            *further,
            Section(key="figures", title="Figures and tolerances", blocks=_figures(reports, evidence),
                    sections=stage_sections(reports, evidence.reasons)),
            *int8_sections(manifest),
            blob_time_section(bundle),
            fp16_section(bundle, evidence.name, evidence.picture),
            rewrites_section(manifest),
            origin_section(manifest, bundle.folder, line),
        ],
        made_by=MADE_BY,
    )  # fmt: skip
    return html_of(page)


def title_of(manifest: Manifest) -> str:
    """The network's name, without the folders of a file."""
    name = Path(manifest.network).name or manifest.network
    return name if manifest.weights.trained else f"{name} (random weights)"


def verdict_of(manifest: Manifest, reports: Sequence[StageReport]) -> Badge:
    """What the whole came to: the worst of it."""
    verdicts = {report.verdict for report in reports}
    if Verdict.FAIL in verdicts or manifest.failure is not None:
        return Badge("fail", "FAIL")
    if Verdict.PASS not in verdicts:
        return Badge("open", "NOT COMPARED")
    return Badge("open", "NOT ALL COMPARED") if Verdict.NOTHING_COMPARED in verdicts else Badge("pass", "PASS")


def _summary(manifest: Manifest, reports: Sequence[StageReport]) -> str:
    failed = next((report for report in reports if report.verdict is Verdict.FAIL), None)
    if failed is not None:
        return f"{failed.stage} failed: {failed.summary}."
    if manifest.failure is not None:
        return f"The conversion did not come to its end: {manifest.failure}."
    if not reports:
        return "Nothing was compared: the bundle holds one model, and nothing that it was made from or into."
    open_ones = [report for report in reports if report.verdict is Verdict.NOTHING_COMPARED]
    if open_ones:
        return f"{open_ones[0].stage}: nothing was compared ({open_ones[0].summary})."
    images = max(report.images for report in reports)
    stages = "The one stage agrees" if len(reports) == 1 else f"All {len(reports)} stages agree"
    return f"{stages} with the form before, within tolerance, on {images} pictures."


def _entries(manifest: Manifest) -> list[tuple[str, Cell]]:
    size, device = manifest.interface.size, manifest.device
    entries: list[tuple[str, Cell]] = [("task", manifest.task.name)]
    if size is not None:
        entries.append(("image size", f"{size[0]}×{size[1]} px"))
    entries.append(
        ("holds", ", ".join(artifact.kind.replace("_", " ") for artifact in manifest.artifacts) or "nothing")
    )
    if manifest.has("blob"):
        entries.append(("heads", device.heads))
        if device.shaves is not None:
            entries.append(("SHAVE cores", str(device.shaves)))
    entries.append(("licence of the weights", manifest.weights.licence))
    return entries


def _chain_section(manifest: Manifest, reports: Sequence[StageReport]) -> Section:
    blocks: list[Block] = [chain_diagram(manifest, reports)]
    if reports:
        blocks.append(stages_table(reports))
    return Section(key="chain", title="The chain", blocks=blocks)


def _figures(reports: Sequence[StageReport], evidence: Evidence) -> list[Block]:
    if not reports:
        return [Words(parts=["Nothing was compared."])]
    return spread_blocks(evidence)


def tracks_section(picture: Picture, words: str) -> Section:
    """What ``demo`` adds: a frame of its recording.

    Args:
        picture: the last frame with its tracks.
        words: how it went.
    """
    label = "The last frame of the recording, with the line that each keypoint came along."
    blocks: list[Block] = [
        Words(parts=[f"{words[:1].upper()}{words[1:]}."]),
        Still(picture=picture, label=label, caption=label),
    ]
    return Section(key="tracks", title="Tracks on a moving view", blocks=blocks)
