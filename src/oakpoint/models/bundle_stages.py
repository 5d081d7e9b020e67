"""The stage map of a bundle's blob: the one recorded with it, or made again by compiling its device graph."""

from __future__ import annotations

import tempfile
from pathlib import Path

from oakpoint.bundle.folder import Bundle
from oakpoint.convert.blob_from_onnx import compile_graph
from oakpoint.errors import StageMapError
from oakpoint.models.bundle_folder import device_graph_of
from oakpoint.myriad.blob import read_blob
from oakpoint.myriad.stage_map import StageMap, same_stages
from oakpoint.myriad.stage_map_file import stage_map_from_json


def stage_map_of(bundle: Bundle) -> StageMap:
    """Which layer each stage of a bundle's blob is of, and where its tensors lie.

    A bundle that was made before there were such maps is compiled again, which takes some seconds. What comes out must
    have the stages and the memory of the bundle's blob; then its map is that of the bundle's.

    Raises:
        BundleError: the bundle has no blob.
        StageMapError: the recorded map is of another blob; or there is none, and none can be made.
        ConversionError: the device graph cannot be made or compiled again.
    """
    blob = read_blob(bundle.path("blob"))
    if bundle.manifest.has("stage_map"):
        return stage_map_from_json(bundle.path("stage_map").read_bytes(), blob)
    shaves = bundle.manifest.device.shaves or blob.header.shaves
    with tempfile.TemporaryDirectory(prefix="oakpoint-stages-") as scratch:
        path = Path(scratch) / "model.blob"
        compiled = compile_graph(device_graph_of(bundle), path, shaves=shaves)
        if compiled.stages is None:
            raise StageMapError(f"{bundle.folder}: the names of its stages cannot be had: {compiled.unmapped}")
        if not same_stages(read_blob(path), blob):
            raise StageMapError(
                f"{bundle.folder}: compiled again, its blob has other stages than the one that it holds, whose names "
                "cannot be had therefore; convert again"
            )
    return compiled.stages
