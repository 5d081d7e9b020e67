"""The results of a run as JSON: each as it comes, so that none has to be kept, and at the end the figures."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any, final

from oakpoint.run.frames import TrackedFrame
from oakpoint.run.sinks.base import Sink


class ResultsWriter:
    """Writes one JSON object to standard output: ``{"results": [one object a frame, …], and the figures}``.

    A context manager: what ends a run unforeseen leaves an object that can be read, with ``ended`` in it. Nothing is
    written where nothing was found before that.
    """

    def __init__(self) -> None:
        self._count = 0
        self._open = False

    def __enter__(self) -> ResultsWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open:
            self.finish({"ended": str(error) or type(error).__name__})

    def add(self, facts: Mapping[str, Any]) -> None:
        """Write one frame's result."""
        self._begin()
        sys.stdout.write(f"{',' if self._count else ''}\n    {_text(facts)}")
        self._count += 1

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Write the figures, and end the object."""
        self._begin()
        body = json.dumps(facts, indent=2, allow_nan=False, default=str)
        rest = body.removeprefix("{").removesuffix("}").rstrip()
        sys.stdout.write(("\n  ]" if self._count else "]") + ("," + rest if rest else "") + "\n}\n")
        self._open = False

    def _begin(self) -> None:
        if not self._open:
            sys.stdout.write('{\n  "results": [')
            self._open = True


@final
class ResultsSink(Sink):
    """Writes what was found in each frame; the figures at the end are the caller's to write."""

    def __init__(self, writer: ResultsWriter) -> None:
        self._writer = writer

    def add(self, frame: TrackedFrame) -> None:
        """See ``Sink.add``."""
        self._writer.add(frame.facts())

    def finish(self) -> None:
        """See ``Sink.finish``."""

    def abort(self) -> None:
        """See ``Sink.abort``."""


def _text(facts: Mapping[str, Any]) -> str:
    """One line; what is no number is null, which JSON has in its place."""
    try:
        return json.dumps(facts, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(facts), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {name: _finite(part) for name, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, (list, tuple)) else value
