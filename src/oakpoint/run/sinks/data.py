"""What was found as data: JSON Lines, Parquet or HDF5."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np

import oakpoint
from oakpoint.datafiles.base import DataWriter
from oakpoint.datafiles.opening import WRITERS, data_suffix
from oakpoint.datafiles.types import FrameData, Header, type_of
from oakpoint.errors import OakpointError, OutputError, UsageError, naming
from oakpoint.files import check_can_write, replacing_file, shown_name
from oakpoint.run.frames import TrackedFrame
from oakpoint.run.sinks.base import Sink
from oakpoint.view.results.registry import view_of

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What is said of a run in its files.

    Attributes:
        model: MODEL as it was given.
        source: SOURCE as it was given.
        notice: what holds for all that is found; None for nothing.
    """

    model: str
    source: str
    notice: str | None = None


@final
class DataSink(Sink):
    """Writes what was found in every frame; opened by ``to``.

    Attributes:
        path: where it will stand.
        in_place: whether it does.
    """

    def __init__(
        self, path: Path, temporary: Path, closing: contextlib.ExitStack, facts: RunFacts, *, descriptors: bool
    ) -> None:
        self.path = path
        self.in_place = False
        self._temporary = temporary
        self._closing = closing
        self._facts = facts
        self._descriptors = descriptors
        self._writer: DataWriter | None = None

    @classmethod
    def to(cls, path: Path, facts: RunFacts, *, descriptors: bool = False) -> Self:
        """Begin a file, which appears, whole, when the run ends, whatever ends it.

        Args:
            path: ends in ``.jsonl``, ``.parquet`` or ``.h5``.
            facts: what is said of the run.
            descriptors: with the keypoints' descriptors.

        Raises:
            UsageError: another suffix.
            MissingExtraError: the format needs a package that is not installed.
            OutputError: it cannot be written there.
        """
        cls.check(path)
        closing = contextlib.ExitStack()
        return cls(path, closing.enter_context(replacing_file(path)), closing, facts, descriptors=descriptors)

    @staticmethod
    def check(path: Path) -> None:
        """Refuse early what could not be written; see ``to``."""
        WRITERS[data_suffix(path)].require()
        check_can_write(path)

    def add(self, frame: TrackedFrame) -> None:
        """See ``Sink.add``.

        Raises:
            UsageError: descriptors were asked for, and there are none.
            DataError: what was found has no form that files hold.
            OutputError: it cannot be written, or the disk is all but full.
        """
        found = self._data_of(frame)
        with naming(self._temporary, str(self.path)):
            if self._writer is None:
                header = self._header(frame, found)
                self._writer = WRITERS[data_suffix(self.path)](self._temporary, header)
            self._writer.add(found)

    def _data_of(self, frame: TrackedFrame) -> FrameData:
        view = view_of(frame.result)
        columns = view.columns(frame.result, frame.tracks, descriptors=self._descriptors)
        if self._descriptors and "descriptor" not in columns:
            raise UsageError(f"--descriptors: this network for {view.name} gives none")
        height, width = frame.image.shape[:2]
        return FrameData(
            frame=frame.index,
            name=shown_name(frame.name) if frame.name else None,
            time_s=frame.time_s,
            size=(width, height),
            knobs={knob.name: knob.value for knob in frame.controls.task.knobs()},
            columns={name: np.ascontiguousarray(column) for name, column in columns.items()},
        )

    def _header(self, frame: TrackedFrame, found: FrameData) -> Header:
        record = frame.controls.task.record()
        return Header(
            kind=view_of(frame.result).name,
            columns={name: type_of(column).name for name, column in found.columns.items()},
            model=shown_name(self._facts.model),
            source=shown_name(self._facts.source),
            task=json.loads(json.dumps({"name": record.name, "parameters": record.parameters})),
            notice=self._facts.notice,
            oakpoint=oakpoint.__version__,
        )

    def finish(self) -> None:
        """See ``Sink.finish``: what could not be written whole is not put in place."""
        if self._writer is None:
            self.abort()
            return
        try:
            with naming(self._temporary, str(self.path)):
                self._writer.finish()
        except BaseException as error:
            self._let_go(error)
            raise
        self._closing.close()
        self.in_place = True

    def abort(self) -> None:
        """See ``Sink.abort``."""
        self._let_go(OutputError(f"{self.path}: the run ended before its first frame"))

    def _let_go(self, error: BaseException) -> None:
        with contextlib.suppress(OakpointError):
            if self._writer is not None:
                self._writer.release()
        with contextlib.suppress(type(error)):
            self._closing.__exit__(type(error), error, None)
