"""Recordings that are images: a folder of them, or one."""

from __future__ import annotations

from pathlib import Path
from typing import final

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import OutputError
from oakpoint.files import writing
from oakpoint.run.recordings.base import Recording
from oakpoint.view.picture import write_image


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
        path = self._path / self._free_name(name)
        _, data = cv2.imencode(".png", frame)
        try:
            with writing(path):
                path.write_bytes(data.tobytes())
        except OutputError:
            path.unlink(missing_ok=True)  # half a picture
            raise
        return True

    def _free_name(self, name: str | None) -> str:
        """A name that no frame has yet, on file systems that do not tell upper and lower case apart, too."""
        flat = (name or f"frame_{self.frames_written:06d}").replace("/", "_").replace("\\", "_").lstrip("._")
        stem = Path(flat).stem or f"frame_{self.frames_written:06d}"
        for candidate in (stem, flat, f"{stem}_{self.frames_written:06d}"):
            if candidate.lower() not in self._taken:
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
