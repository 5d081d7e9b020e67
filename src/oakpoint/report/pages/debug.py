"""The report of ``debug``: the errors over the layers of every arrow, what is at fault, and where it shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.layers.debug.bundle_arrows import ARROWS
from oakpoint.layers.debug.errors import LayerError
from oakpoint.layers.debug.regions import Region
from oakpoint.layers.debug.report import ArrowReport, DebugReport
from oakpoint.layers.debug.words import HEADINGS, OUTCOMES, Said, Weight, fault_of, four_numbers, said_of
from oakpoint.report.parts.blocks import (
    Badge,
    Block,
    Cell,
    Code,
    Column,
    Drawn,
    Folded,
    Page,
    Section,
    Still,
    Table,
    Tone,
    Words,
)
from oakpoint.report.parts.page import html_of
from oakpoint.report.parts.pictures import Picture
from oakpoint.report.sections.origin import MADE_BY, made_section
from oakpoint.view.chart import Chart
from oakpoint.view.charts import Profile, profiles
from oakpoint.view.draw import bgr_from_image, with_status
from oakpoint.view.picture import write_image

ERRORS_FILE: Final = "errors.png"
MOST_LAYERS: Final = 400

_TONES: Final[dict[Weight, Tone]] = {"fault": "fail", "warning": "open", "plain": "pass", "faint": "plain"}
_LEAST_WIDTH = 640
_BOX = (60, 60, 255)


def debug_page(report: DebugReport, *, line: str) -> str:
    """The page as HTML.

    Args:
        report: what was found.
        line: the command line.

    Raises:
        OutputError: the page would be too large.
    """
    first = report.first
    outcomes = {arrow.outcome for arrow in report.arrows}
    if first is not None:
        fault = fault_of(first)
        verdict, said = Badge("fail", "FAULT"), f"{fault.subject}, {fault.text}" if fault.subject else fault.text
    elif "fine" in outcomes:
        verdict, said = Badge("pass", "FINE"), "No layer does more than rounding explains."
    else:
        verdict, said = Badge("open", "NOT COMPARED"), "No two forms of the network could be compared."
    page = Page(
        command="oakpoint debug",
        title=Path(report.network).name or report.network,
        verdict=verdict,
        summary=said,
        notices=report.notes,
        entries=[("bundle", report.bundle), ("images", ", ".join(report.images)), ("arrows", str(len(report.arrows)))],
        sections=[
            *(_section(number, arrow) for number, arrow in enumerate(report.arrows)),
            made_section(line),
        ],
        made_by=MADE_BY,
    )
    return html_of(page)


def write_pictures(report: DebugReport, folder: Path) -> None:
    """Write the pictures of the page as files, in full size.

    Raises:
        OutputError: one cannot be written.
    """
    if (chart := _chart(report.network, report.arrows)) is not None:
        chart.save(folder / ERRORS_FILE)
    for arrow in report.arrows:
        if arrow.region is not None:
            path = folder / f"worst_{ARROWS[arrow.stage].option}.png"
            write_image(path, region_picture(arrow.region, _caption(arrow)))


def _chart(network: str, arrows: tuple[ArrowReport, ...]) -> Chart | None:
    panels = {ARROWS[arrow.stage].shown: _profile(arrow) for arrow in arrows if arrow.errors}
    if not panels:
        return None
    title = f"{network}: errors of each layer's output, root mean square over that of its values"
    return profiles(panels, value="error (share of the values)", title=title)


def _section(number: int, arrow: ArrowReport) -> Section:
    weight, words = OUTCOMES[arrow.outcome]
    shown = ARROWS[arrow.stage].shown
    blocks: list[Block] = [Words(parts=_parts(said), faint=said.weight == "faint") for said in said_of(arrow)]
    if arrow.region is not None:
        label = f"{arrow.region.image} with the errors over it, the worst region framed"
        blocks.append(Still(picture=Picture(region_picture(arrow.region, _caption(arrow))), label=label, caption=label))
    if arrow.errors:
        blocks.append(_drawn(shown, arrow))
        blocks += _tables(shown, arrow)
    return Section(key=f"arrow-{number}", title=shown, badge=Badge(_TONES[weight], words), blocks=blocks)


def _parts(said: Said) -> list[Cell]:
    parts: list[Cell] = [Badge("fail", "fault"), " "] if said.weight == "fault" else []
    parts += [Code(said.subject), ": "] if said.subject else []
    text = said.text if said.subject else f"{said.text[:1].upper()}{said.text[1:]}"
    return [*parts, f"{text}."]


def _drawn(shown: str, arrow: ArrowReport) -> Drawn:
    chart = profiles({shown: _profile(arrow)}, value="error (share of the values)", title="")
    worst = max(arrow.errors, key=lambda error: np.nan_to_num(error.own.mean_square, nan=-1.0))
    label = (
        f"Errors of {len(arrow.errors)} tensors along {shown}: grown up to there, of the layer alone, and what "
        f"rounding explains. The largest of a layer alone is {four_numbers(worst)[0]}, at {arrow.called(worst)}."
    )
    return Drawn(svg=chart.svg(), label=label, caption=label)


def _tables(shown: str, arrow: ArrowReport) -> list[Block]:
    columns = [
        Column("layer"),
        Column("operators"),
        *(Column(name, number=True) for name in HEADINGS),
        Column("verdict"),
    ]
    rows = [_row(arrow, error) for error in arrow.errors[:MOST_LAYERS]]
    more = len(arrow.errors) - len(rows)
    whole = Table(caption=f"{shown}: every layer", columns=columns, rows=rows, left_out=more)
    folded = Folded(title=f"All {len(arrow.errors)} layers", blocks=[whole])
    if arrow.first is None:
        return [folded]
    place = arrow.errors.index(arrow.first)
    near = [_row(arrow, error) for error in arrow.errors[max(0, place - 2) : place + 6]]
    return [Table(caption=f"{shown}: the layers around the first fault", columns=columns, rows=near), folded]


def _row(arrow: ArrowReport, error: LayerError) -> list[Cell]:
    tone: Tone = "fail" if error.at_fault else "open"
    mark: Cell = "" if error.kind == "fine" else Badge(tone, error.kind)
    return [Code(arrow.called(error)), error.operators, *four_numbers(error), mark]


def _profile(arrow: ArrowReport) -> Profile:
    errors = arrow.errors
    return Profile(
        places=[error.shown for error in errors],
        lines={
            "grown up to there": [error.grown.mean_square for error in errors],
            "of the layer alone": [error.own.mean_square for error in errors],
            "what rounding explains": [error.rounding.mean_square for error in errors],
        },
        marked=[] if arrow.first is None else [errors.index(arrow.first)],
    )


def _caption(arrow: ArrowReport) -> list[str]:
    region = arrow.region
    assert arrow.first is not None
    assert region is not None
    texts = [
        arrow.first.shown,
        f"channel {region.channel}",
        f"{region.got:.4g} for {region.expected:.4g}",
        region.image,
    ]
    return [re.sub(r"[^ -~]", "?", text) for text in texts]


def region_picture(region: Region, caption: list[str]) -> NDArray[np.uint8]:
    """The network's input with the errors over it and the worst region framed; uint8 (H, W, 3) BGR."""
    picture = bgr_from_image(region.picture)
    factor = max(1, -(-_LEAST_WIDTH // picture.shape[1]))
    size = (picture.shape[1] * factor, picture.shape[0] * factor)
    picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    share = cv2.resize(region.errors / max(float(region.errors.max()), 1e-30), size, interpolation=cv2.INTER_NEAREST)
    heat = cv2.applyColorMap(np.rint(share * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    weight = 0.75 * np.sqrt(share)[..., np.newaxis]  # small errors stay visible beside the largest
    blended = np.rint(picture * (1 - weight) + heat * weight).astype(np.uint8)
    left, top, right, bottom = (side * factor for side in region.box)
    cv2.rectangle(blended, (left, top), (right - 1, bottom - 1), _BOX, 2)
    return with_status(blended, caption)
