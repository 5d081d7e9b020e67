"""Parquet: a row for each frame, its columns as lists; the header in the schema's metadata.

A row for each keypoint would lose frames without one. Rows are written in groups, and read one group at a time.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, final

from oakpoint.datafiles.base import MAX_BLOCK_BYTES, BlockWriter, checked_texts, offsets_of
from oakpoint.datafiles.types import Column, ColumnType, FrameData, Header, check_knobs
from oakpoint.errors import DataError, OutputError
from oakpoint.files import writing
from oakpoint.runtimes import importing

METADATA = b"oakpoint"
"""The key of the header in the schema's metadata."""

_MAX_METADATA_BYTES = 64 << 20


def import_pyarrow(extra: str = "data") -> Any:
    """Import pyarrow with its Parquet, and return the module.

    Args:
        extra: the extra of oakpoint that is named where it is missing.

    Raises:
        MissingExtraError: it is not installed.
        BackendError: it cannot be imported.
    """
    with importing("pyarrow", extra=extra, purpose=", which reads and writes Parquet,"):
        import pyarrow
        import pyarrow.parquet
    return pyarrow


def _arrow_type(pa: Any, kind: ColumnType) -> Any:
    if kind.dtype == object:
        return pa.string()
    number = pa.from_numpy_dtype(kind.dtype)
    return number if kind.values is None else pa.list_(pa.field("element", number, nullable=False), kind.values)


def _schema(pa: Any, header: Header) -> Any:
    fields = [
        pa.field("frame", pa.int64(), nullable=False),
        pa.field("name", pa.string()),
        pa.field("time_s", pa.float64()),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("knobs", pa.string(), nullable=False),
    ]
    for name, kind in header.types().items():
        of = pa.field("element", _arrow_type(pa, kind), nullable=False)
        fields.append(pa.field(name, pa.list_(of), nullable=False))
    return pa.schema(fields, metadata={METADATA: header.text().encode()})


@final
class ParquetWriter(BlockWriter):
    """Writes groups of rows."""

    @classmethod
    def require(cls) -> None:
        """See ``DataWriter.require``."""
        import_pyarrow()

    def __init__(self, path: Path, header: Header) -> None:
        super().__init__(path, header)
        self._pa = import_pyarrow()
        self._schema = _schema(self._pa, header)
        with writing(path):
            self._file = self._pa.OSFile(os.fsencode(path), "wb")  # by its bytes: a name need not be UTF-8
            self._writer = self._pa.parquet.ParquetWriter(self._file, self._schema, compression="zstd")

    def _write(self, frames: list[FrameData]) -> None:
        pa, offsets = self._pa, offsets_of(frames)
        arrays = [
            [frame.frame for frame in frames],
            [frame.name for frame in frames],
            [frame.time_s for frame in frames],
            [frame.size[0] for frame in frames],
            [frame.size[1] for frame in frames],
            [json.dumps(dict(frame.knobs), allow_nan=False) for frame in frames],
        ]
        plain = [pa.array(values, field.type) for values, field in zip(arrays, self._schema, strict=False)]
        lists = [self._lists(self._column(frames, name), name, offsets) for name in self._types]
        table = pa.Table.from_arrays([*plain, *lists], schema=self._schema)
        with writing(self._path):
            self._writer.write_table(table, row_group_size=len(frames))

    def _lists(self, column: Column, name: str, offsets: Sequence[int]) -> Any:
        pa, wanted = self._pa, self._schema.field(name).type
        if column.ndim == 2:
            values = pa.FixedSizeListArray.from_arrays(pa.array(column.ravel()), type=wanted.value_type)
        else:
            values = pa.array(column, wanted.value_type, from_pandas=False)
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, type=wanted)

    def release(self) -> None:
        """See ``DataWriter.release``."""
        with writing(self._path):
            try:
                self._writer.close()
                self._file.close()
            except self._pa.ArrowException as error:
                raise OutputError(f"{self._path}: cannot be written ({error})") from error


@final
class OpenParquet:
    """See ``base.OpenData``."""

    def __init__(self, pa: Any, file: Any) -> None:
        self._file = file
        schema = file.schema_arrow
        if METADATA not in (schema.metadata or {}):
            raise DataError("is no file of oakpoint run's --data")
        self.header = Header.from_text(schema.metadata[METADATA])
        self._types = self.header.types()
        if not schema.equals(_schema(pa, self.header), check_metadata=False):
            raise DataError("expected the columns that the header names, got others")

    def frames(self) -> Iterator[FrameData]:
        """See ``base.OpenData.frames``."""
        for number in range(self._file.num_row_groups):
            self._check_size(self._file.metadata.row_group(number))
            yield from self._frames_of(self._file.read_row_group(number, use_threads=False))

    def _check_size(self, group: Any) -> None:
        """Refuse a group that would not fit in memory; its columns say how many values they have."""
        chunks = [group.column(i) for i in range(group.num_columns)]
        if any(chunk.num_values < 0 or 8 * chunk.num_values > MAX_BLOCK_BYTES for chunk in chunks):
            raise DataError(f"expected blocks of less than {MAX_BLOCK_BYTES >> 20} MiB, got a larger one")
        if not 0 <= sum(chunk.total_uncompressed_size for chunk in chunks) <= MAX_BLOCK_BYTES:
            raise DataError(f"expected blocks of less than {MAX_BLOCK_BYTES >> 20} MiB, got a larger one")

    def _frames_of(self, table: Any) -> Iterator[FrameData]:
        table.validate(full=True)  # texts in UTF-8, offsets that rise
        plain = {name: table[name].to_pylist() for name in ("frame", "name", "time_s", "width", "height", "knobs")}
        columns = {name: _split(table[name].combine_chunks(), kind) for name, kind in self._types.items()}
        for row in range(table.num_rows):
            time_s = plain["time_s"][row]
            yield FrameData(
                frame=plain["frame"][row],
                name=plain["name"][row],
                time_s=None if time_s is None or math.isnan(time_s) else time_s,
                size=(plain["width"][row], plain["height"][row]),
                knobs=check_knobs(json.loads(plain["knobs"][row])),
                columns={name: parts[row] for name, parts in columns.items()},
            )


def _split(lists: Any, kind: ColumnType) -> list[Column]:
    """Each frame's rows of a column."""
    offsets = lists.offsets.to_numpy()
    values = lists.values  # of all frames, from the first offset on or before it
    if lists.null_count or values.null_count:
        raise DataError("expected a value in each row, got none")
    if kind.dtype == object:
        column = checked_texts(values.to_pylist())
    elif kind.values is None:
        column = values.to_numpy(zero_copy_only=False)
    else:
        flat = values.values
        if flat.null_count or len(flat) < len(values) * kind.values:
            raise DataError("expected a number in each place, got none")
        start = values.offset * kind.values
        column = flat.to_numpy(zero_copy_only=False)[start : start + len(values) * kind.values]
        column = column.reshape(kind.shape(len(values)))
    return [column[begin:end] for begin, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)]


@contextlib.contextmanager
def open_data(path: Path) -> Iterator[OpenParquet]:
    """See ``base.DataFormat.open_data``."""
    with opened_parquet(path) as file:
        yield OpenParquet(import_pyarrow(), file)


@contextlib.contextmanager
def opened_parquet(path: Path, *, extra: str = "data") -> Iterator[Any]:
    """A ``pyarrow.parquet.ParquetFile`` of a file that nobody vouches for, with bounds on what its header may ask for.

    Raises:
        DataError: it is damaged, or no Parquet file; also for what pyarrow raises while it is open.
        OSError: it cannot be opened.
    """
    pa = import_pyarrow(extra)
    limits = {
        "thrift_string_size_limit": _MAX_METADATA_BYTES,
        "thrift_container_size_limit": 1 << 20,
        "pre_buffer": False,
    }
    with path.open("rb") as stream:
        try:
            with pa.parquet.ParquetFile(stream, **limits) as file:
                yield file
        except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError, NotImplementedError) as error:
            raise DataError("damaged, or no Parquet file") from error
