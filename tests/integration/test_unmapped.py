"""A blob whose stages cannot be named is as good as another; the bundle says why it has no map of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oakpoint.bundle.folder import open_bundle
from oakpoint.bundle.records import Verdict
from oakpoint.convert import blob_from_onnx
from oakpoint.errors import StageMapError

pytestmark = [pytest.mark.compiler, pytest.mark.slow]


def test_a_compiler_whose_graph_is_not_understood(
    command: Callable[..., Any], small_onnx: Path, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> Any:
        raise StageMapError("the compiler's graph has an edge 'New', which is not known")

    monkeypatch.setattr(blob_from_onnx, "internal_graph_from_dot", fail)
    out = tmp_path / "b"
    ran = command("convert", small_onnx, "--size", "160x120", "--images", image_folder, "--to", "blob", "--out", out)
    assert ran.code == 0
    assert "edge 'New', which is not known" in ran.err + ran.out
    bundle = open_bundle(out)
    assert bundle.manifest.failure is None
    assert set(bundle.manifest.verdicts.values()) == {Verdict.PASS}
    assert not bundle.manifest.has("stage_map")
    assert bundle.manifest.not_made == {"stage_map": "the compiler's graph has an edge 'New', which is not known"}
    assert "times by layer cannot be had" in command("inspect", out).err
