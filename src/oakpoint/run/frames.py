"""Frames of a run, from what a network gave for them to what is known, counted and drawn of them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.images.sources import Frame
from oakpoint.pipeline import Stage, overlapped
from oakpoint.predictor import Predictor
from oakpoint.run.controls import Controls
from oakpoint.tasks.base import Task
from oakpoint.tasks.reading import Reading
from oakpoint.threads import one_opencv_thread
from oakpoint.view.draw import bgr_from_image, draw_heat_map, with_status
from oakpoint.view.results.colours import drawable_text
from oakpoint.view.results.registry import view_of

if TYPE_CHECKING:
    from oakpoint.oak.live import LiveFrame

DECODERS = 4
"""Frames that are decoded side by side, at most: decoding takes a fraction of what the network does."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Observation:
    """A frame and what the network gave for it, not yet read.

    Attributes:
        image: uint8 (H, W) or (H, W, 3) BGR.
        reading: the network's outputs.
        index: the frame's number in the source; of a camera its own.
        name: of its file, or one with its number; None where it has none.
        time_s: when it was taken, or is to be shown, rising; None for still images.
        latency_s: of an OAK camera, seconds from the capture to the result; None for other frames.
        stages_s: seconds that were spent on it so far, by the name of the stage.
    """

    image: NDArray[np.uint8]
    reading: Reading[Any]
    index: int
    name: str | None
    time_s: float | None
    latency_s: float | None
    stages_s: dict[str, float]


@dataclass(frozen=True, eq=False, kw_only=True)
class TrackedFrame:
    """A frame and what was found in it.

    Attributes:
        image: the frame.
        result: what the network's task reads, in pixels of ``image``.
        tracks: what the follower knows of it; None for an image by itself, and where there is nothing to follow.
        controls: with which it was read, and is to be drawn.
        moving: it is one of a video; False: an image by itself.
        stages_s: seconds that each stage took, in their order: ``read`` (waiting for the source), ``network``,
            ``decode``, ``track``.
        rate_fps: frames per second over the last frames; see ``tracking.RATE_WINDOW``. None for the first one.
        latency_s: see ``Observation``.
        time_s: see ``Observation``.
        index: see ``Observation``.
        name: see ``Observation``.
        heat_map: float32 (H, W) in [0, 1], where it is drawn.
    """

    image: NDArray[np.uint8]
    result: Any
    tracks: Any
    controls: Controls
    moving: bool
    stages_s: dict[str, float]
    rate_fps: float | None = None
    latency_s: float | None = None
    time_s: float | None = None
    index: int = 0
    name: str | None = None
    heat_map: NDArray[np.float32] | None = None

    @property
    def seconds(self) -> float:
        """What finding and following took, without the wait for the source."""
        return sum(seconds for stage, seconds in self.stages_s.items() if stage != "read")

    def facts(self) -> dict[str, Any]:
        """Which frame it is, and what was found in it, for machines."""
        where = {"frame": self.index, "name": self.name, "time_s": self.time_s}
        return where | view_of(self.result).facts(self.result, self.tracks)

    @cached_property
    def canvas(self) -> NDArray[np.uint8]:
        """The image with what was found in it, as the controls say: uint8 (H, W, 3) BGR, to be left as it is."""
        drawn, view = self.controls.drawn, view_of(self.result)
        ground = self.image if self.heat_map is None else draw_heat_map(self.image, self.heat_map)
        if not drawn.found:
            return bgr_from_image(ground)
        if self.moving and drawn.tracks:
            return view.moving(ground, self.result, self.tracks)
        return view.still(ground, self.result)

    def timing(self) -> list[str]:
        """How fast things go, each figure with what it measures."""
        rate = [] if self.rate_fps is None else [f"{self.rate_fps:.1f} fps {'arriving' if self._live else 'done'}"]
        if self.latency_s is not None:
            return [*rate, f"{1e3 * self.latency_s:.0f} ms latency"]
        doing = view_of(self.result).doing if self.moving else ""
        return [*rate, f"{1e3 * self.seconds:.1f} ms {doing}".rstrip()]

    def figures(self) -> list[str]:
        """What was found, in short texts."""
        return view_of(self.result).figures(self.result, self.tracks)

    def picture(self, notice: str | None = None) -> NDArray[np.uint8]:
        """``canvas``, and below it ``timing`` and ``figures``; uint8 (H + strip, W, 3) BGR.

        Args:
            notice: a further short text in ASCII for the strip.
        """
        found = list(map(drawable_text, self.figures()))
        figures = [*self.timing(), *found] if self.moving else [*found, *self.timing()]
        return with_status(self.canvas, figures + ([notice] if notice else []))

    @property
    def _live(self) -> bool:
        return self.latency_s is not None


def observed_frames(
    frames: Iterable[Frame],
    predictor: Predictor[Any],
    *,
    turned: bool = True,
    clock: Callable[[], float] = time.perf_counter,
) -> Generator[Observation, None, None]:
    """Run a network on frames of any source, one after the other.

    Args:
        frames: of any source.
        predictor: runs the network.
        turned: whether its task may be changed by controls, or more be asked of a reading than what is found.
        clock: seconds, monotonic.

    Raises:
        OakpointError: from the frames or the model.
    """
    read = predictor.reading if turned else predictor.final_reading
    asked = clock()
    for frame in frames:
        came = clock()
        reading = read(frame.image)
        yield _observation(frame, reading, {"read": came - asked, "network": clock() - came})
        asked = clock()


def observed_ahead(
    frames: Iterable[Frame],
    predictor: Predictor[Any],
    present: Callable[[], Task[Any]],
    *,
    turned: bool = True,
    clock: Callable[[], float] = time.perf_counter,
) -> Generator[Observation, None, None]:
    """The same of a file's frames, in their order: read, run and decoded beside each other, some ahead of their turn.

    The tensors of a frame are kept, so that one whose controls are turned after it was decoded is decoded once more, by
    what they are when its turn comes. Each stage's time is its own, from when it is begun to when it is done for this
    frame, with others being worked on meanwhile: together they are more than 1 / the rate.

    Args:
        frames: of a file or folder; taken in a thread of their own. Of a camera, they would grow old meanwhile.
        predictor: runs the network, ``in_flight`` frames at a time.
        present: gives the task as the controls are now.
        turned: see ``observed_frames``.
        clock: seconds, monotonic.

    Raises:
        OakpointError: from the frames or the model, after all frames before.
    """
    read = predictor.reading if turned else predictor.final_reading

    def timed() -> Iterator[tuple[Frame, float]]:
        asked = clock()
        for frame in frames:
            yield frame, clock() - asked
            asked = clock()

    def observed(given: tuple[Frame, float]) -> Observation:
        frame, read_s = given
        start = clock()
        reading = read(frame.image)
        return _observation(frame, reading, {"read": read_s, "network": clock() - start})

    def decoded(seen: Observation) -> Observation:
        start = clock()
        reading = seen.reading.read_by(present())
        return replace(seen, reading=reading, stages_s=seen.stages_s | {"decode": clock() - start})

    network = Stage(observed, predictor.in_flight, "network")
    decoding = Stage(decoded, min(predictor.in_flight, DECODERS), "decode")
    with one_opencv_thread(), contextlib.closing(overlapped(timed(), network, decoding)) as observations:
        yield from observations


def _observation(frame: Frame, reading: Reading[Any], stages_s: dict[str, float]) -> Observation:
    return Observation(
        image=frame.image,
        reading=reading,
        index=frame.index,
        name=frame.name,
        time_s=frame.time_s,
        latency_s=None,
        stages_s=stages_s,
    )


def observed_live_frames(frames: Iterable[LiveFrame]) -> Generator[Observation, None, None]:
    """The same of an OAK camera, which has run its network already.

    Raises:
        OakpointError: from the camera.
    """
    asked = time.perf_counter()
    for frame in frames:
        yield Observation(
            image=frame.image,
            reading=frame.reading,
            index=frame.sequence,
            name=None,
            time_s=frame.time_s,
            latency_s=frame.latency_s,
            stages_s={"read": time.perf_counter() - asked},
        )
        asked = time.perf_counter()
