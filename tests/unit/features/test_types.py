from __future__ import annotations

import numpy as np
import pytest

from oakpoint.errors import FeaturesError, UsageError
from oakpoint.features.types import PRESETS, DecodeOptions, DenseOutputs, Features, Matches


def zeros(*shape: int, dtype: type = np.float32) -> np.ndarray:
    return np.zeros(shape, dtype)


def test_image_size_is_eight_pixels_a_cell() -> None:
    assert DenseOutputs(zeros(65, 25, 40), zeros(256, 25, 40)).image_size == (320, 200)


@pytest.mark.parametrize(
    ("logits", "descriptors", "said"),
    [
        (zeros(64, 2, 3), zeros(8, 2, 3), "65 channels, got 64"),
        (zeros(65, 2, 3), zeros(8, 3, 2), "same grid"),
        (zeros(1, 65, 2, 3), zeros(8, 2, 3), "rank 3"),
        (zeros(65, 2, 3, dtype=np.float64), zeros(8, 2, 3), "float64"),
    ],
)
def test_misshapen_outputs_are_refused(logits: np.ndarray, descriptors: np.ndarray, said: str) -> None:
    with pytest.raises(FeaturesError, match=said):
        DenseOutputs(logits, descriptors)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"threshold": 1.5}, "from 0 to 1"),
        ({"threshold": float("nan")}, "from 0 to 1"),
        ({"nms_radius_px": -1}, "nms_radius_px"),
        ({"border_px": -4}, "border_px"),
        ({"max_keypoints": 0}, "max_keypoints"),
        ({"nms": "soft"}, "greedy, maxpool"),
        ({"sampling": "nearest"}, "original, superglue, cell_centres"),
        ({"subpixel": "cubic"}, "none, soft_argmax, quadratic"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        DecodeOptions.preset("superpoint").with_changes(**change)


def test_an_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=", ".join(PRESETS)):
        DecodeOptions.preset("orb")


@pytest.mark.parametrize("preset", sorted(set(PRESETS) - {"acorn", "distilled"}))
def test_published_presets_keep_whole_pixels(preset: str) -> None:
    assert DecodeOptions.preset(preset).subpixel == "none"


def test_a_change_of_none_changes_nothing() -> None:
    options = DecodeOptions.preset("superpoint")
    assert options.with_changes(threshold=None, max_keypoints=None) == options
    assert options.with_changes(max_keypoints=7).max_keypoints == 7


@pytest.mark.parametrize(
    ("keypoints", "scores", "descriptors"),
    [
        (zeros(3, 3), zeros(3), zeros(3, 8)),
        (zeros(3, 2), zeros(2), zeros(3, 8)),
        (zeros(3, 2), zeros(3), zeros(8, 3)),
        (zeros(3, 2, dtype=np.float64), zeros(3), zeros(3, 8)),
    ],
)
def test_misshapen_features_are_refused(keypoints: np.ndarray, scores: np.ndarray, descriptors: np.ndarray) -> None:
    with pytest.raises(FeaturesError, match="expected"):
        Features(keypoints, scores, descriptors, (64, 48))


def test_misshapen_matches_are_refused() -> None:
    with pytest.raises(FeaturesError, match="int64"):
        Matches(zeros(2, 2, dtype=np.int32), zeros(2))
    with pytest.raises(FeaturesError, match="distances"):
        Matches(zeros(2, 2, dtype=np.int64), zeros(3))
