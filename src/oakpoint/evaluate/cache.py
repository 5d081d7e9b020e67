"""Features kept from one evaluation to the next, by what they were made of."""

from __future__ import annotations

import hashlib
import json
import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import final

import numpy as np

from oakpoint.errors import FeaturesError, OutputError
from oakpoint.evaluate.pairs import Image
from oakpoint.evaluate.timing import Timed
from oakpoint.features.types import Features
from oakpoint.files import replacing_file

_log = logging.getLogger(__name__)

_FORMAT = 1


@final
class FeatureCache:
    """A folder of ``.npz`` files, each named by the SHA-256 of an image's pixels and of the settings.

    Attributes:
        folder: where they lie; None keeps nothing.
        found: how many were there.
        missed: how many were not.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.found = 0
        self.missed = 0

    def get(self, key: str) -> Timed | None:
        """What is kept under a key of ``key_of``; None when nothing is, or the file is damaged."""
        timed = self._read(key) if self.folder is not None else None
        self.found += timed is not None
        self.missed += timed is None
        return timed

    def put(self, key: str, timed: Timed) -> None:
        """Keep features and their time.

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

    def _read(self, key: str) -> Timed | None:
        assert self.folder is not None
        path = self._path(self.folder, key)
        if not path.is_file():
            return None
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


def key_of(image: Image, settings: Mapping[str, object]) -> str:
    """SHA-256 of an image's shape and pixels and of all settings, in hexadecimal.

    Args:
        image: uint8, as the extractor gets it.
        settings: everything else that decides on the features; values that JSON has.
    """
    digest = hashlib.sha256(json.dumps([_FORMAT, image.shape, settings], sort_keys=True, default=str).encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()
