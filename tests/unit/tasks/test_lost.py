"""What coarser arithmetic loses, in the words of each task."""

from __future__ import annotations

import numpy as np
import pytest

from oakpoint.backends.base import Tensors
from oakpoint.errors import BackendError
from oakpoint.features.types import Features
from oakpoint.tasks.classes.task import ClassesTask
from oakpoint.tasks.keypoints.lost import lost_matching
from oakpoint.tasks.lost import accuracy_given_up, unexplained_variance
from oakpoint.tasks.mask.task import MaskTask
from oakpoint.tasks.quantised import QuantisedComparison, mean_lost
from oakpoint.tasks.tensors.task import RawTensors


def test_an_error_of_a_tenth_of_the_deviation_leaves_a_hundredth_unexplained(rng: np.random.Generator) -> None:
    values = 50 + rng.standard_normal(100_000)
    got = {"a": values + 0.1 * rng.standard_normal(100_000), "b": values}
    assert unexplained_variance({"a": values, "b": values}, got) == pytest.approx(0.01, rel=0.03)
    assert unexplained_variance({"a": values}, {"a": values}) == 0
    assert unexplained_variance({"a": values}, {"a": np.full_like(values, 50.0)}) == pytest.approx(1, rel=0.01)


def test_what_is_no_number_is_all_wrong_and_what_is_left_out_is_not_compared() -> None:
    a, b = np.array([1.0, 2.0]), np.array([1.0, np.nan])
    assert unexplained_variance({"a": a}, {"a": b}) == 1
    assert unexplained_variance({"a": b}, {"a": a}) == 0, "where the reference is none, nothing can be said"
    assert np.isnan(unexplained_variance({"a": a}, {"a": b}, frozenset({"a"})))
    assert unexplained_variance({"a": np.zeros(3)}, {"a": np.ones(3)}) == 1


def test_to_choose_the_other_of_two_equal_classes_costs_nothing() -> None:
    probabilities = np.array([0.45, 0.45, 0.1])
    assert accuracy_given_up(probabilities, np.asarray(1)) == 0
    assert accuracy_given_up(probabilities, np.asarray(2)) == pytest.approx(0.35)


def test_a_classifier_loses_what_its_first_class_was_more_probable() -> None:
    task = ClassesTask(classes=3, activation="none")
    sure, turned = ({"out": np.array([row], np.float32)} for row in ([0.7, 0.2, 0.1], [0.1, 0.8, 0.1]))
    assert task.lost([sure, sure], [sure, turned]) == pytest.approx(0.25)


@pytest.mark.parametrize("activation", ["sigmoid", "none"])
def test_a_mask_of_one_channel_turns_at_its_threshold(activation: str) -> None:
    task = MaskTask(channels=1, activation=activation, threshold=0.8)  # type: ignore[arg-type]
    logit = (lambda p: float(np.log(p / (1 - p)))) if activation == "sigmoid" else float
    expected, got = ({"m": np.full((1, 1, 2, 2), logit(p), np.float32)} for p in (0.79, 0.81))
    assert 0 < task.lost([expected], [got]) < 0.03
    far = {"m": np.full((1, 1, 2, 2), logit(0.99), np.float32)}
    assert task.lost([far], [expected]) > 0.9
    assert task.lost([far], [far]) == 0


def features(keypoints: np.ndarray[tuple[int, int], np.dtype[np.float32]], descriptors: object) -> Features:
    return Features(keypoints, np.ones(len(keypoints), np.float32), np.asarray(descriptors, np.float32), (100, 100))


def test_keypoints_lose_what_is_no_longer_matched_rightly() -> None:
    places = np.array([[10, 10], [50, 50], [80, 20], [20, 80]], np.float32)
    own = np.eye(4, dtype=np.float32)
    good = [features(places, own), features(places, own)]
    swapped = [features(places, own), features(places, own[[1, 0, 2, 3]])]
    assert lost_matching(good, good, np.eye(3)) == 0
    assert lost_matching(good, swapped, np.eye(3)) == pytest.approx(0.5)
    assert lost_matching(swapped, good, np.eye(3)) == pytest.approx(-0.5)
    none = [features(places[:0], own[:0])] * 2
    assert lost_matching(good, none, np.eye(3)) == 1
    assert np.isnan(lost_matching(none, good, np.eye(3)))


def test_a_mean_is_of_what_is_known_and_no_gain() -> None:
    assert mean_lost([0.1, float("nan"), 0.3]) == pytest.approx(0.2)
    assert mean_lost([-0.5, 0.1]) == 0
    assert np.isnan(mean_lost([float("nan")]))


def test_a_comparison_holds_the_mean_to_the_bound_and_refuses_other_outputs() -> None:
    comparison = QuantisedComparison(RawTensors(), 0.01)
    a: Tensors = {"a": np.arange(4, dtype=np.float32)}
    comparison.add([a, a], [a, a])
    assert comparison.figures()["variance not explained"] == 0
    assert [(t.figure, t.limit) for t in comparison.tolerances()] == [("variance not explained", 0.01)]
    with pytest.raises(BackendError, match="outputs: expected"):
        comparison.add([a], [{"a": np.zeros(3, np.float32)}])
    assert QuantisedComparison(RawTensors(), 0.01).why_nothing() is not None
