"""Blob → NN archive."""

from __future__ import annotations

from oakpoint.chain.make_blob import BLOB_FILE
from oakpoint.chain.making import Making
from oakpoint.convert.archive_from_blob import write_archive

ARCHIVE_FILE = "model.rvc2.tar.xz"


def make_archive(making: Making) -> str:
    """Pack the blob for DepthAI."""
    interface = making.artifact("blob").interface
    tool = write_archive(
        making.folder / BLOB_FILE,
        making.folder / ARCHIVE_FILE,
        name=making.title,
        interface=interface,
        heads=making.task.archive_heads(interface.outputs, making.device),
    )
    making.add("archive", (ARCHIVE_FILE,), interface, parents=making.hashes("blob"), tool=tool, command="tar, xz")
    return tool
