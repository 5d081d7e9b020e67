from __future__ import annotations

import numpy as np
import pytest

from oakpoint.errors import ImageError, UsageError
from oakpoint.evaluate.protocols import PROTOCOLS
from oakpoint.tasks.base import Task
from oakpoint.tasks.boxes.result import Boxes
from oakpoint.tasks.boxes.task import BoxesTask
from oakpoint.tasks.classes.result import Classes
from oakpoint.tasks.classes.task import ClassesTask
from oakpoint.tasks.mask.result import NOT_SEEN, Mask
from oakpoint.tasks.mask.task import MaskTask
from oakpoint.tasks.tensors.task import RawTensors
from oakpoint.tune.accuracy import FIGURE, AgreementJudge, KeypointJudge, figures
from oakpoint.tune.photographs import pairs_of, photographs_in


def classes(*indices: int) -> Classes:
    return Classes(np.array(indices), np.full(len(indices), 1 / len(indices), np.float32))


def mask(rows) -> Mask:
    return Mask(np.array(rows, np.int16))


def boxes(*corners) -> Boxes:
    n = len(corners)
    return Boxes(np.array(corners, np.float32).reshape(n, 4), np.full(n, 0.5, np.float32), np.zeros(n, np.int64))


def test_classes_agree_in_the_first():
    task = ClassesTask(classes=5)
    assert task.agreement(classes(3, 1, 0), classes(3, 0, 1)) == 1
    assert task.agreement(classes(3, 1, 0), classes(1, 3, 0)) == 0


def test_masks_agree_by_the_mean_over_classes_of_what_they_share():
    task = MaskTask(channels=3)
    a, b = mask([[0, 0, 0, 1]]), mask([[0, 0, 1, 1]])
    assert task.agreement(a, b) == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert task.agreement(a, a) == 1
    unseen = mask([[0, 0, NOT_SEEN, 1]])
    assert task.agreement(unseen, b) == 1
    assert task.agreement(mask([[NOT_SEEN]]), mask([[1]])) == 1


def test_boxes_agree_by_the_share_found_again():
    task = BoxesTask(
        layout="yolov8", classes=1, strides=(8,), size=(64, 64), threshold=0.2, iou_threshold=0.5, max_boxes=10
    )
    one, other, far = [0, 0, 10, 10], [0, 0, 10, 9], [40, 40, 50, 50]
    assert task.agreement(boxes(one), boxes(other)) == 1
    assert task.agreement(boxes(one, far), boxes(other)) == pytest.approx(2 / 3)
    assert task.agreement(boxes(one), boxes(far)) == 0
    assert task.agreement(boxes(), boxes()) == 1


def test_of_tensors_nothing_is_known():
    with pytest.raises(UsageError, match="no figure says how good they are"):
        Task.agreement(RawTensors(), None, None)


class Finds:
    """A predictor of one class for each image, by its brightness."""

    def __init__(self, step: int) -> None:
        self.task, self._step = ClassesTask(classes=8), step

    def __call__(self, image):
        return classes(int(image.mean()) // self._step)


def test_the_judge_of_agreement_has_an_interval_over_images():
    images = [np.full((4, 4), level, np.uint8) for level in (0, 30, 60, 90)]
    judge = AgreementJudge(lambda: iter(images), Finds(32), at="64x64")
    assert judge.accuracy(Finds(32)).value == 1
    found = judge.accuracy(Finds(48))  # 0, 30, 60, 90 are classes 0, 0, 1, 2 in steps of 32, and 0, 0, 1, 1 of 48
    assert found.value == 0.75
    assert found.low < 0.75 < found.high
    assert "64x64" in judge.name
    assert "4 images" in judge.basis


def test_figures_are_shares_that_more_is_better_of():
    assert FIGURE in figures()
    assert {key for key, _ in figures().values()} == set(PROTOCOLS)
    assert all(figure.better == "higher" and not figure.unit for _, figure in figures().values())


def test_pairs_are_those_of_eval(tmp_path, photographs):
    import cv2

    from oakpoint.evaluate.synthetic import SyntheticOptions, synthetic_dataset

    for name in ("camera", "coffee"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), photographs[name])
    mine = pairs_of(photographs_in(tmp_path), views=2, seed=5)
    theirs = synthetic_dataset(tmp_path, SyntheticOptions(views=2, seed=5))
    assert mine.pairs == theirs.pairs == 4
    for a, b in zip(mine.sequences, theirs.sequences, strict=True):
        assert (a.name, a.first.read().tobytes()) == (b.name, b.first.read().tobytes())
        for mine_of_it, theirs_of_it in zip(a.others, b.others, strict=True):
            one, other = mine_of_it.read(), theirs_of_it.read()
            assert one.image.tobytes() == other.image.tobytes()
            assert np.array_equal(one.other_from_first, other.other_from_first)
    with pytest.raises(UsageError, match="figure: expected one of"):
        KeypointJudge(mine, "time_ms")


def test_of_many_images_some_are_taken_evenly(tmp_path):
    import cv2

    for number in range(9):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((80 + number, 100, 3), number, np.uint8))
    taken = photographs_in(tmp_path, most=3)
    assert (list(taken.sizes), taken.found) == (["0.png", "4.png", "8.png"], 9)
    whole = photographs_in(tmp_path)
    assert len(whole) == 9
    assert whole.longer_side_px == 100
    assert whole.ratio == pytest.approx(100 / 84)
    assert whole.digest() == photographs_in(tmp_path).digest() != taken.digest()


def test_an_image_that_cannot_be_read_is_left_out(tmp_path):
    import cv2

    (tmp_path / "broken.png").write_bytes(b"no image")
    cv2.imwrite(str(tmp_path / "good.png"), np.zeros((80, 100, 3), np.uint8))
    found = photographs_in(tmp_path)
    assert (list(found.sizes), list(found.unreadable)) == (["good.png"], ["broken.png"])
    (tmp_path / "good.png").unlink()
    with pytest.raises(ImageError, match=r"broken\.png"):
        photographs_in(tmp_path)
