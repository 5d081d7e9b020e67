"""One picture, and what every form of the network found in it, over each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from oakpoint.chain.evidence import Evidence, Sight
from oakpoint.report.parts.blocks import Block, Cell, Column, Drawn, Layer, Lines, Overlay, Section, Table, Words
from oakpoint.report.parts.histogram import histogram
from oakpoint.report.parts.pictures import Picture
from oakpoint.report.parts.texts import shown
from oakpoint.report.sections.stages import number_text
from oakpoint.tasks.base import Result
from oakpoint.tasks.classes.result import Classes
from oakpoint.tasks.tensors.task import TensorsFound
from oakpoint.verify.tolerances import (
    BLOB_STAGE,
    DEVICE_STAGE,
    FUSED_STAGE,
    INT8_STAGE,
    IR_STAGE,
    ONNX_ARCHIVE_STAGE,
    ONNX_STAGE,
)
from oakpoint.view.results.registry import view_of

CANDIDATES: Final = {
    ONNX_STAGE: "ONNX",
    IR_STAGE: "IR",
    FUSED_STAGE: "decoding graph",
    INT8_STAGE: "INT8 IR",
    ONNX_ARCHIVE_STAGE: "ONNX archive",
    DEVICE_STAGE: "device graph",
    BLOB_STAGE: "executed blob",
}
"""What is judged at each stage, in the order of the chain."""

MOST_HISTOGRAMS: Final = 3
_LONGEST: Final = 60


def seen_section(evidence: Evidence, *, takes_image: bool) -> Section:
    """What was found in the first image.

    Args:
        evidence: what was kept of the comparisons.
        takes_image: whether the network takes one; others are compared on noise.
    """
    if not evidence.sights:
        nothing = "No stage came as far as a comparison, so that there is nothing to show."
        return Section(key="seen", title="What it finds", blocks=[Words(parts=[nothing])])
    blocks = _one_picture(evidence, takes_image=takes_image)
    apart = evidence.apart
    while apart is not None:
        stages = ", ".join(_in_order(apart))
        blocks.append(Words(parts=[f"{stages}: judged on images of its own, of which this is the first."]))
        blocks += _one_picture(apart, takes_image=takes_image)
        apart = apart.apart
    return Section(key="seen", title="What it finds", blocks=blocks)


def _one_picture(evidence: Evidence, *, takes_image: bool) -> list[Block]:
    forms, sights = forms_of(evidence), _in_order(evidence)
    blocks: list[Block] = []
    if takes_image:
        blocks += _pictures(evidence, forms, sights)
    else:
        blocks.append(Words(parts=["The network takes no image: it was compared on noise."]))
    blocks += _lists(forms)
    if counts := _counts(sights):
        blocks.append(counts)
    return blocks


def forms_of(evidence: Evidence) -> dict[str, Result]:
    """What each form of the network found, by its name, in the order of the chain."""
    found: dict[str, Result] = {}
    for stage, sight in _in_order(evidence).items():
        found.setdefault("PyTorch" if stage == ONNX_STAGE else "ONNX", sight.expected)
        if sight.got is not None:
            found.setdefault(CANDIDATES[stage], sight.got)
    return found


def _in_order(evidence: Evidence) -> dict[str, Sight]:
    return {stage: evidence.sights[stage] for stage in CANDIDATES if stage in evidence.sights}


def _pictures(evidence: Evidence, forms: Mapping[str, Result], sights: Mapping[str, Sight]) -> list[Block]:
    picture = evidence.picture
    assert picture is not None
    view = view_of(next(iter(forms.values())))
    drawn = forms if view.stackable else dict(list(forms.items())[:1])
    layers = [
        Layer(name=name, note=shown(result.figure(), _LONGEST), marks=view.marks(result, "found"))
        for name, result in drawn.items()
    ]
    if not any(layer.marks for layer in layers):
        layers = []
    else:
        layers += [layer for stage, sight in sights.items() for layer in _differences(CANDIDATES[stage], sight)]
    found = "; ".join(f"{name}: {shown(result.figure(), _LONGEST)}" for name, result in forms.items())
    label = f"The photograph {evidence.name} with what each form of the network found in it. {found}."
    caption = _caption(evidence.name, layers, stackable=view.stackable)
    return [Overlay(picture=Picture(picture), layers=layers, label=label, caption=caption)]


def _caption(name: str, layers: list[Layer], *, stackable: bool) -> str:
    if not layers:
        return f"{name}: the picture that the figures of this section are about."
    differ = any(layer.tone != "plain" for layer in layers)
    if len([layer for layer in layers if layer.tone == "plain"]) > 1:
        text = f"{name}: marks lie over each other, those of later forms smaller."
        text += "" if differ else " A whole target is found by all."
    else:
        text = f"{name}: what the network finds."
    if not differ:
        marks = "No form misses or adds anything."
    elif stackable:
        marks = "Red: what a form misses; amber: what it finds in addition."
    else:
        marks = "Red: where a form says something else."
    return f"{text} {marks} The switches above show and hide each layer."


def _differences(name: str, sight: Sight) -> list[Layer]:
    found = sight.differences
    if found is None:
        return []
    view, layers = view_of(found.missing_part), []
    if found.missing:
        words = "missing in" if view.stackable else "differs in"
        note = f"{found.missing:,} of {found.common + found.missing:,}"
        marks = view.marks(found.missing_part, "missing")
        layers.append(Layer(name=f"{words} {name}", note=note, marks=marks, tone="fail"))
    if found.extra and view.stackable:
        marks = view.marks(found.extra_part, "extra")
        note = f"{found.extra:,} of {found.common + found.extra:,}"
        layers.append(Layer(name=f"extra in {name}", note=note, marks=marks, tone="open"))
    return [layer for layer in layers if layer.marks]


def _counts(sights: Mapping[str, Sight]) -> Table | None:
    rows: list[list[Cell]] = []
    for stage, sight in sights.items():
        found = sight.differences
        if sight.got is None:
            rows.append([stage, "its outputs could not be read", "", ""])
        elif found is not None:
            numbers = (found.common, found.missing, found.extra)
            rows.append([stage, *(f"{number:,}" for number in numbers)])
    if not rows:
        return None
    unit = next((s.differences.unit for s in sights.values() if s.differences is not None), "results")
    return Table(
        caption=f"{unit.capitalize()} of this picture, in common and not",
        columns=[Column("stage"), *(Column(name, number=True) for name in ("in common", "missing", "extra"))],
        rows=rows,
    )


def _lists(forms: Mapping[str, Result]) -> list[Block]:
    """Results that have no place in the picture, side by side."""
    columns = [Column("form")]
    rows: list[list[Cell]] = []
    for name, result in forms.items():
        if isinstance(result, Classes):
            columns = [Column("form"), Column("most probable classes, best first")]
            pairs = zip(result.names(), result.probabilities.tolist(), strict=True)
            rows.append([name, Lines([f"{label}: {value:.2%}" for label, value in pairs])])
        elif isinstance(result, TensorsFound):
            columns = [Column(title, number=number) for title, number in _TENSOR_COLUMNS]
            rows += [_tensor_row(name, output, facts) for output, facts in result.facts().items()]
    if not rows:
        return []
    caption = "What each form gives for this picture"
    return [Table(caption=caption, columns=columns, rows=rows[:MOST_ROWS], left_out=max(len(rows) - MOST_ROWS, 0))]


MOST_ROWS: Final = 60
_TENSOR_COLUMNS = (
    ("form", False), ("output", False), ("shape", False), ("least", True), ("mean", True), ("most", True),
    ("not finite", True),
)  # fmt: skip


def _tensor_row(form: str, output: str, facts: Mapping[str, object]) -> list[Cell]:
    numbers = [facts[name] for name in ("min", "mean", "max")]
    texts = [number_text(value) if isinstance(value, float) else "–" for value in numbers]
    shape = facts["shape"]
    assert isinstance(shape, list)
    return [form, output, "×".join(map(str, shape)), *texts, str(facts["not_finite"])]


def spread_blocks(evidence: Evidence) -> list[Block]:
    """Histograms of how far values of all images agree, by stage."""
    names = dict.fromkeys(name for found in evidence.distributions.values() for name in found)
    blocks: list[Block] = []
    for name in list(names)[:MOST_HISTOGRAMS]:
        series = {
            stage: np.maximum(1 - found[name].astype(np.float64), 0.0)
            for stage, found in evidence.distributions.items()
            if name in found and len(found[name])
        }
        if series:
            blocks.append(_histogram(name, series))
    if len(names) > MOST_HISTOGRAMS:
        others = ", ".join(list(names)[MOST_HISTOGRAMS:])
        blocks.append(Words(parts=[f"Not drawn: {others}."], faint=True))
    return blocks


def _histogram(name: str, series: Mapping[str, NDArray[np.float64]]) -> Drawn:
    spread = "; ".join(f"{stage}: {_spread(values)}" for stage, values in series.items())
    label = f"Histogram of one minus {name}, over all pictures. {spread}."
    caption = f"One minus {name}, over all pictures. {spread}."
    return Drawn(svg=histogram(series, value=f"1 − {name}", count="how many"), label=label, caption=caption, wide=False)


def _spread(values: NDArray[np.float64]) -> str:
    """How many values there are and how they lie; the first bin holds what is smaller than it."""
    known = values[np.isfinite(values)]
    parts = [f"{len(values):,} value{'s' if len(values) != 1 else ''}"]
    if len(known):
        parts.append(f"median {np.median(known):.2g}, largest {known.max():.2g}")
    if len(known) < len(values):
        parts.append(f"{len(values) - len(known):,} not finite and not drawn")
    return ", ".join(parts)
