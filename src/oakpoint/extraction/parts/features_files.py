"""The features of a part: one file, Parquet or HDF5, that is written and read content by content."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.datafiles.parquet import METADATA, import_pyarrow, opened_parquet
from oakpoint.errors import DataError, FeaturesError
from oakpoint.extraction.parts.manifest import Format
from oakpoint.extraction.parts.names import require_schema
from oakpoint.extraction.parts.storage import EXTRA
from oakpoint.features.hdf5 import SETTINGS, link_features, note_facts, opened_hdf5, read_features
from oakpoint.features.types import Features
from oakpoint.files import writing

GROUP_BYTES = 8 << 20
"""About as much is written as one group of rows, and is read where one image is asked for."""

Add = Callable[[str, str, Features], None]
"""Takes a content, the first name that it has, and its features."""


def writing_part(form: Format, path: Path, settings: Mapping[str, object]) -> AbstractContextManager[Add]:
    """Write the features of a part to a file that is new, or empty.

    Raises:
        OutputError: it cannot be written.
    """
    return _writing_parquet(path, settings) if form == "parquet" else _writing_hdf5(path, settings)


def read_part(form: Format, path: Path) -> Iterator[tuple[str, Features]]:
    """The contents of a part with their features.

    Raises:
        FeaturesError: it is missing or damaged.
    """
    return _read_parquet(path) if form == "parquet" else _read_hdf5(path)


def content_of_part(form: Format, path: Path, content: str) -> Features:
    """The features of one content.

    Raises:
        FeaturesError: it is not there, or the file is missing or damaged.
    """
    if form == "hdf5":
        return read_features(path, content)
    with _opened(path) as file:
        for group in range(file.num_row_groups):
            if content in file.read_row_group(group, columns=["sha256"], use_threads=False)["sha256"].to_pylist():
                return dict(_rows(file.read_row_group(group, use_threads=False)))[content]
    raise FeaturesError(f"{path}: expected the features of {content}, found none")


@contextlib.contextmanager
def _writing_hdf5(path: Path, settings: Mapping[str, object]) -> Iterator[Add]:
    with opened_hdf5(path, "w") as file:
        note_facts(file, SETTINGS, settings)
        yield lambda content, _name, features: link_features(file, content, features, None)


def _read_hdf5(path: Path) -> Iterator[tuple[str, Features]]:
    with opened_hdf5(path, "r") as file:
        contents = list(file)
    for content in contents:
        yield content, read_features(path, content)


def _schema(pa: Any, settings: Mapping[str, object], descriptor_dim: int) -> Any:
    def numbers(count: int) -> Any:
        return pa.list_(pa.field("element", pa.float32(), nullable=False), count)

    def rows(of: Any) -> Any:
        return pa.list_(pa.field("element", of, nullable=False))

    kinds = {
        "sha256": pa.string(),
        "name": pa.string(),
        "width": pa.int32(),
        "height": pa.int32(),
        "keypoints": rows(numbers(2)),
        "scores": rows(pa.float32()),
        "descriptors": rows(numbers(descriptor_dim)),
    }
    fields = [pa.field(name, kind, nullable=False) for name, kind in kinds.items()]
    return pa.schema(fields, metadata={METADATA: json.dumps(settings, sort_keys=True).encode()})


@contextlib.contextmanager
def _writing_parquet(path: Path, settings: Mapping[str, object]) -> Iterator[Add]:
    pa = import_pyarrow(EXTRA)
    waiting: list[tuple[str, str, Features]] = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(writing(path))
        writer: Any = None

        def flush() -> None:
            nonlocal writer
            schema = _schema(pa, settings, waiting[0][2].descriptors.shape[1])
            if writer is None:
                # Random bits, as floats' mantissas are, do not shrink: their bytes one place after the other do by
                # some 15 %, at no cost that could be measured beside the network.
                split = [f"{name}.list.element" for name in ("scores",)]
                split += [f"{name}.list.element.list.element" for name in ("keypoints", "descriptors")]
                options: dict[str, Any] = {"compression": "zstd", "use_byte_stream_split": split}
                writer = pa.parquet.ParquetWriter(
                    path, schema, use_dictionary=False, write_statistics=["sha256", "name"], **options
                )
                stack.callback(writer.close)
            writer.write_table(_table(pa, schema, waiting), row_group_size=len(waiting))
            waiting.clear()

        def add(content: str, name: str, features: Features) -> None:
            waiting.append((content, name, features))
            if sum(each.descriptors.nbytes for _, _, each in waiting) >= GROUP_BYTES:
                flush()

        yield add
        if waiting:
            flush()


def _table(pa: Any, schema: Any, rows: list[tuple[str, str, Features]]) -> Any:
    features = [each for _, _, each in rows]
    offsets = pa.array(np.cumsum([0, *map(len, features)]), pa.int32())

    def lists(name: str) -> Any:
        kind = schema.field(name).type
        values = np.concatenate([getattr(each, name) for each in features])
        if values.ndim == 1:
            return pa.ListArray.from_arrays(offsets, pa.array(values), type=kind)
        fixed = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), type=kind.value_type)
        return pa.ListArray.from_arrays(offsets, fixed, type=kind)

    sizes = [each.image_size for each in features]
    plain = [[content for content, _, _ in rows], [name for _, name, _ in rows], *zip(*sizes, strict=True)]
    arrays = [pa.array(values, field.type) for values, field in zip(plain, schema, strict=False)]
    arrays += [lists(name) for name in ("keypoints", "scores", "descriptors")]
    return pa.Table.from_arrays(arrays, schema=schema)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with opened_parquet(path, extra=EXTRA) as file:
            dim = getattr(file.schema_arrow.field("descriptors").type.value_type, "list_size", 0)
            require_schema(file, _schema(import_pyarrow(EXTRA), {}, dim))
            yield file
    except (DataError, OSError, KeyError, AttributeError) as error:
        raise FeaturesError(f"{path}: damaged, or no part ({error})") from error


def _read_parquet(path: Path) -> Iterator[tuple[str, Features]]:
    with _opened(path) as file:
        for group in range(file.num_row_groups):
            yield from _rows(file.read_row_group(group, use_threads=False))


def _rows(table: Any) -> Iterator[tuple[str, Features]]:
    table.validate(full=True)
    plain = zip(*(table[name].to_pylist() for name in ("sha256", "width", "height")), strict=True)
    columns = [_split(table[name].combine_chunks()) for name in ("keypoints", "scores", "descriptors")]
    for row, (content, width, height) in enumerate(plain):
        keypoints, scores, descriptors = (column[row] for column in columns)
        yield content, Features(keypoints, scores, descriptors, (width, height))


def _split(lists: Any) -> list[NDArray[np.float32]]:
    """The rows' arrays; copies, so that one of them does not keep the others in memory."""
    offsets, values = lists.offsets.to_numpy(), lists.values
    if hasattr(values.type, "list_size"):
        width = values.type.list_size
        flat = values.values.to_numpy(zero_copy_only=False)[values.offset * width :][: len(values) * width]
        array = flat.reshape(-1, width)
    else:
        array = values.to_numpy(zero_copy_only=False)
    return [array[begin:end].copy() for begin, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)]
