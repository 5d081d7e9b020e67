"""A running DepthAI pipeline as a feed, whether its frames come from a camera or from its stand-in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, final

from oakpoint.errors import DeviceLostError
from oakpoint.oak.faults import one_line, running_fault
from oakpoint.oak.feed import Feed, Result, ShownFrame
from oakpoint.oak.frames import image_from_frame
from oakpoint.oak.runtime import import_depthai, stop_pipeline
from oakpoint.tasks.reading import Reading

FRAMES_WAITING = 32
"""Frames that wait for their result: one second at 30 frames per second."""


@final
class PipelineFeed(Feed):
    """Takes messages of ``ResultsNode`` and the frames that belong to them from their queues."""

    def __init__(
        self,
        pipeline: Any,
        results: Any,
        frames: Any,
        *,
        description: str,
        facts: dict[str, object],
        notes: tuple[str, ...] = (),
        shows_input: bool = False,
        guarded: Sequence[Any] = (),
        expected: Callable[[], int | None] = lambda: None,
        close: Callable[[], object] = lambda: None,
    ) -> None:
        """Take a pipeline that was started.

        Args:
            pipeline: the ``depthai.Pipeline``.
            results: queue of ``ResultMessage``.
            frames: queue of ``ImgFrame``.
            description: camera or stand-in, for people.
            facts: what is known of the camera.
            notes: what the user is to be told once.
            shows_input: the frames are what the network saw: results stay where they are. False: they go to the
                frames by depthai's record of how both were scaled.
            guarded: nodes whose ``failure`` is raised here.
            expected: how many results there will be in all; None while nobody knows.
            close: called after the pipeline was stopped.
        """
        self.description = description
        self.facts = facts
        self.notes = notes
        self._pipeline = pipeline
        self._results = results
        self._frames = frames
        self._shows_input = shows_input
        self._guarded = guarded
        self._expected = expected
        self._close: Callable[[], object] | None = close
        self._taken = 0

    def next_result(self, timeout_s: float) -> Result | None:
        """See ``Feed``."""
        message = self._next(self._results, timeout_s)
        if message is None:
            return None
        self._taken += 1
        return Result(
            message.getSequenceNum(),
            lambda shown: self._placed(message, shown),
            message.latency_s,
            message.getTimestamp().total_seconds(),  # depthai's clock is the monotonic one
            message.serial,
            message.dropped,
        )

    def _placed(self, message: Any, shown: ShownFrame) -> Reading[Any]:
        """What a message holds, to be read in pixels of the shown frame."""
        frame: Any = shown.origin
        if self._shows_input:
            return message.reading_in_input((frame.getWidth(), frame.getHeight()))  # type: ignore[no-any-return]
        return message.reading_in(frame)  # type: ignore[no-any-return]

    def new_frames(self, timeout_s: float) -> list[ShownFrame]:
        """See ``Feed``."""
        first = self._next(self._frames, timeout_s)
        if first is None:
            return []
        frames = [first, *self._all(self._frames)]
        return [ShownFrame(frame.getSequenceNum(), partial(image_from_frame, frame), frame) for frame in frames]

    @property
    def finished(self) -> bool:
        """Whether as many results were taken as there will be."""
        return self._taken == self._expected()

    def close(self) -> None:
        """Stop the pipeline and give the camera back; once."""
        close, self._close = self._close, None
        if close is None:
            return
        try:
            stop_pipeline(self._pipeline)
        finally:
            close()

    def _next(self, queue: Any, timeout_s: float) -> Any:
        """The next message of a queue; None when none came in time, or when the feed is finished."""
        depthai = import_depthai()
        try:
            return queue.get(timedelta(seconds=timeout_s)) if timeout_s > 0 else queue.tryGet()
        except depthai.MessageQueue.QueueException:
            self._raise_failure()
            if self.finished:
                return None
            raise self._lost("the pipeline has stopped") from None
        except RuntimeError as error:
            self._raise_failure()
            raise self._lost(str(error)) from error

    def _all(self, queue: Any) -> list[Any]:
        depthai = import_depthai()
        try:
            return list(queue.tryGetAll() or ())
        except (depthai.MessageQueue.QueueException, RuntimeError):
            return []  # the next ``_next`` says why

    def _raise_failure(self) -> None:
        for node in self._guarded:
            node.raise_failure()

    def _lost(self, reason: str) -> DeviceLostError:
        fault = running_fault(reason)
        if isinstance(fault, DeviceLostError):
            return fault
        return DeviceLostError(
            f"{self.description}: lost while it was running ({one_line(reason)}); check cable and power"
        )
