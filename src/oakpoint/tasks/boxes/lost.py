"""How many boxes are lost in coarser arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.tasks.boxes.agreement import FEWEST, MOST
from oakpoint.tasks.boxes.overlap import pairs_of_boxes
from oakpoint.tasks.boxes.result import Boxes

if TYPE_CHECKING:
    from oakpoint.tasks.boxes.task import BoxesTask

SAME_IOU = 0.5
"""Boxes of one class that overlap by so much are one, as in PASCAL VOC's challenge."""

STILL_THERE = 0.5
"""A box of one model is in the other as long as that gives it this share of the threshold: one that goes from just
above the threshold to just below it is not lost, but hangs on where a user sets it."""


def boxes_lost(task: BoxesTask, expected: Sequence[Tensors], got: Sequence[Tensors]) -> float:
    """The share of the boxes of either model that the other has not, each box counting with its score.

    Where an image shows fewer than ``FEWEST`` boxes, or more than ``MOST``, another threshold is taken, as in
    ``BoxesAgreement``. NaN where the network gives no box on any.
    """
    lost = whole = 0.0
    for a, b in zip(expected, got, strict=True):
        threshold = _threshold(task, a)
        sure, likely = (replace(task, threshold=share * threshold, max_boxes=MOST * 10) for share in (1.0, STILL_THERE))
        for mine, theirs in ((a, b), (b, a)):
            boxes = sure.read(mine)
            lost += float(boxes.scores[_missing(boxes, likely.read(theirs))].sum())
            whole += float(boxes.scores.sum())
    return lost / whole if whole else float("nan")


def _threshold(task: BoxesTask, tensors: Tensors) -> float:
    ranked = np.sort(np.nan_to_num(task.candidates(tensors).scores).max(axis=1, initial=0.0))[::-1]
    if not len(ranked):
        return task.threshold
    least, most = (float(ranked[min(count, len(ranked)) - 1]) for count in (FEWEST, MOST))
    return min(max(min(task.threshold, least), most), 1.0)


def _missing(boxes: Boxes, others: Boxes) -> NDArray[np.bool_]:
    found = np.ones(len(boxes), bool)
    pairs = pairs_of_boxes(boxes.corners, boxes.classes, others.corners, others.classes, SAME_IOU)
    found[[i for i, _, _ in pairs]] = False
    return found
