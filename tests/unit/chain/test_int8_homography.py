"""What INT8 loses of homographies: which images count, how wide the interval is, and when nothing was measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from oakpoint.backends.base import Backend
from oakpoint.backends.registry import ModelSource, RuntimeOptions, open_backend
from oakpoint.bundle.folder import open_bundle
from oakpoint.chain import int8_homography
from oakpoint.chain.int8_homography import AT_LEAST, AT_MOST, LOST, HomographyLoss, interval_of
from oakpoint.errors import BackendError
from oakpoint.evaluate.homography import HomographyProtocol
from oakpoint.evaluate.intervals import difference
from oakpoint.features.types import DecodeOptions
from oakpoint.tasks.keypoints.task import Keypoints
from oakpoint.tasks.quantised import QuantisedComparison
from oakpoint.tasks.registry import task_of_bundle

AREA = next(figure for figure in HomographyProtocol.figures if figure.key == int8_homography.FIGURE)

Measured = Callable[..., HomographyLoss]


def fails() -> NoReturn:
    raise BackendError("no memory")


@pytest.fixture
def loss(small_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Measured:
    """Of a network and itself, on images of its own, over a few pairs."""
    monkeypatch.setattr(int8_homography, "PAIRS", 4)
    bundle = open_bundle(small_bundle)
    interface, task = bundle.manifest.interface, task_of_bundle(bundle)
    assert isinstance(task, Keypoints)
    at_size = interface.at(interface.size)

    def opened() -> Backend:
        source = ModelSource(onnx=bundle.path("onnx"))
        return open_backend(source, RuntimeOptions(backend="onnxruntime"), at_size.tensors)

    def make(images: dict[str, NDArray[np.uint8]], int8: Callable[[], Backend] = opened) -> HomographyLoss:
        return HomographyLoss(task, interface, images, opened, int8)

    return make


SMALL = np.zeros((40, 60), np.uint8)


def test_an_image_too_small_for_pairs_leaves_the_others(
    loss: Measured, photographs: dict[str, NDArray[np.uint8]]
) -> None:
    found = loss({"small": SMALL, "camera": photographs["camera"]}).lost
    assert (found.value, found.low, found.high) == (0, 0, 0), "of one image the interval is over its pairs"
    assert found.pairs == 4


def test_where_no_image_is_large_enough_that_is_told(loss: Measured) -> None:
    figures = {name: measure() for name, measure in loss({"small": SMALL}).figures().items()}
    assert np.isnan(list(figures.values())).all()
    task = Keypoints(decode=DecodeOptions.preset("superpoint"))
    limits, told, why = int8_homography.homography_limit(task, 0.01)
    words = QuantisedComparison(task, 0.01, limits, told, why).success({task.loses: 0.001, **figures})
    assert words.endswith("homography accuracy lost not measured: no image is large enough for synthetic pairs")


def test_a_model_that_does_not_run_passes_no_limit(loss: Measured, photographs: dict[str, NDArray[np.uint8]]) -> None:
    figures = loss({"camera": photographs["camera"]}, fails).figures()
    assert figures[AT_LEAST]() == figures[LOST]() == figures[AT_MOST]() == 1


@settings(max_examples=20, deadline=None)
@given(images=st.integers(1, 5), seed=st.integers(0, 99))
def test_the_interval_is_as_wide_as_over_pairs_and_over_images(images: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, baseline = rng.exponential(2.0, (2, images * 6))
    names = [str(index) for index in range(images) for _ in range(6)]
    found = interval_of(AREA, values, baseline, names)
    for drawn in (names, list(map(str, range(len(names))))):
        single = difference(AREA, values, baseline, drawn, seed=0)
        assert found.value == single.value
        if len(set(drawn)) > 1:
            assert found.low <= single.low
            assert single.high <= found.high


def test_two_images_of_which_nothing_is_lost_seldom_show_a_loss() -> None:
    """Over two images alone, the interval lies above a hundredth far more often than the fortieth that it says."""
    shown = {"images": 0, "both": 0}
    names = ["a"] * 50 + ["b"] * 50
    for seed in range(60):
        rng = np.random.default_rng(seed)
        values, baseline = rng.lognormal(0, 0.7, (2, 100))
        shown["images"] += difference(AREA, values, baseline, names, seed=0, resamples=200).low > 0.01
        shown["both"] += interval_of(AREA, values, baseline, names).low > 0.01
    assert shown["both"] <= 4
    assert shown["images"] >= 2 * shown["both"] + 3
