from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from oakpoint.errors import BackendError, UsageError
from oakpoint.images.preprocess import Preprocess
from oakpoint.tasks.boxes.result import Boxes
from oakpoint.tasks.boxes.task import BoxesTask
from oakpoint.tasks.registry import task_of

SIZE = (96, 64)
CELLS = 126


def task(**changes: Any) -> BoxesTask:
    given: dict[str, Any] = {"threshold": 0.25, "iou_threshold": 0.5, "max_boxes": 100, "classes": 3} | changes
    return BoxesTask(layout="yolov8", strides=(8, 16, 32), size=SIZE, **given)


def outputs(*rows: tuple[float, ...]) -> dict[str, np.ndarray]:
    """Rows of centre, size and three scores; the others have none."""
    values = np.zeros((1, 7, CELLS), np.float32)
    for number, row in enumerate(rows):
        values[0, :, number] = row
    return {"y": values}


def test_the_best_of_boxes_that_overlap_stays_and_classes_do_not_touch() -> None:
    found = task().read(
        outputs(
            (20, 20, 10, 10, 0.6, 0, 0),
            (21, 20, 10, 10, 0.9, 0, 0),
            (21, 20, 10, 10, 0, 0.8, 0),
            (60, 40, 8, 8, 0, 0, 0.3),
            (60, 40, 8, 8, 0, 0, 0.2),
        )
    )
    assert found.scores.tolist() == pytest.approx([0.9, 0.8, 0.3])
    assert found.classes.tolist() == [0, 1, 2]
    # Corners count from the centre of the top-left pixel.
    np.testing.assert_allclose(found.corners[0], [15.5, 14.5, 25.5, 24.5])


def test_thresholds_are_parameters() -> None:
    given = outputs((20, 20, 10, 10, 0.6, 0, 0), (22, 20, 10, 10, 0.5, 0, 0), (70, 40, 9, 9, 0.3, 0, 0))
    assert len(task().read(given)) == 2
    assert len(task(iou_threshold=0.7).read(given)) == 3
    assert len(task(threshold=0.4).read(given)) == 1
    assert len(task(max_boxes=1).read(given)) == 1


def test_nothing_found_keeps_types_and_ranks() -> None:
    found = task().read(outputs())
    assert (found.corners.shape, found.scores.shape, found.classes.shape) == ((0, 4), (0,), (0,))
    assert (found.corners.dtype, found.classes.dtype) == (np.float32, np.int64)
    placed = task().in_frame(
        found, Preprocess(size=SIZE, resize="letterbox", interpolation="linear").original_from_tensor((9, 9)), (9, 9)
    )
    assert placed.facts() == {"boxes": []}
    assert found.figure() == "0 boxes"


@pytest.mark.parametrize("image_size", [(192, 128), (64, 64), (300, 50)])
def test_letterboxed_boxes_go_back_to_the_image(image_size: tuple[int, int]) -> None:
    """A box over the whole picture's middle half is the middle half of the image, whatever its shape."""
    preprocess = Preprocess(size=SIZE, resize="letterbox", interpolation="linear")
    width, height = image_size
    shrink = min(SIZE[0] / width, SIZE[1] / height)
    w, h = round(width * shrink), round(height * shrink)
    left, top = (SIZE[0] - w) // 2, (SIZE[1] - h) // 2
    row = (left + w / 2, top + h / 2, w / 2, h / 2, 0.9, 0, 0)
    found = task().in_frame(task().read(outputs(row)), preprocess.original_from_tensor(image_size), image_size)
    expected = np.array([width / 4, height / 4, 3 * width / 4, 3 * height / 4]) - 0.5
    np.testing.assert_allclose(found.corners[0], expected, atol=1e-3)


def test_boxes_are_cut_at_the_images_edges_and_left_out_beyond_them() -> None:
    preprocess = Preprocess(size=SIZE, resize="letterbox", interpolation="linear")
    original = preprocess.original_from_tensor((64, 64))  # 16 columns of border on each side
    found = task().read(outputs((16, 32, 20, 20, 0.9, 0, 0), (4, 32, 6, 6, 0.8, 0, 0)))
    placed = task().in_frame(found, original, (64, 64))
    np.testing.assert_allclose(placed.corners, [[-0.5, 21.5, 9.5, 41.5]])
    assert placed.scores.tolist() == pytest.approx([0.9])


def test_what_is_no_number_is_no_box() -> None:
    given = outputs((20, 20, 10, 10, 0.6, 0, 0), (np.nan, 20, 10, 10, 0.9, 0, 0))
    assert task().read(given).scores.tolist() == pytest.approx([0.6])


def test_scores_that_are_no_probabilities_are_told() -> None:
    with pytest.raises(BackendError, match=r"boxes: expected scores from 0 to 1, got 0 to 250: .* --task tensors"):
        task().read(outputs((20, 20, 10, 10, 250, 0, 0)))


def test_facts_have_labels_and_numbers() -> None:
    found = task(labels=("cat", "dog", "owl")).read(outputs((20, 20, 10, 10, 0, 0.5, 0)))
    assert found.facts() == {"boxes": [{"corners": [14.5, 14.5, 24.5, 24.5], "score": 0.5, "class": 1, "label": "dog"}]}
    assert found.figure() == "1 box"
    assert task().read(outputs((20, 20, 10, 10, 0, 0.5, 0))).names() == ["class 1"]


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(BackendError, match=r"expected corners \(N, 4\)"):
        Boxes(np.zeros((2, 4), np.float32), np.zeros(1, np.float32), np.zeros(1, np.int64))


def test_a_manifest_keeps_everything() -> None:
    one = task(labels=("a", "b", "c"))
    assert task_of(one.record()) == one


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ("a",)}, "expected 3, one for each class"),
        ({"threshold": 1.5}, "threshold: expected a number from 0 to 1"),
        ({"iou_threshold": -1}, "iou_threshold: expected a number"),
        ({"max_boxes": 0}, "max_boxes: expected 1 or more"),
        ({"nms_radius_px": 4}, "nms_radius_px: means nothing for a network for boxes; its parameters are: threshold"),
    ],
)
def test_changes_that_cannot_be_meant(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        task().with_changes(**changes)
