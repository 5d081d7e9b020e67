"""What is drawn, counted and told of each kind of result."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from readings import tracked

from oakpoint.errors import UsageError
from oakpoint.features.types import Features
from oakpoint.images.sources import Frame
from oakpoint.run.summary import RunSummary
from oakpoint.tasks.base import Result
from oakpoint.tasks.boxes.result import Boxes
from oakpoint.tasks.classes.result import Classes
from oakpoint.tasks.mask.result import NOT_SEEN, Mask
from oakpoint.tasks.registry import TASKS
from oakpoint.tasks.tensors.task import TensorsFound
from oakpoint.view.results.base import FollowOptions
from oakpoint.view.results.colours import class_colour, drawable_text, put_label
from oakpoint.view.results.registry import VIEWS, Following, view_of, words_of

GREY = np.full((90, 120), 100, np.uint8)
LABELS = ("cat", "dög", "owl")
RESULTS = {
    "keypoints": Features(np.float32([[20, 20]]), np.ones(1, np.float32), np.ones((1, 1), np.float32), (120, 90)),
    "boxes": Boxes(
        np.float32([[10, 20, 60, 80], [70, 5, 119.5, 40]]), np.float32([0.9, 0.4]), np.int64([1, 0]), LABELS
    ),
    "classes": Classes(np.int64([2, 0]), np.float32([0.8, 0.1]), LABELS),
    "mask": Mask(np.int16(np.arange(90)[:, None] // 30 + np.zeros(120, int)), LABELS),
    "tensors": TensorsFound({"y": np.zeros((1, 4), np.float32)}),
}


def test_every_task_has_a_view() -> None:
    assert {view.name for view in VIEWS.values()} == set(TASKS) == set(RESULTS)
    for name, result in RESULTS.items():
        assert view_of(result).name == name


@pytest.mark.parametrize("image", [GREY, np.dstack([GREY, GREY // 2, GREY])], ids=["grey", "colour"])
@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_drawn_and_the_image_left_alone(name: str, image: NDArray[np.uint8]) -> None:
    before = image.copy()
    drawn = view_of(RESULTS[name]).still(image, RESULTS[name])
    np.testing.assert_array_equal(image, before)
    assert (drawn.shape, drawn.dtype) == ((90, 120, 3), np.uint8)
    bare = image if image.ndim == 3 else np.repeat(image[..., np.newaxis], 3, axis=2)
    assert (drawn != bare).any() == (name != "tensors")


EMPTY = {
    "keypoints": Features(
        np.zeros((0, 2), np.float32), np.zeros(0, np.float32), np.zeros((0, 1), np.float32), (120, 90)
    ),
    "boxes": Boxes(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)),
    "mask": Mask(np.full((90, 120), NOT_SEEN, np.int16)),
}


@pytest.mark.parametrize("results", [RESULTS, EMPTY], ids=["something", "nothing"])
def test_a_run_of_every_kind_is_followed_drawn_counted_and_told(results: dict[str, Result]) -> None:
    for name, result in results.items():
        frames = [Frame(GREY, n, f"f{n}", n / 10) for n in range(3)]
        summary = RunSummary()
        for number, frame in enumerate(tracked(frames, result, Following(FollowOptions()))):
            summary.add(frame)
            facts = frame.facts()
            assert (facts["frame"], facts["name"], facts["time_s"]) == (number, f"f{number}", number / 10)
            assert frame.picture().shape[1:] == (120, 3)
        found = summary.facts()
        assert (found["frames"], found["found"]) == (3, name)
        assert words_of(found)
        assert all(isinstance(word, str) for word in words_of(found))


def test_what_is_told_of_boxes() -> None:
    following, summary = Following(FollowOptions(max_length=5)), RunSummary()
    frames = [Frame(GREY, n, "f", None) for n in range(4)]
    told = []
    for frame in tracked(frames, RESULTS["boxes"], following):
        summary.add(frame)
        told.append(frame.facts())
    assert [[box["track"] for box in facts["boxes"]] for facts in told] == [[0, 1]] * 4
    assert told[0]["boxes"][0]["label"] == "dög"
    facts = summary.facts()
    assert (facts["boxes_mean"], facts["tracks"], facts["oldest_track_frames"]) == (2, 2, 4)
    assert facts["boxes_by_class"] == {"dög": 4, "cat": 4}
    assert facts["tracks_mean_per_frame"] == pytest.approx(2)


def test_what_is_told_of_classes_and_masks() -> None:
    for name, key, expected in (
        ("classes", "first_class_frames", {"owl": 2}),
        ("mask", "shares_by_class", {"cat": 1 / 3, "dög": 1 / 3, "owl": 1 / 3}),
    ):
        summary = view_of(RESULTS[name]).summary()
        summary.add(RESULTS[name], None)
        summary.add(RESULTS[name], None)
        assert summary.facts(2)[key] == pytest.approx(expected)


def test_the_background_of_a_mask_stays_as_it_is() -> None:
    halves = np.int16(np.arange(120) >= 60) + np.zeros((90, 1), np.int16)
    image = np.full((90, 120, 3), 120, np.uint8)
    for labels, clear in (((), True), (("background", "road"), True), (("road", "sky"), False)):
        drawn = view_of(Mask(halves, labels)).still(image, Mask(halves, labels))
        assert (drawn[60:, :50] == 120).all() == clear
        assert (drawn[60:, 70:] != 120).any()


def test_options_of_following_are_checked_whatever_is_found() -> None:
    with pytest.raises(UsageError, match="1"):
        Following(FollowOptions(max_length=1))
    with pytest.raises(UsageError, match="distance"):
        Following(FollowOptions(max_distance=-1.0))


def test_colours_are_bright_and_neighbours_differ() -> None:
    colours = [class_colour(index) for index in range(100)]
    assert all(max(colour) >= 190 for colour in colours)
    assert all(np.abs(np.subtract(a, b)).max() > 60 for a, b in itertools.pairwise(colours))
    assert class_colour(5) == class_colour(5)


def test_labels_stay_within_the_picture() -> None:
    for left, bottom in ((-50, -50), (500, 500), (3, 2)):
        canvas = np.zeros((60, 80, 3), np.uint8)
        put_label(canvas, "a long label that does not fit", left, bottom, (0, 255, 0))
        assert canvas.any()
    assert drawable_text("dög") == "d?g"
