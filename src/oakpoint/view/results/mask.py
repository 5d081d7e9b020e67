"""Masks, as an overlay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, final

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.tasks.labels import label_of
from oakpoint.tasks.mask.result import NOT_SEEN, Mask
from oakpoint.view.draw import bgr_from_image
from oakpoint.view.picture import data_uri
from oakpoint.view.results.base import Column, MarkKind, ResultView, Summary, text_column
from oakpoint.view.results.colours import class_colour, put_list

OPACITY = 0.45
LISTED = 6
"""Classes of the list, those with most pixels."""

MARKS_SIDE_PX = 640
"""Pixels of the longer side of marks over a picture; each of them is seen."""

_DIFFERS = (40, 40, 230, 255)

BACKGROUND = frozenset({"background", "_background_", "__background__", "bg", "unlabeled", "unlabelled", "void"})
"""What the first class is often called where it means «nothing»; it is then left as it is."""


@final
class MaskSummary(Summary[Mask]):
    """Shares of the pixels."""

    def __init__(self) -> None:
        self._pixels: Counter[str] = Counter()

    def add(self, result: Mask, tracks: None) -> None:
        """See ``Summary.add``."""
        del tracks
        for index, count in result.pixels().items():
            self._pixels[label_of(result.labels, index)] += count

    def facts(self, frames: int) -> dict[str, Any]:
        """See ``Summary.facts``."""
        del frames
        whole = max(self._pixels.total(), 1)
        return {"shares_by_class": {name: count / whole for name, count in self._pixels.most_common()}}


@final
class MaskView(ResultView[Mask]):
    """Each class in its colour over the image, with its edges; the background, where there is one, stays."""

    name = "mask"
    doing = "find"
    stackable = False

    def summary(self) -> MaskSummary:
        """See ``ResultView.summary``."""
        return MaskSummary()

    def still(self, image: NDArray[np.uint8], result: Mask) -> NDArray[np.uint8]:
        """See ``ResultView.still``."""
        canvas = bgr_from_image(image)
        counts = result.pixels()
        clear = {NOT_SEEN} | ({0} if first_is_background(result) else set())
        colours = np.zeros((max([0, *counts]) + 1, 3), np.uint8)
        for index in counts:
            colours[index] = class_colour(index)
        painted = ~np.isin(result.classes, list(clear))
        layer = colours[np.maximum(result.classes, 0)]
        canvas[painted] = cv2.addWeighted(canvas, 1 - OPACITY, layer, OPACITY, 0)[painted]
        edges = _edges(result.classes) & painted
        canvas[edges] = layer[edges]
        whole = max(sum(counts.values()), 1)
        largest = sorted(counts.items(), key=lambda item: -item[1])[:LISTED]
        rows = [
            (f"{label_of(result.labels, i)}: {count / whole:.0%}", class_colour(i), count / whole)
            for i, count in largest
            if i not in clear
        ]
        put_list(canvas, rows)
        return canvas

    def marks(self, result: Mask, kind: MarkKind) -> str:
        """See ``ResultView.marks``: one picture in the classes' colours, clear where there is nothing to show."""
        height, width = result.classes.shape
        clear = {NOT_SEEN} | ({0} if kind == "found" and first_is_background(result) else set())
        factor = min(1.0, MARKS_SIDE_PX / max(height, width))
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        classes = cv2.resize(result.classes, size, interpolation=cv2.INTER_NEAREST)
        layer = np.zeros((*classes.shape, 4), np.uint8)
        for index in result.pixels():
            if index not in clear:
                layer[classes == index] = (*class_colour(index), 255)
        if kind != "found":
            layer[layer[..., 3] > 0] = _DIFFERS
        uri = data_uri(layer, "image/png")
        return f'<image class="mark {kind}" width="{width}" height="{height}" href="{uri}"/>'

    def figures(self, result: Mask, tracks: None) -> list[str]:
        """See ``ResultView.figures``."""
        del tracks
        return [f"{len(result.pixels())} classes"]

    def facts(self, result: Mask, tracks: None) -> dict[str, Any]:
        """See ``ResultView.facts``."""
        del tracks
        return result.facts()

    def columns(self, result: Mask, tracks: None, *, descriptors: bool = False) -> dict[str, Column]:
        """See ``ResultView.columns``: a row for each class that has pixels."""
        del tracks, descriptors
        counts = result.pixels()
        pixels = np.array(list(counts.values()), np.int64)
        return {
            "class": np.array(list(counts), np.int64),
            "label": text_column([label_of(result.labels, index) for index in counts]),
            "pixels": pixels,
            "share": (pixels / max(int(pixels.sum()), 1)).astype(np.float32),
        }

    def words(self, facts: Mapping[str, Any]) -> list[str]:
        """See ``ResultView.words``."""
        shares = list(facts["shares_by_class"].items())
        return [", ".join(f"{name} {share:.0%}" for name, share in shares[:3]) or "no classes"]


def first_is_background(mask: Mask) -> bool:
    """Whether the first of two classes, or one that is called so, stands for «nothing»."""
    if mask.labels:
        return mask.labels[0].lower() in BACKGROUND
    return int(mask.classes.max(initial=0)) <= 1


def _edges(classes: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Pixels to whose right or below another class begins."""
    edges = np.zeros(classes.shape, np.bool_)
    edges[:, :-1] |= classes[:, :-1] != classes[:, 1:]
    edges[:-1] |= classes[:-1] != classes[1:]
    return edges
