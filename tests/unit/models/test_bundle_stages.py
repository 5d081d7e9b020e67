"""The stage map of a bundle: the one that it holds, or one made again, which has to fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oakpoint.bundle.folder import Bundle, open_bundle
from oakpoint.convert.blob_from_onnx import CompiledBlob
from oakpoint.errors import StageMapError
from oakpoint.models import bundle_stages
from oakpoint.models.bundle_stages import stage_map_of
from oakpoint.myriad.blob import read_blob
from oakpoint.myriad.stage_map import StageMap

pytestmark = pytest.mark.compiler


def without_map(bundle: Path) -> Bundle:
    """The bundle as an earlier oakpoint made it."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["artifacts"] = [artifact for artifact in manifest["artifacts"] if artifact["kind"] != "stage_map"]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    (bundle / "model.stages.json").unlink()
    return open_bundle(bundle)


def test_a_conversion_records_it(small_blob_bundle: Path) -> None:
    mapped = stage_map_of(open_bundle(small_blob_bundle))
    blob = read_blob(small_blob_bundle / "model.blob")
    assert len(mapped.stages) == len(list(blob.all_stages()))
    assert {tensor.name for tensor in blob.outputs} <= {tensor.name for tensor in mapped.tensors}


@pytest.mark.slow
def test_made_again_it_is_the_same(small_blob_bundle: Path, copied: Callable[[Path], Path]) -> None:
    recorded = stage_map_of(open_bundle(small_blob_bundle))
    assert stage_map_of(without_map(copied(small_blob_bundle))) == recorded


def test_made_again_of_another_blob_it_is_refused(
    small_blob_bundle: Path, copied: Callable[[Path], Path], tiny_blob: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compile_graph(_: Any, blob: Path, **__: Any) -> Any:
        blob.write_bytes(tiny_blob.read_bytes())
        return compiled

    compiled = CompiledBlob(tool="t", inputs=(), outputs=(), rewrites=(), stages=StageMap((), ()))
    bundle = without_map(copied(small_blob_bundle))
    monkeypatch.setattr(bundle_stages, "compile_graph", compile_graph)
    with pytest.raises(StageMapError, match="has other stages than the one that it holds"):
        stage_map_of(bundle)
    compiled = replace(compiled, stages=None, unmapped="no such file")
    with pytest.raises(StageMapError, match="cannot be had: no such file"):
        stage_map_of(bundle)


@pytest.fixture
def tiny_blob() -> Path:
    return Path(__file__).resolve().parents[2] / "data" / "myriad" / "tiny.blob"
