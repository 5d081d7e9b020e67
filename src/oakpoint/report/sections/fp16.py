"""How much of FP16's range the layers of a network take."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from oakpoint.bundle.folder import Bundle
from oakpoint.convert.device_graph import in_float32
from oakpoint.convert.onnx_from_torch import modules_of
from oakpoint.errors import OakpointError
from oakpoint.fp16 import LARGEST
from oakpoint.layers.check.ranges import Range, measured_ranges
from oakpoint.layers.names import Layer, Layers
from oakpoint.models.bundle_folder import device_source_of
from oakpoint.report.parts.blocks import Bar, Block, Cell, Code, Column, Section, Table, Tone, Words

MOST_LAYERS: Final = 80
_NEAR: Final = 0.25
"""From this share of the largest number on, a layer is near to overflowing on other images."""


def fp16_section(bundle: Bundle, name: str, image: NDArray[np.uint8] | None) -> Section:
    """The ranges of a bundle's device graph on one picture; where they cannot be had, why.

    Args:
        bundle: the bundle.
        name: of the picture.
        image: uint8 (H, W) or (H, W, 3) BGR; None: there is none.
    """
    return Section(key="fp16", title="FP16 ranges", blocks=_blocks(bundle, name, image))


def _blocks(bundle: Bundle, name: str, image: NDArray[np.uint8] | None) -> list[Block]:
    if not bundle.manifest.has("blob"):
        return [Words(parts=["They are of the device graph, and this bundle has no blob made from one."])]
    if image is None:
        return [Words(parts=["There was no picture to measure them on."])]
    try:
        rows = _measured(bundle, image)
    except OakpointError as error:
        return [Words(parts=[f"They could not be measured: {error}."])]
    return ranges_blocks(rows, f"on {name}")


def _measured(bundle: Bundle, image: NDArray[np.uint8]) -> list[tuple[Layer, Range]]:
    source = device_source_of(bundle)
    graph = source.graph()
    model = onnx.load(bundle.path("onnx"))
    layers = Layers(model, modules_of(model))
    owners = layers.owners(graph.model.graph.node)
    feed = {k: np.asarray(v, np.float32) for k, v in source.interface.on_device().feed_apart(image).items()}
    found = measured_ranges(in_float32(graph), [lambda: feed])
    return _by_layer(layers, graph.model.graph.node, owners, found.tensors)


def _by_layer(
    layers: Layers, nodes: Iterable[Any], owners: Sequence[int | None], tensors: Mapping[str, Range]
) -> list[tuple[Layer, Range]]:
    rows: dict[int, Range] = {}
    for node, owner in zip(nodes, owners, strict=True):
        for tensor in node.output:
            if owner is not None and tensor in tensors:
                rows[owner] = rows.get(owner, Range()).with_other(tensors[tensor])
    return [(layers.layers[place], measured) for place, measured in sorted(rows.items())]


def ranges_blocks(rows: Sequence[tuple[Layer, Range]], where: str) -> list[Block]:
    """A sentence on the largest, and a table of all.

    Args:
        rows: layers in the order of execution, each with what it gives.
        where: on which images, as the end of a sentence.
    """
    if not rows:
        return [Words(parts=["No layer gives floating-point numbers."])]
    layer, largest = max(rows, key=lambda row: row[1].largest)
    share = largest.largest / LARGEST
    over = [row for row in rows if row[1].overflows]
    words: list[Cell] = [f"The largest magnitude {where} is {largest.largest:.4g}, in ", Code(layer.shown)]
    if over:
        words.append(f": FP16 ends at {LARGEST:g}, and {len(over)} layers go beyond it.")
    else:
        words.append(f": {share:.2%} of {LARGEST:g}, where FP16 ends. Nothing overflows.")
    which = f", of {len(rows)} layers the {MOST_LAYERS} with the largest" if len(rows) > MOST_LAYERS else ""
    kept = sorted(sorted(range(len(rows)), key=lambda place: -rows[place][1].largest)[:MOST_LAYERS])
    return [
        Words(parts=words),
        Table(
            caption=f"What layers give {where}, at float32{which}; the bar is logarithmic and ends where FP16 does",
            columns=[
                Column("layer"), Column("operator"), Column("largest magnitude"),
                Column("below the smallest normal number", number=True), Column("lost to zero", number=True),
            ],
            rows=[_row(*rows[place]) for place in kept],
            left_out=len(rows) - len(kept),
        ),
    ]  # fmt: skip


def _row(layer: Layer, found: Range) -> list[Cell]:
    share = math.log2(1 + found.largest) / math.log2(1 + LARGEST)
    tone: Tone = "fail" if found.overflows or found.not_finite else "plain"
    if tone == "plain" and found.largest > _NEAR * LARGEST:
        tone = "open"
    text = f"{found.largest:.4g}" + (f", {found.not_finite:,} not finite" if found.not_finite else "")
    return [
        Code(layer.shown),
        layer.operator,
        Bar(share, text, tone),
        f"{found.below_normal:.2%}",
        f"{found.below_smallest:.2%}",
    ]
