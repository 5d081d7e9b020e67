"""Our blob model and DepthAI's own reader see the same in every blob at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from oakpoint.myriad.blob import Blob, read_blob
from oakpoint.myriad.format import DataType

depthai = pytest.importorskip("depthai")

DATA = Path(__file__).resolve().parents[1] / "data" / "myriad"
TYPES = {"U8F": DataType.U8, "FP16": DataType.FP16, "INT": DataType.S32, "FP32": DataType.FP32, "I8": DataType.I8}


def compare(path: Path) -> None:
    ours: Blob = read_blob(path)
    theirs = depthai.OpenVINO.Blob(path)
    assert len(ours.stages) == theirs.stageCount
    assert (ours.header.shaves, ours.header.cmx_slices) == (theirs.numShaves, theirs.numSlices)
    for tensors, infos in ((ours.inputs, theirs.networkInputs), (ours.outputs, theirs.networkOutputs)):
        assert {tensor.name for tensor in tensors} == set(infos)
        for tensor in tensors:
            info = infos[tensor.name]
            assert list(tensor.shape) == list(info.dims)[::-1]
            assert tensor.dtype is TYPES[info.dataType.name]
            assert tensor.order == info.order.name


def test_tiny_blob() -> None:
    compare(DATA / "tiny.blob")


@pytest.mark.shared
def test_shared_blobs(shared: Path) -> None:
    paths = sorted((shared / "blobs").glob("*.blob"))
    assert paths
    for path in paths:
        compare(path)
