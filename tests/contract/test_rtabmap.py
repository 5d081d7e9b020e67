"""The blob for RTAB-Map against the blobs that its DepthAI driver was written for, compiled by another party."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from device_form import device_form
from numpy.typing import NDArray

from oakpoint.convert.blob_from_onnx import write_blob
from oakpoint.myriad.blob import Blob, read_blob
from oakpoint.myriad.simulator import Simulator
from oakpoint.tasks.keypoints.heads.base import Heads
from oakpoint.tasks.keypoints.task import superpoint_preprocess

pytestmark = [pytest.mark.shared, pytest.mark.compiler]

SIZE = (320, 200)
BY_SHAVES = [6, pytest.param(5, marks=pytest.mark.slow), pytest.param(10, marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def blobs(
    superpoint_rtabmap_bundle: Path, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[int], tuple[Blob, Blob]]:
    """Ours and theirs, for a number of SHAVEs."""

    def get(shaves: int) -> tuple[Blob, Blob]:
        ours = superpoint_rtabmap_bundle / "model.blob"
        if shaves != 6:
            ours = tmp_path_factory.mktemp("rtabmap") / "model.blob"
            source = superpoint_rtabmap_bundle / "model.onnx"
            write_blob(source, ours, *device_form(source, SIZE, heads=Heads("rtabmap")), shaves=shaves)
        return read_blob(ours), read_blob(shared / "blobs" / f"superpoint_200x320_{shaves}shave.blob")

    return get


@pytest.mark.parametrize("shaves", BY_SHAVES)
def test_names_types_orders_sizes_and_places_are_the_same(
    blobs: Callable[[int], tuple[Blob, Blob]], shaves: int
) -> None:
    ours, theirs = (
        [(t.name, t.dtype, t.order, t.shape, t.layout.strides, t.offset) for t in (*blob.inputs, *blob.outputs)]
        for blob in blobs(shaves)
    )
    assert ours == theirs
    assert {name: shape for name, _, _, shape, _, _ in ours} == {
        "input": (1, 1, 200, 320),
        "heatmap": (1, 200, 320),
        "desc": (1, 25, 40, 256),
    }


@pytest.mark.parametrize("shaves", BY_SHAVES)
def test_every_value_is_the_same_on_photographs(
    blobs: Callable[[int], tuple[Blob, Blob]], photographs: dict[str, NDArray[np.uint8]], shaves: int
) -> None:
    ours, theirs = (Simulator(blob) for blob in blobs(shaves))
    preprocess = replace(superpoint_preprocess(SIZE), baked=True)
    for image in islice(photographs.values(), 3):
        tensor = preprocess.apply(image)[0]
        expected, got = theirs.run({"input": tensor}), ours.run({"input": tensor})
        assert expected["heatmap"].max() > 0.1
        for name, values in expected.items():
            np.testing.assert_array_equal(got[name].view(np.uint16), values.view(np.uint16))
