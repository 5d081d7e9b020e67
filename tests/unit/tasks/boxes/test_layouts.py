"""Layouts of detectors: recognised by shape, and decoded as by a plain loop over the published formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

from oakpoint.backends.base import Tensors
from oakpoint.bundle.interface import TensorSpec, image_interface
from oakpoint.errors import BackendError, UsageError
from oakpoint.images.preprocess import Preprocess
from oakpoint.tasks.boxes.layouts.base import Candidates, Shape
from oakpoint.tasks.boxes.layouts.registry import LAYOUTS, layout_of
from oakpoint.tasks.boxes.task import BoxesTask
from oakpoint.tasks.registry import recognised_task

STRIDES = (8, 16, 32)


def interface(size: tuple[int, int], *shapes: tuple[int | str, ...]):  # type: ignore[no-untyped-def]
    preprocess = Preprocess(size=size, resize="letterbox", interpolation="linear", colour="rgb")
    outputs = tuple(TensorSpec(f"y{i}", "float32", shape) for i, shape in enumerate(shapes))
    return image_interface("x", preprocess, outputs)


@pytest.mark.parametrize(
    ("size", "shapes", "layout", "classes", "strides"),
    [
        ((640, 640), [(1, 84, 8400)], "yolov8", 80, STRIDES),
        ((320, 320), [("N", 84, 2100)], "yolov8", 80, STRIDES),
        ((512, 288), [(1, 5, 3024)], "yolov8", 1, STRIDES),
        ((640, 640), [(1, 14, 34000)], "yolov8", 10, (4, 8, 16, 32)),
        ((1280, 1280), [(1, 84, 34000)], "yolov8", 80, (8, 16, 32, 64)),
        ((640, 640), [(1, 25200, 85)], "yolov5", 80, STRIDES),
        ((416, 416), [(1, 10647, 6)], "yolov5", 1, STRIDES),
        ((416, 416), [(1, 2535, 85)], "yolov5", 80, (16, 32)),
        ((640, 640), [(1, 255, 80, 80), (1, 255, 40, 40), (1, 255, 20, 20)], "yolov5-maps", 80, STRIDES),
        ((640, 352), [(1, 18, 11, 20), (1, 18, 44, 80), (1, 18, 22, 40)], "yolov5-maps", 1, STRIDES),
        ((640, 640), [(1, 3, 80, 80, 85), (1, 3, 40, 40, 85), (1, 3, 20, 20, 85)], "yolov5-maps", 80, STRIDES),
    ],
)
def test_a_detector_is_recognised(
    size: tuple[int, int], shapes: list[tuple[int | str, ...]], layout: str, classes: int, strides: tuple[int, ...]
) -> None:
    task = recognised_task(interface(size, *shapes))
    assert isinstance(task, BoxesTask)
    assert (task.layout, task.classes, task.strides, task.size) == (layout, classes, strides, size)


@pytest.mark.parametrize(
    ("size", "shapes"),
    [
        ((640, 640), [(1, 8400, 85)]),  # YOLOv6, or YOLOX, which means something else
        ((640, 640), [(1, 56, 8400)]),  # a pose, as likely as 52 classes
        ((640, 640), [(1, 4, 8400)]),
        ((640, 640), [(1, 84, 8401)]),
        ((640, 640), [(1, 116, 8400), (1, 32, 160, 160)]),  # with prototypes of masks
        ((640, 640), [(1, 300, 6)]),
        ((640, 640), [(1, 100, 4), (1, 100, 91)]),
        ((640, 640), [(1, 255, 80, 80), (1, 255, 40, 40)]),
        ((640, 640), [(1, 256, 80, 80), (1, 256, 40, 40), (1, 256, 20, 20)]),  # a pyramid of features
        ((320, 200), [(1, 84, 1260)]),  # 200 is no whole number of cells
    ],
)
def test_what_could_be_something_else_is_left_alone(size: tuple[int, int], shapes: list[tuple[int, ...]]) -> None:
    assert recognised_task(interface(size, *shapes)).name == "tensors"


def test_what_looks_alike_is_said() -> None:
    given = interface((640, 640), (1, 8400, 85))
    with pytest.raises(UsageError, match="look alike in several detectors; give --task boxes:yolov6 or boxes:yolox"):
        recognised_task(given, "boxes")
    task = recognised_task(given, "boxes:yolox")
    assert isinstance(task, BoxesTask)
    assert (task.layout, task.classes, task.threshold) == ("yolox", 80, 0.3)
    with pytest.raises(UsageError, match=r"boxes: expected a layout of yolov8, yolov5, .*, got 'moon'"):
        recognised_task(given, "boxes:moon")
    with pytest.raises(UsageError, match="the network's outputs are not those of boxes:yolov8"):
        recognised_task(given, "boxes:yolov8")
    pose = recognised_task(interface((640, 640), (1, 56, 8400)), "boxes")
    assert isinstance(pose, BoxesTask)
    assert pose.classes == 52


# Decoding, against loops over the formulas.


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def expected_of(layout: str, tensors: Tensors, classes: int, size: tuple[int, int]) -> list[list[float]]:
    """Corners and scores of every box, one after the other."""
    found = []
    if layout in ("yolov8", "yolov5", "yolov6", "yolox"):
        table = next(iter(tensors.values()))[0]
        rows = (table.T if layout == "yolov8" else table).tolist()
        cells = [(x, y, s) for s in STRIDES for y in range(size[1] // s) for x in range(size[0] // s)]
        for number, (cx, cy, w, h, *rest) in enumerate(rows):
            scores = rest if layout == "yolov8" else [rest[0] * p for p in rest[1:]]
            if layout == "yolox":
                x, y, s = cells[number]
                cx, cy, w, h = (cx + x) * s, (cy + y) * s, math.exp(w) * s, math.exp(h) * s
            found.append([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, *scores])
        return found
    anchors = {
        8: [(10, 13), (16, 30), (33, 23)],
        16: [(30, 61), (62, 45), (59, 119)],
        32: [(116, 90), (156, 198), (373, 326)],
    }
    for stride, name in zip(STRIDES, ("a", "b", "c"), strict=True):
        grid = tensors[name][0]
        for number, (aw, ah) in enumerate(anchors[stride]):
            part = grid[number * (5 + classes) : (number + 1) * (5 + classes)]
            for y in range(part.shape[1]):
                for x in range(part.shape[2]):
                    sx, sy, sw, sh, obj, *probabilities = (sigmoid(v) for v in part[:, y, x].tolist())
                    cx, cy = (2 * sx - 0.5 + x) * stride, (2 * sy - 0.5 + y) * stride
                    w, h = (2 * sw) ** 2 * aw, (2 * sh) ** 2 * ah
                    scores = [obj * p for p in probabilities]
                    found.append([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, *scores])
    return found


def drawn(layout: str, rng: np.random.Generator, classes: int, size: tuple[int, int]) -> Tensors:
    cells = sum((size[0] // s) * (size[1] // s) for s in STRIDES)
    if layout == "yolov5-maps":
        shapes = {
            name: (1, 3 * (5 + classes), size[1] // s, size[0] // s) for name, s in zip("abc", STRIDES, strict=True)
        }
        drawn = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
        return {"b": drawn["b"], "c": drawn["c"], "a": drawn["a"]}  # in whichever order
    boxes = 3 * cells if layout == "yolov5" else cells
    values = rng.uniform(0, 1, (1, boxes, (4 if layout == "yolov8" else 5) + classes)).astype(np.float32)
    values[..., :4] = rng.normal(0, 1, (1, boxes, 4)) if layout == "yolox" else rng.uniform(1, 60, (1, boxes, 4))
    return {"y": np.ascontiguousarray(values.transpose(0, 2, 1)) if layout == "yolov8" else values}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("classes", [1, 3])
def test_boxes_are_those_of_the_formulas(rng: np.random.Generator, layout: str, classes: int) -> None:
    size = (96, 64)
    tensors = drawn(layout, rng, classes, size)
    found = layout_of(layout).candidates(tensors, Shape(classes, STRIDES), size)
    expected = np.array(expected_of(layout, tensors, classes, size))
    np.testing.assert_allclose(found.corners, expected[:, :4], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found.scores, expected[:, 4:], rtol=1e-5, atol=1e-6)
    assert (found.corners.dtype, found.scores.dtype) == (np.float32, np.float32)


def test_maps_of_rank_five_are_the_same(rng: np.random.Generator) -> None:
    tensors = drawn("yolov5-maps", rng, 2, (96, 64))
    split = {n: np.moveaxis(a.reshape(1, 3, 7, *a.shape[2:]), 2, -1) for n, a in tensors.items()}
    layout, shape = layout_of("yolov5-maps"), Shape(2, STRIDES)
    a, b = (layout.candidates(given, shape, (96, 64)) for given in (tensors, split))
    np.testing.assert_array_equal(a.corners, b.corners)
    np.testing.assert_array_equal(a.scores, b.scores)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_other_outputs_are_refused(layout: str) -> None:
    for tensors in ({}, {"y": np.zeros((1, 7), np.float32)}, {"y": np.zeros((1, 3, 3), np.float32)}):
        with pytest.raises(BackendError, match=r"^boxes: expected"):
            layout_of(layout).candidates(tensors, Shape(2, STRIDES), (96, 64))


def test_yolox_is_read_at_its_own_size() -> None:
    tensors = {"y": np.zeros((1, 84, 7), np.float32)}
    with pytest.raises(
        BackendError, match="yolox is read at the size it was converted for, 96x64, with 126 boxes; got 84"
    ):
        layout_of("yolox").candidates(tensors, Shape(2, STRIDES), (96, 64))


def test_candidates_hold_arrays() -> None:
    found = Candidates(np.zeros((0, 4), np.float32), np.zeros((0, 3), np.float32))
    assert (len(found.corners), len(found.scores)) == (0, 0)
