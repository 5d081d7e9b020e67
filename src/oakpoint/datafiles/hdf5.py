"""HDF5: all rows one after the other in flat datasets, and where each frame's rows begin.

============================ =============== ===========================================================================
dataset                      shape           content
============================ =============== ===========================================================================
``header``                   ()              the header, as JSON
``frames/frame``             (F,)            number of each frame
``frames/name``              text (F,)       its name; empty where it has none
``frames/time_s``            (F,)            its time in seconds; NaN where it has none
``frames/width``, ``height`` (F,)            its size in pixels
``frames/knobs``             text (F,)       the task's parameters with which it was read, as JSON
``frames/row_splits``        (F + 1,)        frame i has the rows from ``row_splits[i]`` to ``row_splits[i + 1]``
``rows/…``                   (R,) or (R, D)  one dataset for each column
============================ =============== ===========================================================================

A text column is two datasets: its texts one after the other in UTF-8, uint8, and ``…_splits``, where each begins.
HDF5's own strings of any length lie in a heap, and a broken one lets its library run forever.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from oakpoint.datafiles.base import BLOCK_BYTES, BLOCK_FRAMES, MAX_BLOCK_BYTES, BlockWriter, checked_texts, offsets_of
from oakpoint.datafiles.types import Column, ColumnType, FrameData, Header, check_knobs
from oakpoint.errors import DataError, OutputError, first_line

_CHUNK_BYTES = 256 << 10
_MAX_HEADER_BYTES = 64 << 20
_BYTES = ColumnType(np.dtype(np.uint8))
_SPLITS = ColumnType(np.dtype(np.int64))
_MAX_CHUNK_BYTES = 64 << 20
_FRAME_TYPES = {
    "frame": ColumnType(np.dtype(np.int64)),
    "name": ColumnType(np.dtype(object)),
    "time_s": ColumnType(np.dtype(np.float64)),
    "width": ColumnType(np.dtype(np.int64)),
    "height": ColumnType(np.dtype(np.int64)),
    "knobs": ColumnType(np.dtype(object)),
    "row_splits": ColumnType(np.dtype(np.int64)),
}


@final
class _Numbers:
    """A dataset that grows."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def put(self, at: int, values: Column) -> None:
        """Write values from a row on; what stood there was not finished."""
        self.dataset.resize(at + len(values), axis=0)
        if len(values):
            self.dataset[at:] = values


@final
class _Texts:
    """Texts in two datasets."""

    def __init__(self, texts: _Numbers, splits: _Numbers) -> None:
        self._texts, self._splits = texts, splits

    def put(self, at: int, values: Column) -> None:
        """See ``_Numbers.put``."""
        encoded = [text.encode() for text in values.tolist()]
        begin = int(self._splits.dataset[at])
        self._texts.put(begin, np.frombuffer(b"".join(encoded), np.uint8))
        self._splits.put(at + 1, begin + np.cumsum([len(text) for text in encoded], dtype=np.int64))


@final
class Hdf5Writer(BlockWriter):
    """Appends to datasets."""

    def __init__(self, path: Path, header: Header) -> None:
        import h5py

        super().__init__(path, header)
        self._count = self._rows = 0
        with self._writing():
            self._file = h5py.File(path, "w")
            text = header.text().encode()
            self._file.create_dataset("header", data=text, dtype=h5py.string_dtype("utf-8", len(text)))
            self._frame_sets = {name: self._made(f"frames/{name}", kind) for name, kind in _FRAME_TYPES.items()}
            self._row_sets = {name: self._made(f"rows/{name}", kind) for name, kind in self._types.items()}
            self._frame_sets["row_splits"].put(0, np.zeros(1, np.int64))

    def _made(self, name: str, kind: ColumnType) -> _Numbers | _Texts:
        if kind.dtype == object:
            texts, splits = self._numbers(name, _BYTES), self._numbers(f"{name}_splits", _SPLITS)
            splits.put(0, np.zeros(1, np.int64))
            return _Texts(texts, splits)
        return self._numbers(name, kind)

    def _numbers(self, name: str, kind: ColumnType) -> _Numbers:
        row_bytes = kind.dtype.itemsize * (kind.values or 1)
        dataset = self._file.create_dataset(
            name,
            kind.shape(0),
            kind.dtype,
            maxshape=(None, *kind.shape(0)[1:]),
            chunks=kind.shape(max(1, min(4096, _CHUNK_BYTES // row_bytes))),
            compression="gzip",
            compression_opts=1,
            shuffle=True,
        )
        return _Numbers(dataset)

    def _write(self, frames: list[FrameData]) -> None:
        facts = {
            "frame": [frame.frame for frame in frames],
            "name": [frame.name or "" for frame in frames],
            "time_s": [math.nan if frame.time_s is None else frame.time_s for frame in frames],
            "width": [frame.size[0] for frame in frames],
            "height": [frame.size[1] for frame in frames],
            "knobs": [json.dumps(dict(frame.knobs), allow_nan=False) for frame in frames],
        }
        offsets = np.array(offsets_of(frames), np.int64)
        with self._writing():
            for name, target in self._row_sets.items():
                target.put(self._rows, self._column(frames, name))
            for name, values in facts.items():
                self._frame_sets[name].put(self._count, np.array(values, _FRAME_TYPES[name].dtype))
            self._frame_sets["row_splits"].put(self._count + 1, self._rows + offsets[1:])
        self._count, self._rows = self._count + len(frames), self._rows + int(offsets[-1])

    def release(self) -> None:
        """See ``DataWriter.release``."""
        with self._writing():
            self._file.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError) as error:
            raise OutputError(f"{self._path}: cannot be written ({first_line(error)})") from error


@final
class OpenHdf5:
    """See ``base.OpenData``."""

    def __init__(self, file: Any) -> None:
        self.header = Header.from_text(_header_text(file))
        self._types = self.header.types()
        self._count = len(_dataset(file, "frames/frame", _FRAME_TYPES["frame"], None))
        self._splits = _dataset(file, "frames/row_splits", _SPLITS, self._count + 1)
        self._rows = int(self._splits[-1])
        self._frame_sets = {
            name: _column(file, f"frames/{name}", kind, self._count)
            for name, kind in _FRAME_TYPES.items()
            if name != "row_splits"
        }
        self._row_sets = {name: _column(file, f"rows/{name}", kind, self._rows) for name, kind in self._types.items()}

    def frames(self) -> Iterator[FrameData]:
        """See ``base.OpenData.frames``."""
        row_bytes = max(1, sum(kind.dtype.itemsize * (kind.values or 1) for kind in self._types.values()))
        begin = 0
        while begin < self._count:
            splits = _rising(self._splits, begin, min(begin + BLOCK_FRAMES, self._count), self._rows)
            fitting = int(np.searchsorted(splits, splits[0] + BLOCK_BYTES // row_bytes, side="right")) - 1
            end = begin + max(1, fitting)
            splits = splits[: end - begin + 1]
            _require_small(int(splits[-1] - splits[0]) * row_bytes)
            yield from self._block(begin, end, splits)
            begin = end

    def _block(self, begin: int, end: int, splits: NDArray[np.int64]) -> Iterator[FrameData]:
        facts = {name: read(begin, end).tolist() for name, read in self._frame_sets.items()}
        rows = {name: read(int(splits[0]), int(splits[-1])) for name, read in self._row_sets.items()}
        starts = (splits - splits[0]).tolist()
        for i in range(end - begin):
            yield FrameData(
                frame=facts["frame"][i],
                name=facts["name"][i] or None,
                time_s=None if math.isnan(facts["time_s"][i]) else facts["time_s"][i],
                size=(facts["width"][i], facts["height"][i]),
                knobs=check_knobs(json.loads(facts["knobs"][i])),
                columns={name: column[starts[i] : starts[i + 1]] for name, column in rows.items()},
            )


def _header_text(file: Any) -> bytes:
    import h5py

    dataset = _linked(file, "header")
    text = h5py.check_string_dtype(dataset.dtype)
    if dataset.shape != () or text is None or text.length is None or text.length > _MAX_HEADER_BYTES:
        raise DataError("is no file of oakpoint run's --data")
    return bytes(dataset[()])


def _linked(file: Any, name: str) -> Any:
    """A dataset of this very file: links and datasets can lead to others.

    Raises:
        DataError: there is none.
    """
    import h5py

    holder = file
    for part in name.split("/"):
        if not isinstance(holder, h5py.Group) or not isinstance(holder.get(part, getlink=True), h5py.HardLink):
            raise DataError(f"expected {name}, found none")
        holder = holder[part]
    if not isinstance(holder, h5py.Dataset) or holder.is_virtual or holder.external:
        raise DataError(f"expected values under {name}, got something else")
    return holder


def _dataset(file: Any, name: str, kind: ColumnType, rows: int | None) -> Any:
    """A dataset as the writer makes them, all of it in the file.

    Raises:
        DataError: another type or shape, or less than it claims.
    """
    dataset = _linked(file, name)
    count = dataset.shape[0] if dataset.shape else 0
    if dataset.dtype != kind.dtype or dataset.shape != kind.shape(count if rows is None else rows):
        expected = "any number of rows" if rows is None else kind.shape(rows)
        raise DataError(f"{name}: expected {kind.dtype} {expected}, got {dataset.dtype} {dataset.shape}")
    chunks = dataset.chunks
    if chunks is None or math.prod(chunks) * kind.dtype.itemsize > _MAX_CHUNK_BYTES:
        raise DataError(f"{name}: expected it in chunks of up to {_MAX_CHUNK_BYTES >> 20} MiB, got others")
    whole = math.prod(-(-side // part) for side, part in zip(dataset.shape, chunks, strict=True))
    if dataset.id.get_num_chunks() < whole:
        raise DataError(f"{name}: holds less than it claims")
    return dataset


def _column(file: Any, name: str, kind: ColumnType, rows: int) -> Callable[[int, int], Column]:
    """What reads rows of a column, from one on to before another.

    Raises:
        DataError: see ``_dataset``.
    """
    if kind.dtype != object:
        dataset = _dataset(file, name, kind, rows)
        return lambda begin, end: np.asarray(dataset[begin:end])
    texts = _dataset(file, name, _BYTES, None)
    splits = _dataset(file, f"{name}_splits", _SPLITS, rows + 1)
    return lambda begin, end: _texts(texts, splits, begin, end)


def _texts(texts: Any, splits: Any, begin: int, end: int) -> Column:
    starts = _rising(splits, begin, end, len(texts))
    _require_small(int(starts[-1] - starts[0]))
    content = texts[int(starts[0]) : int(starts[-1])].tobytes()
    places = (starts - starts[0]).tolist()
    return checked_texts([content[i:j].decode() for i, j in itertools.pairwise(places)])


def _rising(splits: Any, begin: int, end: int, limit: int) -> NDArray[np.int64]:
    """Where the parts from one on to before another begin, and where the last one ends.

    Raises:
        DataError: they do not follow one another from 0 to the limit.
    """
    found = np.asarray(splits[begin : end + 1])
    if not 0 <= found[0] <= found[-1] <= limit or (np.diff(found) < 0).any() or (begin == 0 and found[0] != 0):
        raise DataError("expected splits that rise from 0, got others")
    return found


def _require_small(size: int) -> None:
    if size > MAX_BLOCK_BYTES:
        raise DataError(f"expected frames of less than {MAX_BLOCK_BYTES >> 20} MiB, got a larger one")


@contextlib.contextmanager
def open_data(path: Path) -> Iterator[OpenHdf5]:
    """See ``base.DataFormat.open_data``."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield OpenHdf5(file)
    except FileNotFoundError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError, OverflowError) as error:
        raise DataError("damaged, or no HDF5 file") from error
