"""What a decoding graph finds is held against the reference's: ties are excused, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.errors import BackendError
from oakpoint.features.types import DecodeOptions
from oakpoint.tasks.keypoints.fused.agreement import FoundAgreement, places_of
from oakpoint.tasks.keypoints.task import Keypoints
from oakpoint.tasks.keypoints.tolerances import IN_ORDER

ROWS, COLUMNS = 6, 8
SIZE = COLUMNS * 8, ROWS * 8
DECODE = DecodeOptions.preset("acorn").with_changes(threshold=0.02, border_px=2, nms_radius_px=3)
UNEXPLAINED = "keypoints that rounding does not explain"


def task_of(**changes: object) -> Keypoints:
    return Keypoints(decode=DECODE.with_changes(**changes), family="score_map", activated=True)


@pytest.fixture
def tensors() -> Tensors:
    rng = np.random.default_rng(0)
    scores = (rng.random((1, 1, ROWS * 8, COLUMNS * 8)) * 0.9).astype(np.float32)
    return {"scores": scores, "descriptors": rng.normal(size=(1, 8, ROWS, COLUMNS)).astype(np.float32)}


def found(task: Keypoints, tensors: Tensors) -> dict[str, NDArray[np.float32]]:
    features = task.read(tensors)
    return {
        "keypoints": features.keypoints.copy(),
        "scores": features.scores.copy(),
        "descriptors": features.descriptors.copy(),
    }


def figures(task: Keypoints, tensors: Tensors, got: Tensors) -> dict[str, float]:
    agreement = FoundAgreement(task, SIZE)
    agreement.add([agreement.reference(tensors)], [agreement.candidate(got)])
    return agreement.figures()


@pytest.mark.parametrize("limit", [None, 5])
@pytest.mark.parametrize("subpixel", ["none", "soft_argmax"])
def test_the_same_is_the_same(tensors: Tensors, limit: int | None, subpixel: str) -> None:
    task = task_of(max_keypoints=limit, subpixel=subpixel)
    same = figures(task, tensors, found(task, tensors))
    assert same["keypoints in common"] == 1
    assert same[UNEXPLAINED] == same[IN_ORDER] == same["largest score error"] == same["largest distance, px"] == 0
    assert same["keypoints compared"] == len(task.read(tensors)) > 0


def without_one(got: dict[str, NDArray[np.float32]]) -> None:
    for name in got:
        got[name] = np.delete(got[name], 3, axis=0)


def one_moved(got: dict[str, NDArray[np.float32]]) -> None:
    got["keypoints"][3] += 0.5


def one_more(got: dict[str, NDArray[np.float32]]) -> None:
    for name in got:
        got[name] = np.concatenate([got[name], got[name][-1:]])


def wrong_order(got: dict[str, NDArray[np.float32]]) -> None:
    for name in got:
        got[name] = got[name][::-1].copy()


def wrong_scores(got: dict[str, NDArray[np.float32]]) -> None:
    got["scores"] *= 0.5


def no_numbers(got: dict[str, NDArray[np.float32]]) -> None:
    got["keypoints"][:] = np.nan


@pytest.mark.parametrize(
    ("spoil", "figure", "at_least"),
    [
        (without_one, UNEXPLAINED, 1),
        (one_moved, UNEXPLAINED, 2),
        (one_more, UNEXPLAINED, 1),
        (wrong_order, IN_ORDER, 1),
        (wrong_scores, "largest score error", 0.5),
        (no_numbers, UNEXPLAINED, 2),
    ],
)
def test_what_is_wrong_shows(
    tensors: Tensors, spoil: Callable[[dict[str, NDArray[np.float32]]], None], figure: str, at_least: float
) -> None:
    task = task_of()
    got = found(task, tensors)
    spoil(got)
    assert figures(task, tensors, got)[figure] >= at_least


def test_a_tie_may_go_either_way(tensors: Tensors) -> None:
    """Two neighbours that are equal to float32's last bits: which of them stays is the runtime's own."""
    scores = np.zeros_like(tensors["scores"])
    scores[0, 0, 20, [20, 22]] = 0.5, 0.500001
    task = task_of(subpixel="none")
    given = tensors | {"scores": scores}
    other = found(task, given)
    np.testing.assert_array_equal(other["keypoints"], [[22, 20]])
    other["keypoints"][0, 0] = 20
    tie = figures(task, given, other)
    assert tie[UNEXPLAINED] == 0
    assert tie["keypoints that hang on rounding"] == 1
    scores[0, 0, 20, 20] = 0.4
    assert figures(task, tensors | {"scores": scores}, other)[UNEXPLAINED] == 2


def test_which_are_the_best_of_so_many_may_hang_on_rounding(tensors: Tensors) -> None:
    scores = np.zeros_like(tensors["scores"])
    scores[0, 0, 20, [10, 20, 30]] = 0.9, 0.500001, 0.5
    task = task_of(subpixel="none", max_keypoints=2)
    places = places_of(scores[0, 0], 1e-3, task)
    assert dict(zip(map(tuple, places.points.tolist()), places.certain.tolist(), strict=True)) == {
        (10, 20): True,
        (20, 20): False,
        (30, 20): False,
    }
    apart = places_of(scores[0, 0], 1e-9, task)
    np.testing.assert_array_equal(apart.points, [[10, 20], [20, 20]])
    assert apart.certain.all()


def test_outputs_of_another_kind_are_refused(tensors: Tensors) -> None:
    task = task_of()
    agreement, got = FoundAgreement(task, SIZE), found(task, tensors)
    for wrong in (tensors, got | {"scores": got["scores"][:-1]}, got | {"descriptors": got["descriptors"][:-1]}):
        with pytest.raises(BackendError, match="expected"):
            agreement.candidate(wrong)
    short = replace(agreement.candidate(got))
    cut = agreement.candidate(got | {"descriptors": got["descriptors"][:, :4]})
    with pytest.raises(BackendError, match="descriptors: expected a length of 8, got 4"):
        agreement.add([agreement.reference(tensors), short], [cut, short])
