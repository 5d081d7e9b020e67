"""What a network gave, read with one task and another, and its heat map in the image's pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from oakpoint.errors import UsageError
from oakpoint.features.types import DecodeOptions
from oakpoint.geometry import PixelMap, resized_from_original
from oakpoint.tasks.base import Task
from oakpoint.tasks.boxes.task import BoxesTask
from oakpoint.tasks.classes.task import ClassesTask
from oakpoint.tasks.keypoints.task import Keypoints
from oakpoint.tasks.reading import Reading

TASK = Keypoints(decode=DecodeOptions.preset("superpoint").with_changes(subpixel="none"))


def reading(original_from_tensor: PixelMap, size: tuple[int, int]) -> Reading[object]:
    rng = np.random.default_rng(5)
    tensors = {"semi": rng.normal(size=(1, 65, 6, 8)).astype(np.float32), "desc": np.ones((1, 4, 6, 8), np.float32)}
    return Reading(tensors=tensors, original_from_tensor=original_from_tensor, image_size=size)


def test_the_heat_map_is_highest_where_the_keypoints_are() -> None:
    seen = reading(resized_from_original((128, 96), (64, 48)).inverse(), (128, 96))
    heat, found = seen.heat_map(TASK), seen.result(TASK)
    assert heat is not None
    assert (heat.shape, heat.dtype) == ((96, 128), np.float32)
    assert 0 <= heat.min() <= heat.max() <= 1
    best = found.keypoints[0]
    rows, columns = np.nonzero(heat > 0.97 * heat.max())
    assert np.abs(np.stack([columns, rows], axis=1) - best).max() <= 1.5


def test_what_the_network_did_not_see_is_zero() -> None:
    heat = reading(PixelMap((1.0, 1.0), (20.0, 10.0)), (100, 80)).heat_map(TASK)
    assert heat is not None
    assert heat[:10].max() == heat[:, :20].max() == heat[58:].max() == heat[:, 84:].max() == 0
    assert heat[10:58, 20:84].min() > 0


def test_what_was_read_already_is_read_anew_by_another_task_only(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = reading(PixelMap((1.0, 1.0), (0.0, 0.0)), (64, 48))
    first = TASK.read(plain.tensors)
    known = Reading(
        tensors=plain.tensors, original_from_tensor=plain.original_from_tensor, image_size=(64, 48), known=(TASK, first)
    )
    fewer = TASK.with_changes(max_keypoints=3)
    assert len(known.result(fewer)) == 3
    monkeypatch.setattr(Keypoints, "read", lambda *_: pytest.fail("read again"))
    same = known.result(TASK.with_changes(threshold=TASK.decode.threshold))
    np.testing.assert_array_equal(same.keypoints, first.keypoints)


TASKS = [
    TASK,
    BoxesTask(
        layout="yolov8", classes=3, strides=(8, 16, 32), size=(64, 64), threshold=0.2, iou_threshold=0.5, max_boxes=9
    ),
    ClassesTask(classes=5),
]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_knobs_are_parameters_that_may_be_changed(task: Task[Any]) -> None:
    assert task.knobs()
    for knob in task.knobs():
        assert knob.name in task.changeable
        for value in (knob.checked(knob.high), knob.checked(knob.low)):
            assert [k.value for k in task.with_changes(**{knob.name: value}).knobs() if k.name == knob.name] == [value]


@pytest.mark.parametrize("value", [None, True, "7", [7], 7.5, -1, 33, float("nan"), float("inf"), 10**400])
def test_a_knob_takes_no_value_that_cannot_be_meant(value: object) -> None:
    knob = next(knob for knob in TASK.knobs() if knob.name == "nms_radius_px")
    with pytest.raises(UsageError, match="nms_radius_px: expected a whole number from 0 to 32, got "):
        knob.checked(value)
