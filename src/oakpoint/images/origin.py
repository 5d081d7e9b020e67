"""What an image was read from: enough to tell later whether the file is still the same."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from oakpoint.errors import ImageError
from oakpoint.files import sha256_of_file
from oakpoint.images.reading import stat_of

Standing = Literal["same", "changed", "other", "unknown"]


@dataclass(frozen=True)
class ImageOrigin:
    """The file that an image, or a video's frames, come from.

    Its content is what counts. It is hashed only where its place, size and times, which cost nothing to look up, do not
    settle it: a file in the same place that was not written to since is the same.

    Attributes:
        folder: where names begin.
        name: of the file, relative to the folder.
    """

    folder: Path
    name: str
    _hashes: dict[tuple[object, ...], str] = field(default_factory=dict, init=False, repr=False, compare=False)
    _hashing: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / self.name

    def quick(self) -> dict[str, object]:
        """Place, size and times of the file as they are now. The place is hashed: nobody's folders stand in results.

        Raises:
            ImageError: no such file, not a regular one, or a folder on the way that may not be entered.
        """
        found = stat_of(self.path)
        return {
            "place": self.place,
            "bytes": found.st_size,
            "mtime_ns": found.st_mtime_ns,
            "ctime_ns": found.st_ctime_ns,  # a tool can set the other one back
        }

    @cached_property
    def place(self) -> str:
        """Hash of the folder's real path and of the name."""
        return hashlib.sha256(os.fsencode(self.folder.resolve() / self.name)).hexdigest()[:16]

    def facts(self) -> dict[str, object]:
        """All that is noted of the file.

        Raises:
            ImageError: it cannot be read.
        """
        quick = self.quick()
        return {**quick, "sha256": self._sha256(quick)}

    def standing(self, noted: Mapping[str, object] | None) -> Standing:
        """What the file is to one of which these facts were noted.

        Returns:
            ``same`` content; ``changed`` content in the same place; an ``other`` file of another place; ``unknown``
            where nothing was noted.

        Raises:
            ImageError: it cannot be read.
        """
        if noted is None or "sha256" not in noted:
            return "unknown"
        quick = self.quick()
        if all(noted.get(name) == value for name, value in quick.items()) or noted["sha256"] == self._sha256(quick):
            return "same"
        return "changed" if noted.get("place") == self.place else "other"

    def _sha256(self, quick: Mapping[str, object]) -> str:
        """Hash of the content, read once for all frames of a video as long as the file is not written to."""
        key = tuple(quick.values())
        with self._hashing:  # or two threads would both read it
            if key not in self._hashes:
                try:
                    self._hashes[key] = sha256_of_file(self.path)
                except OSError as error:
                    raise ImageError(f"{self.path}: cannot be read ({error.strerror})") from error
            return self._hashes[key]
