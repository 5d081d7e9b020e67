from __future__ import annotations

import numpy as np
import pytest

from oakpoint.errors import UsageError
from oakpoint.tasks.boxes.result import Boxes
from oakpoint.tasks.boxes.tracking import MISSED_FRAMES, BoxTracker


def boxes(*rows: tuple[float, float, int]) -> Boxes:
    """Squares of 10 px by their top-left corner and class."""
    corners = np.float32([[x, y, x + 10, y + 10] for x, y, _ in rows]).reshape(-1, 4)
    classes = np.array([c for *_, c in rows], np.int64)
    return Boxes(corners, np.linspace(1, 0.5, len(rows), dtype=np.float32), classes)


def test_a_box_that_moves_keeps_its_number() -> None:
    tracker = BoxTracker(max_length=3)
    seen = [tracker.update(boxes((2.0 * n, 0, 0), (50, 50, 0))) for n in range(5)]
    assert all(tracks.ids.tolist() == [0, 1] for tracks in seen)
    assert [tracks.ages[0] for tracks in seen] == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(seen[-1].positions[0], [[9, 5], [11, 5], [13, 5]])
    assert np.isnan(seen[0].positions[0, :2]).all()


def test_rows_may_change_places() -> None:
    tracker = BoxTracker()
    tracker.update(boxes((0, 0, 0), (50, 50, 0)))
    assert tracker.update(boxes((51, 50, 0), (1, 0, 0))).ids.tolist() == [1, 0]


def test_the_largest_overlap_goes_first() -> None:
    tracker = BoxTracker()
    tracker.update(boxes((0, 0, 0), (4, 0, 0)))
    assert tracker.update(boxes((3, 0, 0), (0, 0, 0))).ids.tolist() == [1, 0]


def test_another_class_is_another_track() -> None:
    tracker = BoxTracker()
    tracker.update(boxes((0, 0, 0)))
    assert tracker.update(boxes((0, 0, 1))).ids.tolist() == [1]


def test_a_track_outlives_frames_that_miss_it_and_its_number_never_comes_back() -> None:
    tracker = BoxTracker()
    tracker.update(boxes((0, 0, 0)))
    for _ in range(MISSED_FRAMES):
        assert len(tracker.update(boxes()).ids) == 0
    assert tracker.update(boxes((0, 0, 0))).ids.tolist() == [0]
    for _ in range(MISSED_FRAMES + 1):
        tracker.update(boxes())
    assert tracker.update(boxes((0, 0, 0))).ids.tolist() == [1]


def test_no_boxes_keep_types_and_ranks() -> None:
    tracks = BoxTracker(max_length=4).update(boxes())
    assert (tracks.ids.dtype, tracks.ids.shape, tracks.positions.shape) == (np.int64, (0,), (0, 4, 2))


@pytest.mark.parametrize("options", [{"max_length": 1}, {"least_iou": 0.0}, {"least_iou": 1.5}])
def test_options_out_of_range(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="track"):
        BoxTracker(**options)  # type: ignore[arg-type]
