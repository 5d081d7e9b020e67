"""Many parts as one HDF5 file in hloc's layout: links to HDF5 parts, or a plain copy of either kind."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

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
    names, left_out = _without_clashes(found)
    with storage.writing(INDEX) as path, opened_hdf5(path, "w", Path(INDEX)) as file:
        note_facts(file, SETTINGS, settings)
        for name in names:
            part, content = found.part_of(name)
            file[name] = h5py.ExternalLink(part, f"/{content}")
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
    held, left_out = _without_clashes(parts)
    with replacing_file(path) as temporary, opened_hdf5(temporary, "w", path) as file:
        note_facts(file, SETTINGS, parts.settings)
        for names, features in parts.in_order():
            for name in filter(held.__contains__, names):
                row = parts.rows[name]
                link_features(file, name, features, {**json.loads(row.facts), "sha256": row.sha256})
    return left_out


def _without_clashes(names: Iterable[str]) -> tuple[set[str], dict[str, str]]:
    """The names that one HDF5 file can hold, and why it cannot hold the others: a name that is a folder of others."""
    folders, held = set(), set(names)
    for name in held:
        parts = name.split("/")
        folders |= {"/".join(parts[:depth]) for depth in range(1, len(parts))}
    both = held & folders
    return held - both, {name: f"{name}: is a folder of images as well, no HDF5 file holds both" for name in both}
