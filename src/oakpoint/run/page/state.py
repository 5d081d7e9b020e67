"""What every viewer is told beside the frames: the controls as they are, recordings, and whether the run goes on."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any, final

from oakpoint.run.controls import ControlBoard
from oakpoint.run.frames import TrackedFrame
from oakpoint.run.page.recorder import PageRecorder
from oakpoint.tasks.base import Knob, Task

WIDE_RANGE = 500.0
"""A knob that counts up to more than this has a logarithmic slider, as a threshold has: its low end is what matters."""


WAITING_SHARE = 0.3
"""A run that spends more than this of its time waiting for a camera leaves time for drawing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageTitle:
    """What a page is about.

    Attributes:
        network: its name.
        source: where the frames come from.
        notice: stands below every picture; None for nothing.
    """

    network: str
    source: str
    notice: str | None = None


@final
class PageState:
    """Puts the state together.

    Args:
        title: what the page is about.
        board: the controls.
        recorder: the recordings.
        live: frames come from a camera at its own pace.

    Attributes:
        ended: ``source``: no further frame comes, and the last one stays; ``run``: all is over; None: it goes on.
    """

    def __init__(self, title: PageTitle, board: ControlBoard, recorder: PageRecorder, *, live: bool = False) -> None:
        self.title = title
        self.ended: str | None = None
        self._board = board
        self._recorder = recorder
        self._live = live
        self._opened = {knob.name: knob.value for knob in board.read().task.knobs()}
        self._follows = False

    def seen(self, frame: TrackedFrame) -> bool:
        """Learn from a frame whether something is followed; True where that is news."""
        follows = frame.moving and frame.tracks is not None
        is_news, self._follows = follows != self._follows, follows
        return is_news

    def is_busy(self, frame: TrackedFrame) -> bool:
        """Whether a run that came to this frame wants the processor for itself."""
        if self.ended is not None or self._board.read().paused or not frame.moving:
            return False
        waited_s = frame.stages_s.get("read", 0.0) if self._live else 0.0
        return waited_s <= WAITING_SHARE * sum(frame.stages_s.values())

    def text(self) -> str:
        """The state as a message to the page."""
        controls, recorded = self._board.read(), self._recorder.state
        return json.dumps(
            {
                "type": "state",
                "network": self.title.network,
                "source": self.title.source,
                "notice": self.title.notice,
                "task": controls.task.name,
                "knobs": [self._knob(knob) for knob in controls.task.knobs()],
                "toggles": [
                    {"name": name, "label": label, "on": getattr(controls.drawn, name)}
                    for name, label in self._toggles(controls.task).items()
                ],
                "paused": controls.paused,
                "ended": self.ended,
                "recording": recorded.recording,
                "recording_s": None if recorded.begun_s is None else time.monotonic() - recorded.begun_s,
                "recordings": list(recorded.finished),
                "recording_failure": recorded.failure,
                "recordings_folder": str(self._recorder.folder),
            },
            allow_nan=False,
        )

    def _knob(self, knob: Knob) -> dict[str, Any]:
        is_log = knob.name == "threshold" or (knob.whole and knob.high > WIDE_RANGE)
        return {
            "name": knob.name,
            "label": knob.label,
            "low": knob.low,
            "high": knob.high,
            "whole": knob.whole,
            "value": knob.value,
            "opened": self._opened.get(knob.name),
            "scale": "log" if is_log else "linear",
        }

    def _toggles(self, task: Task[Any]) -> dict[str, str]:
        """What can be drawn, by the names in ``Drawn``."""
        found = {"found": "everything found" if task.name == "tensors" else task.name}
        tracks = {"tracks": "tracks"} if self._follows else {}
        has_heat_map = type(task).heat_map is not Task.heat_map
        return found | tracks | ({"heat_map": "heat map"} if has_heat_map else {})
