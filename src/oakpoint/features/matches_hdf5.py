"""Matches of many pairs of images in one HDF5 file, in the layout of hloc (cvg/Hierarchical-Localization).

One group for each pair, ``first/second``, each the image's name in the features file with ``-`` for ``/``:

==================== ======== =====================================================================================
dataset              shape    content
==================== ======== =====================================================================================
``matches0``         (N,)     for each keypoint of the first image the index of its partner in the second, or −1
``matching_scores0`` (N,)     1 − d² / 4 of the descriptors' L2 distance d, float16; 0 where there is no partner
==================== ======== =====================================================================================

Indices are int16 as hloc writes them, and int32 where an image has more keypoints than that holds. hloc reads a pair in
either order. The attribute ``oakpoint_settings`` of the root group says what made the matches, ``oakpoint_names`` of a
pair which images it is of; hloc looks at neither.

Source: ``names_to_pair`` in hloc/utils/parsers.py, ``writer_fn`` in hloc/match_features.py, and the scores of
hloc/matchers/nearest_neighbor.py.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from oakpoint.errors import FeaturesError
from oakpoint.features.hdf5 import SETTINGS, Facts, is_new, note_facts, noted_facts, opened_hdf5, settings_difference
from oakpoint.features.types import Matches
from oakpoint.files import replacing_file, writing, writing_folder

_NAMES, _WHAT = "oakpoint_names", "matches"


@dataclass(frozen=True, slots=True, eq=False)
class NamedMatches:
    """The matches of a pair.

    Attributes:
        first: name of the first image in the features file.
        second: of the second one.
        keypoints: how many there are, in the first and in the second image.
        matches: pairs of them, each keypoint of the first image in one at most.
    """

    first: str
    second: str
    keypoints: tuple[int, int]
    matches: Matches


def pair_name(first: str, second: str) -> str:
    """The group of a pair of images in hloc's files."""
    return f"{first.replace('/', '-')}/{second.replace('/', '-')}"


def check_matches_file(path: Path, settings: Facts) -> None:
    """Make sure that matches of these settings may be added to a file: it is missing, empty, or holds such.

    Raises:
        FeaturesError: it holds matches of another program or of other settings, or is damaged or no HDF5 file.
    """
    if is_new(path):
        return
    with opened_hdf5(path, "r", what=_WHAT) as file:
        difference = settings_difference(file.attrs.get(SETTINGS), settings, {}, what=_WHAT)
    if difference is not None:
        raise FeaturesError(f"{path}: {difference}; choose another file")


def write_matches(path: Path, pairs: Sequence[NamedMatches], settings: Facts) -> None:
    """Add pairs to a file, all or none of them; a pair that is there already, in either order, is replaced.

    Raises:
        FeaturesError: see ``check_matches_file``; or two pairs would have one name.
        OutputError: the file cannot be written, or another process is writing it.
    """
    place = path.resolve() if path.is_symlink() else path
    with writing_folder(place):
        check_matches_file(place, settings)
        with replacing_file(place) as temporary:
            added_to = not is_new(place)
            if added_to:
                with writing(place):
                    shutil.copyfile(place, temporary)
            with opened_hdf5(temporary, "r+" if added_to else "w", place, what=_WHAT) as file:
                note_facts(file, SETTINGS, settings)
                for pair in pairs:
                    _write_pair(file, place, pair)


def read_matches(path: Path, first: str, second: str) -> Matches:
    """The matches of a pair, as hloc reads them: in either order; distances follow from the scores, which are float16.

    Raises:
        FeaturesError: a file that is missing, not HDF5 or damaged, or no such pair.
    """
    with opened_hdf5(path, "r", what=_WHAT) as file:
        straight, reverse = file.get(pair_name(first, second)), file.get(pair_name(second, first))
        group = straight if straight is not None else reverse
        if group is None:
            raise FeaturesError(f"{path}: no matches of {first} and {second}")
        partners, scores = np.asarray(group["matches0"][()]), np.asarray(group["matching_scores0"][()])
    rows = np.flatnonzero(partners != -1)
    indices = np.stack([rows, partners[rows]], axis=1).astype(np.int64)
    distances = 2 * np.sqrt(np.clip(1 - scores[rows].astype(np.float32), 0, 1))
    if straight is None:
        order = np.argsort(indices[:, 1], kind="stable")
        indices, distances = indices[order, ::-1], distances[order]
    return Matches(np.ascontiguousarray(indices), distances)


def _write_pair(file: Any, path: Path, pair: NamedMatches) -> None:
    names = {"first": pair.first, "second": pair.second}
    turned = {"first": pair.second, "second": pair.first}
    for name in {pair_name(pair.first, pair.second), pair_name(pair.second, pair.first)}:
        if name in file:
            if noted_facts(file[name].attrs.get(_NAMES)) not in (names, turned):
                raise FeaturesError(
                    f"{path}: hloc's name of {pair.first} and {pair.second}, {name!r}, is that of another pair, too; "
                    "rename one of the images"
                )
            del file[name]
    partners = np.full(pair.keypoints[0], -1, np.int32)
    scores = np.zeros(pair.keypoints[0], np.float16)
    rows = pair.matches.indices[:, 0]
    partners[rows] = pair.matches.indices[:, 1]
    scores[rows] = 1 - pair.matches.distances**2 / 4
    small = max(pair.keypoints) <= np.iinfo(np.int16).max
    group = file.create_group(pair_name(pair.first, pair.second))
    group["matches0"] = partners.astype(np.int16) if small else partners
    group["matching_scores0"] = scores
    note_facts(group, _NAMES, names)
