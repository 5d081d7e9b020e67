"""Where decoding is done changes nothing of what is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import oakpoint
from oakpoint.convert.graph_edit import rename_tensor
from oakpoint.errors import UsageError
from oakpoint.features.types import Features
from oakpoint.verify.photographs import load_photographs


@pytest.fixture(scope="module")
def photograph() -> NDArray[np.uint8]:
    return next(iter(load_photographs(None).values()))


@pytest.fixture(scope="module")
def acorn_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """acorn as an ONNX file of somebody else's, who calls its input «image»."""
    from oakpoint.backends.registry import RuntimeOptions
    from oakpoint.models.base import ModelOptions
    from oakpoint.models.naming import model_of

    found = model_of("acorn", ModelOptions()).runnable(RuntimeOptions())
    found.prepare((320, 240))
    source = found.source().onnx
    assert source is not None
    model = onnx.load(source)
    rename_tensor(model.graph, "input", "image")
    model.graph.input[0].name = "image"
    path = tmp_path_factory.mktemp("acorn") / "acorn.onnx"
    onnx.save(model, path)
    return path


def require_same(found: Features, expected: Features) -> None:
    assert len(expected) > 50
    np.testing.assert_allclose(found.keypoints, expected.keypoints, atol=1e-3)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    np.testing.assert_allclose(found.descriptors, expected.descriptors, atol=1e-4)


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_each_way_finds_the_same(acorn_onnx: Path, photograph: NDArray[np.uint8], backend: str) -> None:
    options = {"size": (320, 240), "backend": backend, "threshold": 0.01, "subpixel": "soft_argmax"}
    with oakpoint.load(acorn_onnx, decoding="numpy", **options) as reference:
        expected, identity = reference(photograph), reference.identity()
    for decoding in ("auto", "graph"):
        with oakpoint.load(acorn_onnx, decoding=decoding, **options) as extractor:
            require_same(extractor(photograph), expected)
            assert extractor.identity() == identity, "a file that was begun one way goes on the other"
            require_same(extractor.reading(photograph).result(extractor.task), expected)
            assert extractor.dense(photograph)[0].image_size == (320, 240)


@pytest.mark.parametrize("decoding", ["auto", "graph"])
def test_options_may_change_while_it_runs(acorn_onnx: Path, photograph: NDArray[np.uint8], decoding: str) -> None:
    options = {"size": (320, 240), "threshold": 0.01}
    with (
        oakpoint.load(acorn_onnx, decoding="numpy", **options) as reference,
        oakpoint.load(acorn_onnx, decoding=decoding, **options) as extractor,
    ):
        before = extractor(photograph)
        for each in (reference, extractor):
            each.decode = each.decode.with_changes(max_keypoints=60, nms_radius_px=2)
        found = extractor(photograph)
        assert len(found) == 60 != len(before)
        require_same(found, reference(photograph))


def test_sizes_of_their_own(acorn_onnx: Path, photograph: NDArray[np.uint8]) -> None:
    with (
        oakpoint.load(acorn_onnx, size="native", decoding="numpy", threshold=0.01) as reference,
        oakpoint.load(acorn_onnx, size="native", decoding="graph", threshold=0.01) as extractor,
    ):
        for width in (200, 264):
            part = np.ascontiguousarray(photograph[:200, :width])
            require_same(extractor(part), reference(part))


def test_a_bundles_ir_has_the_heat_map_inside(small_bundle: Path, photograph: NDArray[np.uint8]) -> None:
    with (
        oakpoint.load(small_bundle, decoding="numpy", threshold=0.0155) as reference,
        oakpoint.load(small_bundle, threshold=0.0155) as extractor,
    ):
        assert set(extractor.tensors(photograph)[0]) == {"heatmap", "descriptors_by_cell", "logits_by_cell"}
        assert set(reference.tensors(photograph)[0]) == {"semi", "desc"}
        expected = reference.dense(photograph)[0]
        found = extractor.dense(photograph)[0]
        np.testing.assert_array_equal(found.descriptors, expected.descriptors)
        assert extractor.identity() == reference.identity()


def test_what_there_is_not_is_refused(acorn_onnx: Path) -> None:
    with pytest.raises(UsageError, match="expected one of auto, graph, numpy, got 'gpu'"):
        oakpoint.load(acorn_onnx, decoding="gpu")
    with pytest.raises(UsageError, match="graph runs with openvino or onnxruntime, not with torch"):
        oakpoint.load("acorn", decoding="graph", backend="torch")
    with pytest.raises(UsageError, match="subpixel quadratic"):
        oakpoint.load(acorn_onnx, size=(320, 240), decoding="graph", subpixel="quadratic")
    with oakpoint.load(acorn_onnx, size=(320, 240), decoding="graph") as extractor:
        extractor.decode = extractor.decode.with_changes(border_px=120)
        with pytest.raises(UsageError, match="a border of 120 px leaves nothing"):
            extractor(np.zeros((240, 320), np.uint8))
