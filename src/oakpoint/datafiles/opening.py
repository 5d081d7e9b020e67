"""Data files by the suffix of their name."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from oakpoint.datafiles import hdf5, jsonl, parquet
from oakpoint.datafiles.base import DataWriter, OpenData
from oakpoint.datafiles.types import FrameData, Header
from oakpoint.errors import DataError, UsageError

WRITERS: dict[str, type[DataWriter]] = {
    ".jsonl": jsonl.JsonlWriter,
    ".parquet": parquet.ParquetWriter,
    ".h5": hdf5.Hdf5Writer,
}
"""Suffix → what writes it."""

_READERS: dict[str, Callable[[Path], AbstractContextManager[OpenData]]] = {
    ".jsonl": jsonl.open_data,
    ".parquet": parquet.open_data,
    ".h5": hdf5.open_data,
}


def data_suffix(path: Path) -> str:
    """The suffix by which the format is chosen.

    Raises:
        UsageError: another one.
    """
    suffix = path.suffix.lower()
    if suffix not in WRITERS:
        raise UsageError(f"{path}: expected a name that ends in {', '.join(WRITERS)}, got {path.suffix or 'no suffix'}")
    return suffix


@final
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Track:
    """One thing, followed through the frames.

    Attributes:
        id: the track's number.
        frames: int64 (K,), numbers of the frames that it was seen in, in the order of the file.
        times_s: float64 (K,), their times in seconds; NaN where there is none.
        points: float32 (K, 2), (x, y) in pixels, origin at the centre of the top-left pixel; of boxes their centres.
        scores: float32 (K,).
    """

    id: int
    frames: NDArray[np.int64]
    times_s: NDArray[np.float64]
    points: NDArray[np.float32]
    scores: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.frames)


@final
class RunData:
    """What a run found; made by ``read_data``. Iterate over it for each frame, as often as you like.

    Attributes:
        path: the file, which is read anew each time.
        header: what it says of the run.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self.path = path
        self.header = header

    def __iter__(self) -> Iterator[FrameData]:
        """Each frame; raises ``DataError`` where the file is damaged."""
        with _opened(self.path) as data:
            yield from data.frames()

    def tracks(self, *, least_frames: int = 2) -> dict[int, Track]:
        """The tracks of keypoints or boxes, by their ids, rising. All of them are held in memory.

        Args:
            least_frames: leave out what was seen in fewer.

        Raises:
            DataError: the file is damaged, or what was found is not followed.
        """
        gathered: list[tuple[NDArray[np.int64], Track]] = [(frame["id"], _places(frame)) for frame in self]
        if not gathered:
            return {}
        ids = np.concatenate([of for of, _ in gathered])
        fields = [
            np.concatenate([getattr(part, name) for _, part in gathered])
            for name in ("frames", "times_s", "points", "scores")
        ]
        order = np.argsort(ids, kind="stable")
        known, starts = np.unique(ids[order], return_index=True)
        parts = [np.split(values[order], starts[1:]) for values in fields]
        return {
            number: Track(id=number, frames=frames, times_s=times_s, points=points, scores=scores)
            for number, frames, times_s, points, scores in zip(known.tolist(), *parts, strict=True)
            if number >= 0 and len(frames) >= least_frames
        }


def _places(frame: FrameData) -> Track:
    """Where everything in a frame was, as a track that has no number yet."""
    n = len(frame)
    if "x" in frame.columns:
        points = np.stack([frame["x"], frame["y"]], axis=1)
    else:
        points = np.stack([(frame["x0"] + frame["x1"]) / 2, (frame["y0"] + frame["y1"]) / 2], axis=1)
    return Track(
        id=-1,
        frames=np.full(n, frame.frame, np.int64),
        times_s=np.full(n, np.nan if frame.time_s is None else frame.time_s),
        points=points,
        scores=frame["score"],
    )


def read_data(path: Path | str) -> RunData:
    """Open what ``oakpoint run --data`` wrote, in whichever of its formats. Nothing in a file is ever executed.

    Args:
        path: a file that ends in ``.jsonl``, ``.parquet`` (extra ``data``) or ``.h5``.

    Raises:
        UsageError: another suffix.
        DataError: it is missing, damaged, not written by oakpoint, or of another schema.
        MissingExtraError: Parquet, and pyarrow is not installed.
    """
    path = Path(path)
    with _opened(path) as data:
        return RunData(path, data.header)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[OpenData]:
    """The file; errors name it."""
    reader = _READERS[data_suffix(path)]
    try:
        with reader(path) as data:
            yield data
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
