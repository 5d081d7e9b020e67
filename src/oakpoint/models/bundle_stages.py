"""The stage map of a bundle's blob: the one recorded with it, or made again by compiling its device graph."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from oakpoint.bundle.folder import Bundle
from oakpoint.convert.blob_from_onnx import CompiledBlob, compile_graph
from oakpoint.convert.device_graph import DeviceGraph
from oakpoint.errors import StageMapError
from oakpoint.models.bundle_folder import device_graph_of
from oakpoint.myriad.blob import Blob, read_blob
from oakpoint.myriad.stage_alignment import aligned_map, fits
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
    compiled, own = _compiled_again(bundle, device_graph_of(bundle), blob)
    if compiled.stages is None:
        raise StageMapError(f"{bundle.folder}: the names of its stages cannot be had: {compiled.unmapped}")
    if not same_stages(own, blob):
        raise StageMapError(
            f"{bundle.folder}: compiled again, its blob has other stages than the one that it holds, whose names "
            "cannot be had therefore; convert again"
        )
    return compiled.stages


def _compiled_again(bundle: Bundle, graph: DeviceGraph, blob: Blob) -> tuple[CompiledBlob, Blob]:
    """What the compiler makes of a device graph for as many shaves as a bundle's blob has, and the new blob."""
    shaves = bundle.manifest.device.shaves or blob.header.shaves
    with tempfile.TemporaryDirectory(prefix="oakpoint-stages-") as scratch:
        path = Path(scratch) / "model.blob"
        return compile_graph(graph, path, shaves=shaves), read_blob(path)


def fitting_stage_map(bundle: Bundle, graph: DeviceGraph) -> tuple[StageMap, str]:
    """The map of a bundle's blob, whatever became of the blob since it was compiled.

    Where the recorded map is of another blob, the device graph is compiled again, and the names of its stages are given
    to those of the bundle's blob that do the same.

    Args:
        bundle: with a blob.
        graph: its device graph.

    Returns:
        The map, and what is to be said about it; an empty note where it is the blob's own.

    Raises:
        StageMapError: none can be made.
        BlobError: the blob cannot be read.
        ConversionError: the device graph cannot be compiled.
    """
    blob = read_blob(bundle.path("blob"))
    with contextlib.suppress(StageMapError):
        if bundle.manifest.has("stage_map"):
            recorded = stage_map_from_json(bundle.path("stage_map").read_bytes(), blob)
            if fits(recorded, blob):
                return recorded, ""
    compiled, own = _compiled_again(bundle, graph, blob)
    if compiled.stages is None:
        raise StageMapError(f"the names of its stages cannot be had: {compiled.unmapped}")
    if same_stages(own, blob):
        return compiled.stages, ""
    aligned = aligned_map(compiled.stages, own, blob)
    total, named = len(aligned.stages), sum(bool(stage.name) for stage in aligned.stages)
    note = (
        f"the blob has other stages than the device graph's, compiled again: {named} of its {total} were recognised, "
        f"and {len(aligned.tensors)} of {len(compiled.stages.tensors)} tensors found in its memory"
    )
    return aligned, note
