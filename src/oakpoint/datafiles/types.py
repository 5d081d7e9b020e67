"""What data files hold, whatever their format."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from oakpoint.errors import DataError
from oakpoint.features.types import Features
from oakpoint.files import shown_name

SCHEMA = 1
"""Of the files that are written. A file of another one is not read."""

FORMAT = "oakpoint run"
"""Stands in every file, so that others are told apart."""

Column = NDArray[Any]
"""Values of one kind, one for each row: (N,), or (N, D) of descriptors."""

MAX_COLUMNS = 32
MAX_VALUES = 1 << 16
"""Of one row of a column: no descriptor is longer."""

TEXT = "text"
_NUMBERS: dict[str, type[np.generic]] = {"int64": np.int64, "float32": np.float32, "float64": np.float64}
_ROWS_OF_VALUES = re.compile(r"float32\[([1-9][0-9]{0,5})\]")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
FRAME_FIELDS = ("frame", "name", "time_s", "width", "height", "knobs")
"""What is said of each frame beside its rows; no column is called so."""


@dataclass(frozen=True, slots=True)
class ColumnType:
    """What a column holds.

    Attributes:
        dtype: of its values; object for texts.
        values: D, of (N, D); None for (N,).
    """

    dtype: np.dtype[Any]
    values: int | None = None

    @classmethod
    def named(cls, name: str) -> ColumnType:
        """The type that a header names: ``int64``, ``float32``, ``float64``, ``text`` or ``float32[D]``.

        Raises:
            DataError: another name.
        """
        if name in _NUMBERS:
            return cls(np.dtype(_NUMBERS[name]))
        if name == TEXT:
            return cls(np.dtype(object))
        found = _ROWS_OF_VALUES.fullmatch(name)
        if found is None or int(found[1]) > MAX_VALUES:
            raise DataError(f"expected columns of int64, float32, float64, text or float32[D], got {name!r:.40}")
        return cls(np.dtype(np.float32), int(found[1]))

    @property
    def name(self) -> str:
        """As a header names it."""
        if self.dtype == object:
            return TEXT
        return str(self.dtype) if self.values is None else f"{self.dtype}[{self.values}]"

    def shape(self, rows: int) -> tuple[int, ...]:
        """Of a column of as many rows."""
        return (rows,) if self.values is None else (rows, self.values)

    def takes(self, column: Column) -> bool:
        """Whether a column is of this type."""
        return column.dtype == self.dtype and column.shape == self.shape(len(column))


def type_of(column: Column) -> ColumnType:
    """The type of a column.

    Raises:
        DataError: of a type or shape that files do not hold.
    """
    values = column.shape[1] if column.ndim == 2 else None
    name = TEXT if column.dtype == object else f"{column.dtype}" + ("" if values is None else f"[{values}]")
    if column.ndim not in (1, 2):
        raise DataError(f"column: expected (N,) or (N, D), got {column.shape}")
    return ColumnType.named(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What is said once, at the beginning of a file.

    Attributes:
        format: see ``FORMAT``.
        schema: see ``SCHEMA``.
        kind: of what was found: keypoints, boxes, classes, mask or tensors.
        columns: name → type of each column, in their order; see ``ColumnType.named``.
        model: MODEL as it was given.
        source: SOURCE as it was given.
        task: what the network's outputs mean: ``name`` and ``parameters``, among them threshold and labels, as the run
            began.
        notice: what holds for all of it, as RANDOM WEIGHTS; None for nothing.
        oakpoint: the version that wrote it.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    format: str = FORMAT
    schema: int = SCHEMA
    kind: str
    columns: dict[str, str]
    model: str
    source: str
    task: dict[str, Any]
    notice: str | None
    oakpoint: str

    def types(self) -> dict[str, ColumnType]:
        """The type of each column.

        Raises:
            DataError: names or types that cannot be meant.
        """
        names = self.columns
        if len(names) > MAX_COLUMNS or any(not _NAME.fullmatch(name) or name in FRAME_FIELDS for name in names):
            raise DataError(f"expected up to {MAX_COLUMNS} columns, each with a name of its own, got {names!s:.80}")
        return {name: ColumnType.named(kind) for name, kind in names.items()}

    def text(self) -> str:
        """As JSON, in one line of ASCII."""
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_text(cls, text: str | bytes) -> Header:
        """The header that JSON of untrusted origin holds.

        Raises:
            DataError: it holds none, or one of another schema.
        """
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError("is no file of oakpoint run's --data") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise DataError("is no file of oakpoint run's --data")
        if content.get("schema") != SCHEMA:
            raise DataError(
                f"expected schema {SCHEMA}, got {content.get('schema')!r:.40}; read it with a newer oakpoint"
            )
        try:
            header = TypeAdapter(cls).validate_json(text, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            raise DataError(f"header: {'.'.join(map(str, first['loc'])):.80}: {first['msg']:.120}") from error
        header.types()
        return header


Knobs = Mapping[str, float | int | None]
"""Parameters of the task that may be turned while it runs, by name; None where there is no limit."""


@final
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FrameData:
    """What was found in one frame. ``len`` gives the rows N, which may be 0; ``frame["x"]`` gives a column.

    Attributes:
        frame: its number in the source; of a camera its own.
        name: of its file; None where it has none.
        time_s: seconds since the start of a video, or by a camera's clock; None for still images.
        size: (W, H) of the frame in pixels.
        knobs: the task's parameters with which it was read.
        columns: name → values, all of N rows.

    Raises:
        DataError: columns of different lengths, or values that no file holds.
    """

    frame: int
    name: str | None
    time_s: float | None
    size: tuple[int, int]
    knobs: Knobs
    columns: Mapping[str, Column]

    def __post_init__(self) -> None:
        if len({len(column) for column in self.columns.values()}) > 1:
            raise DataError(f"frame {self.frame}: expected columns of one length, got others")
        if self.name is not None and (not self.name or self.name != shown_name(self.name)):
            raise DataError(f"frame {self.frame}: expected a name that can be printed, got {self.name!r:.40}")
        if self.time_s is not None and not math.isfinite(self.time_s):
            raise DataError(f"frame {self.frame}: expected a time in seconds or none, got {self.time_s}")
        if not all(0 <= side < 1 << 31 for side in self.size):
            raise DataError(f"frame {self.frame}: expected a size in pixels, got {self.size}")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, name: str) -> Column:
        """A column.

        Raises:
            DataError: there is none of that name.
        """
        if name not in self.columns:
            raise DataError(f"column {name}: expected one of {', '.join(self.columns)}")
        return self.columns[name]

    @property
    def nbytes(self) -> int:
        """About how much memory its rows take."""
        return sum(column.nbytes for column in self.columns.values())

    def features(self) -> Features:
        """Keypoints as ``oakpoint.match`` takes them; descriptors (N, 0) where the file has none.

        Raises:
            DataError: what was found are no keypoints.
            FeaturesError: the file's values are no features.
        """
        keypoints = np.stack([self["x"], self["y"]], axis=1)
        none = np.zeros((len(self), 0), np.float32)
        return Features(keypoints, self["score"], self.columns.get("descriptor", none), self.size)


def check_knobs(knobs: object) -> Knobs:
    """Knobs of untrusted origin.

    Raises:
        DataError: something else.
    """
    if isinstance(knobs, dict) and len(knobs) <= MAX_COLUMNS:
        numbers = all(value is None or type(value) in (int, float) for value in knobs.values())
        if numbers and all(isinstance(name, str) for name in knobs):
            return knobs
    raise DataError(f"expected knobs, numbers by name, got {knobs!s:.60}")
