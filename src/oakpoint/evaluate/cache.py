"""Features kept from one evaluation to the next, by what they were made of, up to a bound in bytes.

What was unused longest goes first, by the files' modification times, which reading sets anew. What this process kept or
used itself stays: of a data set that is larger than the bound the first part is kept, and found the next time; if the
last part took its place, nothing would ever be found.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import os
import time
import zipfile
from collections.abc import Mapping, Set
from pathlib import Path
from typing import final

import numpy as np

from oakpoint.errors import FeaturesError, OutputError, UsageError
from oakpoint.evaluate.pairs import Image
from oakpoint.evaluate.timing import Timed
from oakpoint.features.types import Features
from oakpoint.files import replacing_file

_log = logging.getLogger(__name__)

LIMIT_GB = 8.0
"""Room for HPatches with two networks whose descriptors are as long as SuperPoint's: by the three protocols an image
takes 0.3, 0.7 and at most 4.2 MB (4096 keypoints), its 696 images 3.6 GB."""

_FORMAT = 2
"""Since 2, times are warm at each size."""

_HEADERS_BYTES = 2048
"""What a file takes beside its arrays, at most."""


@final
class FeatureCache:
    """A folder of ``.npz`` files, each named by the SHA-256 of an image's pixels and of the settings.

    Several processes may use one folder. Each keeps to the bound by what it found there when it began and by what it
    added, so that together they may pass it until the next one begins.

    Args:
        folder: where they lie; None keeps nothing.
        limit_gb: how much they may take together, in GB of 10⁹ bytes; above 0.

    Attributes:
        folder: where they lie.
        limit_gb: how much they may take.
        found: how many were there.
        missed: how many were not.
        deleted: how many that were unused longest went, so that others had room.
        left_out: how many were not kept, since there was no room.

    Raises:
        UsageError: a bound that is none.
    """

    def __init__(self, folder: Path | None, *, limit_gb: float = LIMIT_GB) -> None:
        if not (math.isfinite(limit_gb) and limit_gb > 0):
            raise UsageError(
                f"max-cache: expected a positive number of GB, got {limit_gb}; use --no-cache to keep none"
            )
        self.folder = folder
        self.limit_gb = limit_gb
        self.found = 0
        self.missed = 0
        self.deleted = 0
        self.left_out = 0
        self._used: set[Path] = set()
        self._shelf: _Shelf | None = None

    def get(self, key: str) -> Timed | None:
        """What is kept under a key of ``key_of``; None when nothing is, or the file is damaged."""
        timed = self._read(key) if self.folder is not None else None
        self.found += timed is not None
        self.missed += timed is None
        return timed

    def put(self, key: str, timed: Timed) -> None:
        """Keep features and their time, if there is room.

        Raises:
            OutputError: the folder cannot be written.
        """
        if self.folder is None:
            return
        path = self._path(self.folder, key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{path.parent}: cannot be made ({error.strerror}); use --no-cache") from error
        features = timed.features
        arrays = (features.keypoints, features.scores, features.descriptors)
        if not self._make_room(self.folder, sum(array.nbytes for array in arrays) + _HEADERS_BYTES):
            self.left_out += 1
            return
        self._used.add(path)
        with replacing_file(path) as temporary, temporary.open("wb") as stream:
            np.savez(
                stream,
                keypoints=features.keypoints,
                scores=features.scores,
                descriptors=features.descriptors,
                image_size=np.array(features.image_size),
                milliseconds=np.array(timed.milliseconds),
                runtime=np.array(timed.runtime),
            )

    def _make_room(self, folder: Path, needed: int) -> bool:
        """Delete what was unused longest until so many bytes more have room; False when they never will."""
        if self._shelf is None:
            self._shelf = _Shelf(folder)
        limit = int(1e9 * self.limit_gb)
        while self._shelf.total + needed > limit:
            if self._shelf.oldest is None:
                return False
            self.deleted += self._shelf.drop_oldest(self._used)
        self._shelf.total += needed
        return True

    def _read(self, key: str) -> Timed | None:
        assert self.folder is not None
        path = self._path(self.folder, key)
        if not path.is_file():
            return None
        self._used.add(path)
        with contextlib.suppress(OSError):  # the folder may be readable and no more
            os.utime(path)
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
                width, height = arrays["image_size"].tolist()
                features = Features(arrays["keypoints"], arrays["scores"], arrays["descriptors"], (width, height))
                return Timed(features, float(arrays["milliseconds"]), str(arrays["runtime"]))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, FeaturesError) as error:
            _log.warning("%s: damaged, extracted anew (%s)", path, error)
            return None

    @staticmethod
    def _path(folder: Path, key: str) -> Path:
        return folder / key[:2] / f"{key}.npz"


class _Shelf:
    """The files that were there when this process first kept something, the one unused longest first.

    Attributes:
        total: bytes of all files, and of what was added since.
    """

    def __init__(self, folder: Path) -> None:
        started = time.perf_counter()
        found = []
        for place in folder.glob("??/*"):
            with contextlib.suppress(OSError):  # another process deleted it
                status = place.stat()
                found.append((status.st_mtime_ns, status.st_size, place))
        self._files = sorted(found, reverse=True)
        self.total = sum(size for _, size, _ in found)
        _log.info("%s: %d files, %.1f s to count them", folder, len(found), time.perf_counter() - started)

    @property
    def oldest(self) -> Path | None:
        """What would go next; None when nothing is left that could."""
        return self._files[-1][2] if self._files else None

    def drop_oldest(self, used: Set[Path]) -> bool:
        """Delete it unless it was used meanwhile, by this process or another; whether it was deleted."""
        modified_ns, size, path = self._files.pop()
        if path in used:
            return False
        try:
            if path.stat().st_mtime_ns != modified_ns:
                return False
            path.unlink()
        except FileNotFoundError:
            self.total -= size
            return False
        except OSError as error:
            _log.warning("%s: cannot be deleted (%s)", path, error.strerror)
            return False
        self.total -= size
        return True


def key_of(image: Image, settings: Mapping[str, object]) -> str:
    """SHA-256 of an image's shape and pixels and of all settings, in hexadecimal.

    Args:
        image: uint8, as the extractor gets it.
        settings: everything else that decides on the features; values that JSON has.
    """
    digest = hashlib.sha256(json.dumps([_FORMAT, image.shape, settings], sort_keys=True, default=str).encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()
