"""Blob → NN archive."""

from __future__ import annotations

from oakpoint.chain.making import BLOB_FILE, Making
from oakpoint.convert.archive_from_blob import write_archive

ARCHIVE_FILE = "model.rvc2.tar.xz"


def make_archive(making: Making) -> str:
    """Pack the blob for DepthAI; what a part of a network gives has no meaning that DepthAI knows."""
    interface = making.artifact("blob").interface
    tool = write_archive(
        making.folder / BLOB_FILE,
        making.folder / ARCHIVE_FILE,
        name=making.title,
        interface=interface,
        heads=making.task.archive_heads(interface.outputs, making.device) if making.split is None else (),
    )
    making.add("archive", (ARCHIVE_FILE,), interface, parents=making.hashes("blob"), tool=tool, command="tar, xz")
    return tool
