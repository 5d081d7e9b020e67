"""Many parts as one HDF5 file in hloc's layout: links to HDF5 parts, or a plain copy of either kind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py

from oakpoint.extraction.parts.reading import FeatureParts
from oakpoint.extraction.parts.storage import Storage
from oakpoint.features.hdf5 import SETTINGS, link_features, note_facts, opened_hdf5
from oakpoint.files import replacing_file

INDEX = "features.h5"


def write_index(storage: Storage, settings: Mapping[str, object]) -> dict[str, str]:
    """Write the file that links each name to its features in an HDF5 part, by paths relative to itself.

    Args:
        storage: of the parts.
        settings: noted in it.

    Returns:
        Why names cannot be in it: one that is a folder of others.
    """
    found = FeatureParts(storage.url)
    left_out: dict[str, str] = {}
    with storage.writing(INDEX) as path, opened_hdf5(path, "w", Path(INDEX)) as file:
        note_facts(file, SETTINGS, settings)
        for name in found:
            part, content = found.part_of(name)
            try:
                file[name] = h5py.ExternalLink(part, f"/{content}")
            except (ValueError, RuntimeError, OSError, KeyError):
                left_out[name] = f"{name}: is a folder of images as well, and no HDF5 file holds both"
    return left_out


def merge(parts: FeatureParts, path: Path) -> dict[str, str]:
    """Write all features to one plain HDF5 file, such as ``oakpoint extract`` writes and can add to.

    Args:
        parts: where from.
        path: the file; replaced as a whole.

    Returns:
        Why names cannot be in it: one that is a folder of others.

    Raises:
        FeaturesError: a part is damaged.
        OutputError: the file cannot be written.
    """
    left_out: dict[str, str] = {}
    with replacing_file(path) as temporary, opened_hdf5(temporary, "w", path) as file:
        note_facts(file, SETTINGS, parts.settings)
        for names, features in parts.in_order():
            for name in names:
                if _clashes(file, name):
                    left_out[name] = f"{name}: is a folder of images as well, and no HDF5 file holds both"
                    continue
                row = parts.rows[name]
                link_features(file, name, features, {**json.loads(row.facts), "sha256": row.sha256})
    return left_out


def _clashes(file: Any, name: str) -> bool:
    """Whether a name stands in the file as a folder, or lies below an image."""
    parents = ["/".join(name.split("/")[:depth]) for depth in range(1, name.count("/") + 1)]
    return name in file or any(parent in file and "keypoints" in file[parent] for parent in parents)
