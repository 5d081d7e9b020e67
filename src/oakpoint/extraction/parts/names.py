"""The names of a part: Parquet, a row for each image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from oakpoint.datafiles.parquet import import_pyarrow, opened_parquet
from oakpoint.errors import DataError, FeaturesError
from oakpoint.extraction.parts.manifest import NAMES, Part
from oakpoint.extraction.parts.storage import EXTRA, Storage
from oakpoint.files import writing


@dataclass(frozen=True, slots=True)
class NameRow:
    """An image of a part.

    Attributes:
        name: the image's.
        sha256: of its file's content, in hexadecimal; empty where it could not be read.
        computed: whether this part has the features of that content.
        facts: what told its file; see ``listing.Listed``.
        error: why it has no features; empty where it has.
    """

    name: str
    sha256: str
    computed: bool
    facts: str
    error: str = ""


def _schema(pa: Any) -> Any:
    texts = [pa.field(name, pa.string(), nullable=False) for name in ("name", "sha256", "facts", "error")]
    return pa.schema([*texts[:2], pa.field("computed", pa.bool_(), nullable=False), *texts[2:]])


def write_names(storage: Storage, part: str, rows: list[NameRow]) -> int:
    """Write the names of a part; the size of the file.

    Raises:
        OutputError: it cannot be written.
    """
    pa = import_pyarrow(EXTRA)
    table = pa.Table.from_pylist([asdict(row) for row in rows], schema=_schema(pa))
    with storage.writing(f"{NAMES}/{part}.parquet") as path, writing(path):
        pa.parquet.write_table(table, path, compression="zstd")
        return path.stat().st_size


def read_names(storage: Storage, part: Part) -> Iterator[NameRow]:
    """The names of a part.

    Raises:
        FeaturesError: the file is damaged.
        OutputError: it cannot be read.
    """
    name = f"{NAMES}/{part.part}.parquet"
    try:
        with storage.fetched(name) as path, opened_parquet(path, extra=EXTRA) as file:
            require_schema(file, _schema(import_pyarrow(EXTRA)))
            for group in range(file.num_row_groups):
                for row in file.read_row_group(group, use_threads=False).to_pylist():
                    yield NameRow(**row)
    except (DataError, OSError) as error:
        raise FeaturesError(f"{storage.shown}/{name}: damaged ({error}); remove it, and run again") from error


def require_schema(file: Any, schema: Any) -> None:
    """Make sure that an open Parquet file has these columns.

    Raises:
        DataError: it has others.
    """
    if not file.schema_arrow.equals(schema):
        raise DataError(f"expected the columns {', '.join(schema.names)}, got {', '.join(file.schema_arrow.names)}")
