"""Recordings that are images: a folder of them, or one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import OutputError
from oakpoint.files import writing
from oakpoint.images.reading import IMAGE_SUFFIXES
from oakpoint.run.recordings.base import Recording
from oakpoint.view.picture import encoded, write_image

_LONGEST_STEM_BYTES = 240
"""File systems take 255 for a whole name."""


@final
class FolderRecording(Recording):
    """A PNG for each frame, called as the frame's file is, or by its number."""

    plays = False
    _one_size = False

    def __init__(self, path: Path, fps: float) -> None:
        super().__init__(path, fps)
        self._taken: set[str] = set()

    def _add(self, frame: NDArray[np.uint8], at_s: float | None, name: str | None) -> bool:
        del at_s
        path, content = self._path / self._free_name(name), encoded(frame, ".png")
        try:
            with writing(path):
                path.write_bytes(content)
        except OutputError:
            path.unlink(missing_ok=True)  # half a picture
            raise
        return True

    def _free_name(self, name: str | None) -> str:
        """A name that no frame has yet, on file systems that do not tell upper and lower case apart, too."""
        number = f"{self.frames_written:06d}"
        flat = (name or f"frame_{number}").replace("/", "_").replace("\\", "_").lstrip("._")
        whole = Path(flat)
        stem = (whole.stem if whole.suffix.lower() in IMAGE_SUFFIXES else flat) or f"frame_{number}"
        short = os.fsencode(stem)[: _LONGEST_STEM_BYTES - len(number) - 1].decode(errors="ignore")
        for candidate in (stem, flat, f"{short}_{number}"):
            if len(os.fsencode(candidate)) <= _LONGEST_STEM_BYTES and candidate.lower() not in self._taken:
                self._taken.add(candidate.lower())
                return f"{candidate}.png"
        raise OutputError(f"{self._path}: no name is left for {flat}")


@final
class ImageRecording(Recording):
    """One frame as an image."""

    plays = False

    def _add(self, frame: NDArray[np.uint8], at_s: float | None, name: str | None) -> bool:
        del at_s, name
        write_image(self._path, frame)
        return True
