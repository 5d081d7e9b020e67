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

A killed run goes on where it stopped. HDF5 changes a file at several places for each image, and a kill between two of
them would ruin all of it. So nothing is ever written to the file that others see (``FeaturesWriter``): an image goes
into a second copy of it, which then takes its place in one step, and the former one gets the same image with the next.
While it is written a file takes twice its room on disk. A group that lacks a dataset, such as a killed hloc leaves, is
not in ``stored_names`` and is replaced.

The attribute ``oakpoint_settings`` of the root group says what made the features, the attribute ``oakpoint_source`` of
an image's group what file they were made from; both are JSON, and hloc looks at neither.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, final

import h5py
import numpy as np

from oakpoint.errors import FeaturesError, OakpointError, OutputError, first_line
from oakpoint.features.types import Features
from oakpoint.files import check_can_write, exchange_files, writing, writing_folder

SETTINGS, _SOURCE = "oakpoint_settings", "oakpoint_source"
_DATASETS = ("keypoints", "scores", "descriptors", "image_size")


Facts = Mapping[str, object]
"""A note in a features file: values as JSON has them, by name."""


@final
class FeaturesWriter:
    """Writes image after image into one features file, which is whole at every moment; see ``writing_features``.

    Attributes:
        path: the HDF5 file.
    """

    def __init__(self, path: Path, folder: Path) -> None:
        """Put a writer together; nothing is opened before the first change.

        Args:
            path: the HDF5 file.
            folder: an empty one on the same file system, for the second copy.
        """
        self.path = path
        self._second = folder / f"second{path.suffix}"
        self._lacks: _Change | None = None
        self._usable = False  # whether the second copy is the file but for the change that it lacks

    def bind(self, settings: Facts, *, before: Facts | None = None, formerly: Facts | None = None) -> bool:
        """Make sure that the file holds features of one setting only: noted in a new file, compared with an old one's.

        Args:
            settings: what makes the features, by name.
            before: what settings of later versions were in files that do not note them.
            formerly: settings that earlier versions noted with less in them, as they noted them. A file that says so is
                taken, and notes the settings of today from now on.

        Returns:
            Whether the file was bound by what it said formerly.

        Raises:
            FeaturesError: the file was made by another program, or with other settings; the message says which.
            OutputError: the file cannot be made.
        """
        now = json.loads(json.dumps(settings))
        if is_new(self.path):
            self._change(lambda file: note_facts(file, SETTINGS, now))
            return False
        with opened_hdf5(self.path, "r") as file:
            there = file.attrs.get(SETTINGS)
        difference = settings_difference(there, now, before or {})
        if difference is None:
            return False
        if not formerly or settings_difference(there, {**now, **formerly}, before or {}) is not None:
            raise FeaturesError(f"{self.path}: {difference}; choose another file")
        self._change(lambda file: note_facts(file, SETTINGS, now))
        return True

    def write(self, name: str, features: Features, source: Facts | None = None) -> None:
        """Write the features of one image; an image of that name is replaced.

        Args:
            name: the image's path relative to the image folder, with ``/``.
            features: N keypoints in the frame of the original image; N may be 0.
            source: what tells the image's file from others.

        Raises:
            FeaturesError: a name that cannot be stored in the file, or a damaged file.
            OutputError: the file cannot be made or written.
        """
        if (reason := refusal_of(self.path, name)) is not None:
            raise FeaturesError(reason)
        self._change(lambda file: link_features(file, name, features, source))

    def _change(self, change: _Change) -> None:
        if not is_new(self.path) and not os.access(self.path, os.W_OK):
            raise OutputError(f"{self.path}: not permitted to write it")
        usable, self._usable = self._usable, False  # as long as it is being changed, and after whatever ends that
        if not (usable and self._changed_second(change)):
            self._copy()
            with opened_hdf5(self._second, "r+" if self._second.exists() else "w", self.path) as file:
                change(file)
        place = self.path.resolve() if self.path.is_symlink() else self.path  # a link stays
        self._usable = exchange_files(self._second, place) and not is_new(self._second)
        self._lacks = change

    def _changed_second(self, change: _Change) -> bool:
        """Bring the second copy up to date; False where it cannot be opened, as while a reader still has it open."""
        try:
            with opened_hdf5(self._second, "r+", self.path) as file:
                if self._lacks is not None:
                    self._lacks(file)
                change(file)
        except FeaturesError:
            return False
        return True

    def _copy(self) -> None:
        """Make the second copy anew."""
        self._second.unlink(missing_ok=True)
        if not is_new(self.path):
            with writing(self.path):
                shutil.copy(self.path, self._second)


_Change = Callable[[Any], None]


@contextlib.contextmanager
def writing_features(path: Path) -> Iterator[FeaturesWriter]:
    """A writer of the HDF5 file at ``path``, which is made when it is missing or empty; one writer at a time.

    The file is whole at every moment, and lacks at most the image that was being written when the process was killed.

    Raises:
        OutputError: its folder does not exist or cannot be written, or another process is writing the file.
    """
    with writing_folder(path.resolve() if path.is_symlink() else path) as folder:
        yield FeaturesWriter(path, folder)
        if path.is_file():
            with writing(path), path.open("rb") as stream:
                os.fsync(stream)


def check_features_file(path: Path) -> None:
    """Refuse early what ``writing_features`` could not make, and what is there and is no HDF5 file.

    Raises:
        FeaturesError: a file of another kind, or a damaged one.
        OutputError: its folder does not exist or cannot be written, or a folder stands there.
    """
    check_can_write(path.resolve() if path.is_symlink() else path)
    if not is_new(path):
        with opened_hdf5(path, "r"):
            pass


def write_features(path: Path, name: str, features: Features) -> None:
    """Write the features of one image, as ``FeaturesWriter.write`` does, which is faster for several.

    Raises:
        FeaturesError: a file that is not HDF5 or is damaged, or a name that cannot be stored in it.
        OutputError: the file cannot be made or written.
    """
    check_name(name)
    with writing_features(path) as writer:
        writer.write(name, features)


def bind_settings(path: Path, settings: Facts, *, before: Facts | None = None, formerly: Facts | None = None) -> bool:
    """See ``FeaturesWriter.bind``."""
    with writing_features(path) as writer:
        return writer.bind(settings, before=before, formerly=formerly)


def settings_difference(there: object, settings: Facts, before: Facts, *, what: str = "features") -> str | None:
    """What tells a file's note from the settings, of several the first in their order; None where they say the same.

    Args:
        there: the attribute ``SETTINGS`` of the file; None where it has none.
        settings: those of today.
        before: what settings of later versions were in files that do not note them.
        what: the file holds.
    """
    noted = noted_facts(there)
    if noted is None:
        return f"holds {what} of another program"
    noted = {**before, **noted}
    for name in (*settings, *sorted(noted.keys() - settings.keys())):
        if noted.get(name) != settings.get(name):
            return f"holds {what} made with {name} {noted.get(name)}, now it is {settings.get(name)}"
    return None


def stored_names(path: Path) -> list[str]:
    """Names of the images whose features are complete in the file, sorted.

    Raises:
        FeaturesError: a file that is missing, not HDF5 or damaged.
    """
    return sorted(stored_sources(path))


def stored_sources(path: Path) -> dict[str, Facts | None]:
    """For each complete image of the file what it was made from; None where the file does not say.

    Raises:
        FeaturesError: a file that is missing, not HDF5 or damaged.
    """
    sources: dict[str, Facts | None] = {}

    def visit(name: str | bytes, item: Any) -> None:
        if not isinstance(name, str):
            raise TypeError(f"a name that is not UTF-8: {name!r}")
        if isinstance(item, h5py.Group) and _is_complete(item):
            sources[name] = noted_facts(item.attrs.get(_SOURCE))

    with opened_hdf5(path, "r") as file:
        file.visititems(visit)
    return sources


def refusal_of(path: Path, name: str) -> str | None:
    """Why an image cannot be stored under a name in a file; None where it can.

    Raises:
        FeaturesError: a file that is not HDF5 or is damaged.
    """
    try:
        check_name(name)
    except FeaturesError as error:
        return str(error)
    if is_new(path):
        return None
    with opened_hdf5(path, "r") as file:
        return _clash(file, path, name)


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
    check_name(name)
    with opened_hdf5(path, "r") as file:
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


def link_features(file: Any, name: str, features: Features, source: Facts | None) -> None:
    """Put features into an open HDF5 file; an image of that name is replaced.

    The group has no name while it is written, so that no reader sees it, and is given its name last.
    """
    group = h5py.Group(h5py.h5g.create(file.id, None))
    group["keypoints"] = features.keypoints
    group["scores"] = features.scores
    group["descriptors"] = np.ascontiguousarray(features.descriptors.T)
    group["image_size"] = np.array(features.image_size, np.int64)
    if source is not None:
        note_facts(group, _SOURCE, source)
    if name in file:
        del file[name]
    file[name] = group


def note_facts(holder: Any, key: str, facts: Facts) -> None:
    """Note facts at a file or group, as JSON."""
    holder.attrs[key] = json.dumps(facts, sort_keys=True)


def noted_facts(note: object) -> dict[str, object] | None:
    """What ``note_facts`` noted; None where that is no note."""
    try:
        facts = json.loads(str(note)) if note is not None else None
    except ValueError:
        return None
    return facts if isinstance(facts, dict) else None


def _clash(file: Any, path: Path, name: str) -> str | None:
    """Why a name cannot be had: there are images under it, or it lies under an image."""
    standing = file.get(name)
    if isinstance(standing, h5py.Group) and any(isinstance(item, h5py.Group) for item in standing.values()):
        return f"{path}: {name!r} is a folder of images here, and cannot be an image as well"
    for parent in list(PurePosixPath(name).parents)[:-1]:
        above = file.get(str(parent))
        if above is not None and (not isinstance(above, h5py.Group) or _is_complete(above)):
            return f"{path}: {str(parent)!r} is an image here, and cannot hold {name!r}"
    return None


def is_new(path: Path) -> bool:
    """Whether a file is still to be made: missing, or empty."""
    return not path.exists() or (path.is_file() and path.stat().st_size == 0)


def _is_complete(group: Any) -> bool:
    return all(isinstance(group.get(dataset), h5py.Dataset) for dataset in _DATASETS)


def check_name(name: str) -> None:
    """Make sure that a features file can hold an image of this name.

    HDF5 ends a name at NUL, skips «.» and empty parts, and stores UTF-8, which undecodable bytes cannot become.

    Raises:
        FeaturesError: it cannot.
    """
    storable = "\0" not in name and name == name.encode("utf-8", "ignore").decode()
    if not storable or any(part in ("", ".", "..") for part in name.split("/")):
        raise FeaturesError(
            f"image name: expected a relative path such as 'folder/image.jpg' in UTF-8, got {name!r}; rename the file"
        )


@contextlib.contextmanager
def opened_hdf5(path: Path, mode: str, shown: Path | None = None, *, what: str = "features") -> Iterator[Any]:
    """An open HDF5 file of ``what``; what h5py raises while it is open becomes one line that names it, or ``shown``."""
    try:
        with h5py.File(path, mode) as file:
            yield file
    except FileNotFoundError as error:
        raise FeaturesError(f"{path}: no such {what} file") from error
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError) as error:
        raise _translated(path, mode, error, shown or path, what) from error


def _translated(path: Path, mode: str, error: Exception, shown: Path, what: str) -> OakpointError:
    reason = first_line(error)
    if mode == "w" or (mode == "r+" and (isinstance(error, PermissionError) or "No space left" in str(error))):
        return OutputError(f"{shown}: cannot be written ({reason})")
    if isinstance(error, PermissionError):
        return FeaturesError(f"{shown}: not permitted to read it")
    if not path.is_file() or not h5py.is_hdf5(path):
        return FeaturesError(f"{shown}: expected an HDF5 file of {what}, and this is none")
    return FeaturesError(f"{shown}: damaged, or in use by another program ({reason}); close that or write it anew")
