"""Features of many images in one HDF5 file, in the layout of hloc (cvg/Hierarchical-Localization).

One group for each image, named by its path relative to the image folder (with ``/``, so groups lie in groups):

=============== ============ ==========================================================================================
dataset         shape        content
=============== ============ ==========================================================================================
``keypoints``   (N, 2)       (x, y) in pixels of the original image, origin at the centre of its top-left pixel
``scores``      (N,)         in [0, 1]
``descriptors`` (D, N)       one column for each keypoint, unit L2 norm
``image_size``  (2,)         (W, H) of the original image in pixels
=============== ============ ==========================================================================================

The frame is the one of ``oakpoint.geometry``: hloc's ``extract_features.py`` resizes with (x + 0.5) · scale − 0.5 as
well, and adds 0.5 only where it hands keypoints to COLMAP. We write float32; hloc writes float16 unless told
otherwise, and both are read. hloc's optional attribute ``uncertainty`` of ``keypoints`` is not written: hloc takes
1 px for it then.

A killed run goes on where it stopped. The file is opened for each image and closed again, a new file appears with its
first image in it, and an image's group is linked into the file in one step when all of it is there. A group that lacks
a dataset, such as a killed hloc leaves, is not in ``stored_names`` and is replaced by ``write_features``.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import h5py
import numpy as np

from oakpoint.errors import FeaturesError, OakpointError, OutputError, first_line
from oakpoint.features.types import Features
from oakpoint.files import replacing_file

_SETTINGS = "oakpoint_settings"
_DATASETS = ("keypoints", "scores", "descriptors", "image_size")


def write_features(path: Path, name: str, features: Features) -> None:
    """Write the features of one image; the file is made when it is missing or empty, an image of that name is replaced.

    Args:
        path: the HDF5 file; its folder must exist.
        name: the image's path relative to the image folder, with ``/``.
        features: N keypoints in the frame of the original image; N may be 0.

    Raises:
        FeaturesError: a file that is not HDF5 or is damaged, or a name that cannot be stored in it.
        OutputError: the file cannot be made or written.
    """
    _check_name(name)
    if path.exists() and not (path.is_file() and path.stat().st_size == 0):
        with _opened(path, "r+") as file:
            _link_group(file, path, name, features)
    else:
        with replacing_file(path) as temporary, _opened(temporary, "w") as file:
            _link_group(file, path, name, features)


def bind_settings(path: Path, settings: Mapping[str, object], *, before: Mapping[str, object] | None = None) -> None:
    """Make sure that a file holds features of one setting only: noted in a new file, compared with an old one's note.

    The note is the attribute ``oakpoint_settings`` of the root group, JSON, which hloc does not look at.

    Args:
        path: the HDF5 file; it is made when it is missing or empty.
        settings: what makes the features, by name; values as JSON has them.
        before: what settings of later versions were in files that do not note them.

    Raises:
        FeaturesError: the file was made by another program, or with other settings; the message says which.
        OutputError: the file cannot be made.
    """
    note = json.dumps(settings, sort_keys=True)
    if not path.exists() or (path.is_file() and path.stat().st_size == 0):
        with replacing_file(path) as temporary, _opened(temporary, "w") as file:
            file.attrs[_SETTINGS] = note
        return
    with _opened(path, "r") as file:
        there = file.attrs.get(_SETTINGS)
    difference = _difference(there, json.loads(note), before or {})
    if difference is not None:
        raise FeaturesError(f"{path}: {difference}; choose another file")


def _difference(there: object, settings: Mapping[str, object], before: Mapping[str, object]) -> str | None:
    """What tells a file's note from the settings; None where they say the same."""
    try:
        noted = json.loads(str(there)) if there is not None else None
    except ValueError:
        noted = None
    if not isinstance(noted, dict):
        return "holds features of another program"
    noted = {**before, **noted}
    for name in sorted({*noted, *settings}):
        if noted.get(name) != settings.get(name):
            return f"holds features made with {name} {noted.get(name)}, now it is {settings.get(name)}"
    return None


def stored_names(path: Path) -> list[str]:
    """Names of the images whose features are complete in the file, sorted.

    Raises:
        FeaturesError: a file that is missing, not HDF5 or damaged.
    """
    names: list[str] = []

    def visit(name: str | bytes, item: Any) -> None:
        if not isinstance(name, str):
            raise TypeError(f"a name that is not UTF-8: {name!r}")
        if isinstance(item, h5py.Group) and _is_complete(item):
            names.append(name)

    with _opened(path, "r") as file:
        file.visititems(visit)
    return sorted(names)


def read_features(path: Path, name: str) -> Features:
    """Read the features of one image, whichever float type they are stored in.

    The order of the file is kept, because files of matches refer to it; one that oakpoint wrote has the highest score
    first.

    Args:
        path: the HDF5 file.
        name: the image's name, one of ``stored_names``.

    Raises:
        FeaturesError: a file that is missing, not HDF5 or damaged, no image of that name, or arrays that are not
            features.
    """
    _check_name(name)
    with _opened(path, "r") as file:
        group = file.get(name)
        if not isinstance(group, h5py.Group) or not _is_complete(group):
            raise FeaturesError(f"{path}: expected a group {name!r} with {', '.join(_DATASETS)}, found none")
        keypoints, scores, descriptors, image_size = (np.asarray(group[dataset][()]) for dataset in _DATASETS)
    if image_size.shape != (2,) or descriptors.ndim != 2 or keypoints.ndim != 2 or scores.ndim != 1:
        raise FeaturesError(
            f"{path}: {name}: expected keypoints (N, 2), scores (N,), descriptors (D, N), image_size (2,), got "
            f"{keypoints.shape}, {scores.shape}, {descriptors.shape}, {image_size.shape}"
        )
    for dataset, array in zip(_DATASETS, (keypoints, scores, descriptors, image_size), strict=True):
        if array.dtype.kind not in "fiu":
            raise FeaturesError(f"{path}: {name}: expected numbers in {dataset}, got {array.dtype}")
    try:
        return Features(
            keypoints.astype(np.float32),
            scores.astype(np.float32),
            np.ascontiguousarray(descriptors.T, np.float32),
            (int(image_size[0]), int(image_size[1])),
        )
    except (FeaturesError, ValueError, OverflowError) as error:
        raise FeaturesError(f"{path}: {name}: {error}") from error


def _link_group(file: Any, path: Path, name: str, features: Features) -> None:
    """Write a group that has no name yet, so that no reader sees it, and give it its name last."""
    _make_room(file, path, name)
    group = h5py.Group(h5py.h5g.create(file.id, None))
    group["keypoints"] = features.keypoints
    group["scores"] = features.scores
    group["descriptors"] = np.ascontiguousarray(features.descriptors.T)
    group["image_size"] = np.array(features.image_size, np.int64)
    file.flush()
    if name in file:
        del file[name]
    file[name] = group


def _make_room(file: Any, path: Path, name: str) -> None:
    """Refuse a name under which there are images, or that lies under an image."""
    standing = file.get(name)
    if isinstance(standing, h5py.Group) and any(isinstance(item, h5py.Group) for item in standing.values()):
        raise FeaturesError(f"{path}: {name!r} is a folder of images here, and cannot be an image as well")
    for parent in list(PurePosixPath(name).parents)[:-1]:
        above = file.get(str(parent))
        if above is not None and (not isinstance(above, h5py.Group) or _is_complete(above)):
            raise FeaturesError(f"{path}: {str(parent)!r} is an image here, and cannot hold {name!r}")


def _is_complete(group: Any) -> bool:
    return all(isinstance(group.get(dataset), h5py.Dataset) for dataset in _DATASETS)


def _check_name(name: str) -> None:
    """HDF5 ends a name at NUL, skips «.» and empty parts, and stores UTF-8, which undecodable bytes cannot become."""
    storable = "\0" not in name and name == name.encode("utf-8", "ignore").decode()
    if not storable or any(part in ("", ".", "..") for part in name.split("/")):
        raise FeaturesError(f"image name: expected a relative path such as 'folder/image.jpg', got {name!r}")


@contextlib.contextmanager
def _opened(path: Path, mode: str) -> Iterator[Any]:
    """An open HDF5 file; whatever h5py raises while it is open becomes one line that names the file."""
    try:
        with h5py.File(path, mode) as file:
            yield file
    except FileNotFoundError as error:
        raise FeaturesError(f"{path}: no such features file") from error
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError) as error:
        raise _translated(path, mode, error) from error


def _translated(path: Path, mode: str, error: Exception) -> OakpointError:
    reason = first_line(error)
    if mode == "w" or (mode == "r+" and (isinstance(error, PermissionError) or "No space left" in str(error))):
        return OutputError(f"{path}: cannot be written ({reason})")
    if isinstance(error, PermissionError):
        return FeaturesError(f"{path}: not permitted to read it")
    if not path.is_file() or not h5py.is_hdf5(path):
        return FeaturesError(f"{path}: expected an HDF5 file of features, and this is none")
    return FeaturesError(f"{path}: damaged, or in use by another program ({reason}); close that or write it anew")
