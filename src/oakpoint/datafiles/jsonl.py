"""JSON Lines: the header in the first line, then a line for each frame with its columns as lists.

JSON has no number for what is none: NaN is written as null, infinity as 1e999, which every reader takes for infinite.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, final

import numpy as np

from oakpoint.datafiles.base import DataWriter, checked_texts
from oakpoint.datafiles.types import Column, ColumnType, FrameData, Header, check_knobs
from oakpoint.errors import DataError
from oakpoint.files import writing

MAX_LINE_BYTES = 256 << 20
"""A line of 4,096 keypoints with 256 values each takes 22 MB."""


@final
class JsonlWriter(DataWriter):
    """Writes a line at a time: what a killed run leaves is whole but for its last line."""

    def __init__(self, path: Path, header: Header) -> None:
        super().__init__(path, header)
        with writing(path):
            self._file = path.open("w", encoding="ascii", newline="\n")
            self._end = self._file.write(header.text() + "\n")

    def _add(self, frame: FrameData) -> None:
        width, height = frame.size
        facts = {
            "frame": frame.frame, "name": frame.name, "time_s": frame.time_s, "width": width, "height": height,
            "knobs": dict(frame.knobs),
        }  # fmt: skip
        columns = (f'"{name}": {_text_of(column)}' for name, column in frame.columns.items())
        line = ", ".join([json.dumps(facts, allow_nan=False)[:-1], *columns]) + "}\n"
        with writing(self._path):
            self._file.write(line)
            self._file.flush()
        self._end += len(line)

    def finish(self) -> None:
        """See ``DataWriter.finish``."""
        with writing(self._path):
            self._file.close()

    def release(self) -> None:
        """See ``DataWriter.release``: half a line, of a disk that was full, is taken back."""
        with writing(self._path):
            try:
                self._file.close()
            except OSError:
                with self._path.open("r+b") as file:
                    file.truncate(self._end)


def _text_of(column: Column) -> str:
    """A column as a JSON list; numbers only, or texts only."""
    values = column.tolist()
    if column.dtype == object or column.dtype.kind == "i" or np.isfinite(column).all():
        return json.dumps(values)
    return json.dumps(values).replace("NaN", "null").replace("Infinity", "1e999")


@final
class OpenJsonl:
    """See ``base.OpenData``."""

    def __init__(self, path: Path, file: Any) -> None:
        self._path = path
        self._file = file
        self.header = Header.from_text(self._line())
        self._types = self.header.types()

    def frames(self) -> Iterator[FrameData]:
        """See ``base.OpenData.frames``."""
        while line := self._line():
            yield self._frame(_object_of(line))

    def _line(self) -> bytes:
        line: bytes = self._file.readline(MAX_LINE_BYTES + 1)
        if len(line) > MAX_LINE_BYTES:
            raise DataError(f"expected lines of up to {MAX_LINE_BYTES >> 20} MiB, got a longer one")
        if line and not line.endswith(b"\n"):
            raise DataError("the last line is cut off; take the lines before it")
        return line

    def _frame(self, content: dict[str, Any]) -> FrameData:
        expected = ["frame", "name", "time_s", "width", "height", "knobs", *self._types]
        if [*content] != expected:
            raise DataError(f"expected a frame with {', '.join(expected)}, got {', '.join(content):.120}")
        for name, kinds in _FRAME_TYPES.items():
            if type(content[name]) not in kinds:
                raise DataError(f"{name}: expected {kinds[0].__name__}, got {content[name]!r:.40}")
        columns = {name: _column_of(name, content[name], kind) for name, kind in self._types.items()}
        time_s = content["time_s"]
        return FrameData(
            frame=content["frame"],
            name=content["name"],
            time_s=None if time_s is None else float(time_s),
            size=(content["width"], content["height"]),
            knobs=check_knobs(content["knobs"]),
            columns=columns,
        )


_FRAME_TYPES: dict[str, tuple[type, ...]] = {
    "frame": (int,),
    "name": (str, type(None)),
    "time_s": (float, int, type(None)),
    "width": (int,),
    "height": (int,),
}


@contextlib.contextmanager
def open_data(path: Path) -> Iterator[OpenJsonl]:
    """See ``base.DataFormat.open_data``."""
    with path.open("rb") as file:
        yield OpenJsonl(path, file)


def _object_of(line: bytes) -> dict[str, Any]:
    try:
        content = json.loads(line, parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        raise DataError("expected a line of JSON for each frame, got something else") from error
    if not isinstance(content, dict):
        raise DataError("expected an object for each frame, got something else")
    return content


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _column_of(name: str, values: object, kind: ColumnType) -> Column:
    """A column from lists of untrusted origin."""
    if not isinstance(values, list):
        raise DataError(f"{name}: expected a list, got {values!r:.40}")
    if kind.dtype == object:
        return checked_texts(values)
    if not values:
        return np.empty(kind.shape(0), kind.dtype)
    whole = kind.dtype.kind == "i"
    try:
        given = np.array(values if whole else _with_nan(values))
    except (ValueError, OverflowError) as error:
        raise DataError(f"{name}: expected {kind.name}, got lists of different lengths") from error
    if given.dtype.kind not in ("i" if whole else "if") or given.shape != kind.shape(len(values)):
        raise DataError(f"{name}: expected {kind.name}, got {given.dtype} {given.shape}")
    with np.errstate(over="ignore"):  # a number beyond float32 is infinite in it
        return given.astype(kind.dtype)


def _with_nan(values: list[Any]) -> list[Any]:
    """The same with NaN in the place of null."""
    if isinstance(values[0], list):
        return [_with_nan(row) if isinstance(row, list) and row else row for row in values]
    return [np.nan if value is None else value for value in values] if None in values else values
