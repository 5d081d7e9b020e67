"""What may be changed while a run goes on: one immutable value, read once for each frame."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, final

from oakpoint.errors import UsageError
from oakpoint.tasks.base import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What is drawn on a frame.

    Attributes:
        found: what the network found: keypoints, boxes, a mask, classes.
        tracks: the lines along which it came, where it is followed.
        heat_map: how likely a keypoint is at each pixel, where the network says so.
    """

    found: bool = True
    tracks: bool = True
    heat_map: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """How a frame is read and shown.

    Attributes:
        task: reads the network's outputs, with the parameters of this frame: threshold, NMS radius, budget, ….
        drawn: what is drawn.
        paused: no further frame is taken.
        steps: single frames asked for while paused, counted from the start of the run.
    """

    task: Task[Any]
    drawn: Drawn = field(default_factory=Drawn)
    paused: bool = False
    steps: int = 0


@final
class ControlBoard:
    """Holds the present controls; read by the run, changed from any thread.

    Args:
        task: as the network was opened.
    """

    def __init__(self, task: Task[Any]) -> None:
        self._opened = task
        self._turned: dict[str, float] = {}
        self._present = Controls(task=task)
        self._changed = threading.Condition()

    def read(self) -> Controls:
        """The present controls."""
        return self._present

    def change(self, knobs: Mapping[str, object] | None = None, drawn: Mapping[str, object] | None = None) -> Controls:
        """Turn the task's knobs, change what is drawn, or both; all of it or nothing.

        Args:
            knobs: by the names in ``Task.knobs``; None for one gives it the value that the network was opened with.
            drawn: fields of ``Drawn``, true or false.

        Returns:
            The controls from now on.

        Raises:
            UsageError: a name that there is not, or a value that cannot be meant.
        """
        shown = _checked_drawn(drawn or {})
        known = {knob.name: knob for knob in self._opened.knobs()}
        with self._changed:
            turned = dict(self._turned)
            for name, value in (knobs or {}).items():
                if name not in known:
                    raise UsageError(f"expected one of {', '.join(known) or 'no knobs'}, got {name!r:.40}")
                if value is None:
                    turned.pop(name, None)
                else:
                    turned[name] = known[name].checked(value)
            task = self._opened.with_changes(**turned)
            self._turned = turned
            return self._put(replace(self._present, task=task, drawn=replace(self._present.drawn, **shown)))

    def pause(self, *, paused: bool) -> Controls:
        """Stop before the next frame, or go on."""
        with self._changed:
            return self._put(replace(self._present, paused=paused))

    def step(self) -> Controls:
        """Take one more frame, and pause."""
        with self._changed:
            return self._put(replace(self._present, paused=True, steps=self._present.steps + 1))

    def wait(self, seen: Controls, timeout_s: float) -> Controls:
        """The present controls, waited for up to ``timeout_s`` seconds while they still are ``seen``."""
        with self._changed:
            self._changed.wait_for(lambda: self._present is not seen, timeout_s)
            return self._present

    def _put(self, controls: Controls) -> Controls:
        self._present = controls
        self._changed.notify_all()
        return controls


def _checked_drawn(drawn: Mapping[str, object]) -> dict[str, Any]:
    known = [item.name for item in fields(Drawn)]
    for name, value in drawn.items():
        if name not in known:
            raise UsageError(f"drawn: expected one of {', '.join(known)}, got {name!r:.40}")
        if not isinstance(value, bool):
            raise UsageError(f"{name}: expected true or false, got {value!r:.40}")
    return dict(drawn)
