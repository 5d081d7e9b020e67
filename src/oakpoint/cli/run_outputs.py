"""Where the frames of ``oakpoint run`` go: recordings, data, viewers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oakpoint.cli.console import print_warning
from oakpoint.cli.run_view import PageRequest
from oakpoint.errors import UsageError
from oakpoint.files import check_can_write
from oakpoint.result_folders import check_place
from oakpoint.run.controls import ControlBoard
from oakpoint.run.recordings.opening import FRAMES, recording_format
from oakpoint.run.sinks.base import Sink
from oakpoint.run.sinks.data import DataSink, RunFacts
from oakpoint.run.sinks.recording import RecordingSink
from oakpoint.run.sinks.together import SinksTogether
from oakpoint.view.picture import STILL_SUFFIXES, check_not_read

if TYPE_CHECKING:
    from oakpoint.run.sinks.rerun import RerunSink

Save = Annotated[
    Path | None,
    typer.Option(
        help="Record to .mp4, .gif, a folder of PNG, or .rrd for Rerun; one frame to .png or .jpg.", show_default=False
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(help="Write what is found, with tracks, to .jsonl, .parquet or .h5.", show_default=False),
]
Descriptors = Annotated[bool, typer.Option("--descriptors", help="Descriptors in --data, too.")]
View = Annotated[
    str | None,
    typer.Option(
        metavar="web|rerun",
        help="Show frames as they come: on a page with figures and controls, or in Rerun's viewer.",
        show_default=False,
    ),
]
RerunAddress = Annotated[
    str | None, typer.Option(help="HOST:PORT of a Rerun viewer that runs. Default: one is opened.", show_default=False)
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What was asked for.

    Attributes:
        save: where to record; None for nowhere.
        data: where to write what was found; None for nowhere.
        descriptors: with descriptors.
        view: what shows frames; None for nothing.
        rerun_address: of a Rerun viewer that runs.
        facts: what is said of the run in its files.
    """

    save: Path | None
    facts: RunFacts
    data: Path | None = None
    descriptors: bool = False
    view: str | None = None
    rerun_address: str | None = None

    def check(self, *, reads_files: bool) -> None:
        """Refuse what cannot be meant.

        Args:
            reads_files: SOURCE is, or may be, a file.

        Raises:
            UsageError: an unknown view, an option without the one that it belongs to, an output that would take the
                place of what is read, or one within the other.
        """
        if self.view not in (None, "web", "rerun"):
            raise UsageError(f"--view: expected web or rerun, got {self.view!r}")
        if self.descriptors and self.data is None:
            raise UsageError("--descriptors: counts with --data only")
        if self.rerun_address is not None and self.view != "rerun":
            raise UsageError("--rerun-address: counts with --view rerun only")
        for option, path in (("--save", self.save), ("--data", self.data)):
            if reads_files and path is not None:
                check_not_read(path, Path(self.facts.source), option=option)
        if self.save is not None and self.data is not None and _is_within(self.data, self.save):
            raise UsageError(f"--data: {self.data} lies in --save, which is replaced as a whole; choose another place")

    def check_places(self, *, still: bool, single: bool) -> None:
        """Refuse early what could not be written once frames come.

        Args:
            still: the source is one image by itself.
            single: there will be one frame.

        Raises:
            UsageError: another suffix than can be written.
            OutputError: a place that cannot be written, or holds something else.
            MissingExtraError: a format that needs a package that is not installed.
        """
        if self.save is not None:
            _check_recording(self.save, still=still, single=single)
        if self.data is not None:
            DataSink.check(self.data)


def _check_recording(save: Path, *, still: bool, single: bool) -> None:
    """See ``Outputs.check_places``."""
    from oakpoint.run.sinks import rerun

    if save.suffix.lower() == rerun.SUFFIX:
        check_can_write(save)
        return
    if still and save.suffix.lower() not in STILL_SUFFIXES:
        expected = ", ".join((*STILL_SUFFIXES, rerun.SUFFIX))
        raise UsageError(f"{save}: expected {expected} for one image, got {save.suffix or 'no suffix'}")
    if recording_format(save, single=single) == "folder":
        check_place(save.resolve(), FRAMES)
    else:
        check_can_write(save)


def _is_within(path: Path, folder: Path) -> bool:
    return path.parent.resolve().is_relative_to(folder.resolve())


class OpenOutputs:
    """The sinks of a run.

    Attributes:
        sinks: all of them.
    """

    def __init__(
        self,
        outputs: Outputs,
        board: ControlBoard,
        page: PageRequest | None,
        *,
        fps: float,
        live: bool,
        still: bool,
        single: bool,
    ) -> None:
        """Open them; all of them, or none.

        Args:
            outputs: what was asked for.
            board: the run's controls.
            page: shows frames and turns the controls; None for no page.
            fps: at which a recording is to be played.
            live: see ``RecordingSink.to``.
            still: it is one image by itself.
            single: there will be one frame.

        Raises:
            OakpointError: one cannot be opened.
        """
        self.sinks: list[Sink] = []
        self._saved: RecordingSink | RerunSink | None = None
        self._data: DataSink | None = None
        try:
            if outputs.save is not None:
                self._saved = _saving(outputs, outputs.save, fps=fps, live=live, still=still, single=single)
                self.sinks.append(self._saved)
            if outputs.data is not None:
                self._data = DataSink.to(outputs.data, outputs.facts, descriptors=outputs.descriptors)
                self.sinks.append(self._data)
            if outputs.view == "rerun":
                from oakpoint.run.sinks.rerun import RerunSink

                self.sinks.append(RerunSink.to_viewer(outputs.facts, address=outputs.rerun_address))
            if page is not None:
                self.sinks.append(page.open(board, fps=fps, live=live))
        except BaseException:
            SinksTogether(self.sinks).abort()
            raise

    def facts(self) -> dict[str, str | None]:
        """What stands in its place at the end."""
        if isinstance(self._saved, RecordingSink) and self._saved.cut_s:
            print_warning(f"the recording leaves out {self._saved.cut_s:.0f} s in which no frame came")
        facts = {"saved": str(self._saved.path) if self._saved is not None and self._saved.in_place else None}
        if self._data is not None:
            facts["data"] = str(self._data.path) if self._data.in_place else None
        return facts


def _saving(
    outputs: Outputs, save: Path, *, fps: float, live: bool, still: bool, single: bool
) -> RecordingSink | RerunSink:
    from oakpoint.run.sinks import rerun

    if save.suffix.lower() == rerun.SUFFIX:
        return rerun.RerunSink.to(save, outputs.facts)
    _check_recording(save, still=still, single=single)
    recording = RecordingSink.to(save, fps=fps, live=live, single=single, notice=outputs.facts.notice)
    if recording.note:
        print_warning(recording.note)
    return recording
