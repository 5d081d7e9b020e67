"""The tutorial's way finds what ``decode`` finds with the preset «superpoint»."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from oakpoint.bench.host.tutorial import features_of, tensor_of
from oakpoint.features.decode import decode
from oakpoint.features.types import DecodeOptions, DenseOutputs, Features
from oakpoint.tasks.keypoints.task import superpoint_preprocess

SUPERPOINT = DecodeOptions.preset("superpoint")


def outputs(seed: int, rows: int, columns: int, contrast: float = 3.0) -> DenseOutputs:
    rng = np.random.default_rng(seed)
    logits = (contrast * rng.standard_normal((65, rows, columns))).astype(np.float32)
    logits[64] += 4
    return DenseOutputs(logits, rng.standard_normal((16, rows, columns)).astype(np.float32))


def by_place(features: Features) -> dict[tuple[float, ...], int]:
    return {tuple(place): index for index, place in enumerate(features.keypoints.tolist())}


def assert_same(found: Features, expected: Features) -> None:
    mine, theirs = by_place(found), by_place(expected)
    assert set(mine) == set(theirs)
    order = [mine[place] for place in theirs]
    np.testing.assert_allclose(found.scores[order], expected.scores, atol=1e-6)
    np.testing.assert_allclose(found.descriptors[order], expected.descriptors, atol=1e-4)
    assert found.image_size == expected.image_size
    assert (np.diff(found.scores) <= 0).all()


@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 12), st.floats(1, 6))
def test_it_is_decode_with_the_preset_superpoint(seed: int, rows: int, columns: int, contrast: float) -> None:
    given_ = outputs(seed, rows, columns, contrast)
    assert_same(features_of(given_, SUPERPOINT), decode(given_, SUPERPOINT))


def test_there_are_keypoints_to_compare() -> None:
    assert len(features_of(outputs(3, 30, 40), SUPERPOINT)) > 100


@pytest.mark.parametrize("changes", [{"nms_radius_px": 0}, {"nms_radius_px": 9}, {"border_px": 0}, {"threshold": 0.5}])
def test_options_count(changes: dict[str, float]) -> None:
    options, given_ = replace(SUPERPOINT, **changes), outputs(5, 10, 12)  # type: ignore[arg-type]
    assert_same(features_of(given_, options), decode(given_, options))
    assert len(features_of(given_, options)) != len(features_of(given_, SUPERPOINT))


def test_the_best_are_kept() -> None:
    options = replace(SUPERPOINT, max_keypoints=5)
    found, everything = (features_of(outputs(5, 10, 12), o) for o in (options, SUPERPOINT))
    assert found.scores.tolist() == everything.scores[:5].tolist()


def test_nothing_found_keeps_its_shapes() -> None:
    found = features_of(outputs(5, 4, 5), replace(SUPERPOINT, threshold=1.0))
    assert (found.keypoints.shape, found.scores.shape, found.descriptors.shape) == ((0, 2), (0,), (0, 16))


@pytest.mark.parametrize("shape", [(120, 160), (200, 300, 3)])
def test_its_tensor_is_ours(rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    image: NDArray[np.uint8] = rng.integers(0, 256, shape, np.uint8)
    preprocess = superpoint_preprocess((160, 120))
    expected, _ = preprocess.apply(image)
    np.testing.assert_allclose(tensor_of(image, (160, 120), "area"), expected, atol=1e-6)
