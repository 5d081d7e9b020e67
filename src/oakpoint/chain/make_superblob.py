"""ONNX → blobs for 1 to 16 shaves, in one file."""

from __future__ import annotations

from oakpoint.bundle.records import StageReport
from oakpoint.chain.making import Making
from oakpoint.convert.blobs_by_shaves import compile_for_shaves
from oakpoint.myriad.superblob import blobs_from_superblob, superblob_from_blobs
from oakpoint.verify.superblob import verify_shaves

SUPERBLOB_FILE = "model.superblob"


def make_superblob(making: Making) -> str:
    """Compile for every number of shaves, and join them."""
    assert making.device_graph is not None
    blobs = compile_for_shaves(
        making.device_graph, compiled=lambda shaves: making.listener.started(f"superblob: {shaves} shaves done")
    )
    (making.folder / SUPERBLOB_FILE).write_bytes(superblob_from_blobs(blobs))
    blob = making.artifact("blob")
    making.add(
        "superblob",
        (SUPERBLOB_FILE,),
        blob.interface,
        parents=making.hashes("onnx"),
        tool=blob.tool,
        command="myriad_compile for 1 to 16 shaves, bsdiff4",
    )
    return blob.tool


def judge_superblob(making: Making) -> StageReport:
    """Execute every blob, and compare it with the one for 8 shaves."""
    blobs = blobs_from_superblob((making.folder / SUPERBLOB_FILE).read_bytes())
    feed = making.artifact("blob").interface.feed(next(iter(making.verifier.images.values())))
    return verify_shaves(blobs, feed, making.task.values)
