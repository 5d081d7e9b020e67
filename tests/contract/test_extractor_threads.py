"""Extractors of every backend on the host, of images at their own sizes, in several threads: as in one, to the bit."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oakpoint import predictor as predictor_module
from oakpoint.features.matching import match
from oakpoint.loading import load

SIZES = [(160, 120), (96, 64), (64, 64), (120, 80), (88, 104)]


@pytest.mark.parametrize("backend", ["torch", "onnxruntime", "openvino"])
def test_native_sizes_in_threads(
    backend: str, small_bundle: Path, small_weights: Path, photographs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor_module, "MAX_CACHED_SIZES", 3)
    photograph = photographs["camera"]
    images = [photograph[200 : 200 + height, 150 : 150 + width] for width, height in SIZES]
    weights = small_weights if backend == "torch" else None
    with load(small_bundle, weights=weights, size="native", backend=backend, threshold=0.0) as extractor:
        expected = [extractor(image) for image in images]
        pairs = [match(features, expected[0]) for features in expected]
        assert min(map(len, expected)) > 10
        together = threading.Barrier(3)

        def work(number: int) -> None:
            together.wait(60)
            for step in range(10):
                index = (step * (number + 1)) % len(images)
                got, want = extractor(images[index]), expected[index]
                for name in ("keypoints", "scores", "descriptors"):
                    np.testing.assert_array_equal(getattr(got, name), getattr(want, name))
                np.testing.assert_array_equal(match(got, expected[0]).indices, pairs[index].indices)

        with ThreadPoolExecutor(3) as pool:
            for _ in pool.map(work, range(3)):
                pass
