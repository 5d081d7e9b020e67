"""The loop: every sink gets every frame and is closed once, whatever ends the run; pausing, stepping, lingering."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from readings import IDENTITY

from oakpoint.errors import BackendError, OakpointError, OutputError
from oakpoint.features.tracking import Tracker
from oakpoint.features.types import DecodeOptions, HeatmapOutputs
from oakpoint.images.sources import Frame
from oakpoint.run.controls import ControlBoard, Controls
from oakpoint.run.frames import Observation, TrackedFrame, observed_ahead
from oakpoint.run.loop import Followed, follow
from oakpoint.run.sinks.base import Sink
from oakpoint.run.sinks.together import SinksTogether
from oakpoint.run.tracking import FrameTracker
from oakpoint.tasks.keypoints.task import Keypoints
from oakpoint.tasks.reading import Reading

PEAKS = {(20, 20): 0.9, (40, 12): 0.5, (8, 40): 0.2}
DECODE = DecodeOptions.preset("superpoint").with_changes(threshold=0.1)


class HeatMapTask(Keypoints):  # type: ignore[misc]  # final, but for tests
    """Keypoints, from a heat map that is given as it is."""

    __slots__ = ()

    def outputs(self, tensors: Any) -> HeatmapOutputs:
        return HeatmapOutputs(tensors["heat"], tensors["descriptors"])


TASK = HeatMapTask(decode=DECODE)


def observation(index: int, shift: int = 0) -> Observation:
    heat = np.zeros((48, 64), np.float32)
    for (x, y), score in PEAKS.items():
        heat[y, x + shift] = score
    heat[30:34, 50:54] = 0.05  # below every threshold
    rng = np.random.default_rng(3)
    tensors = {"heat": heat, "descriptors": rng.normal(size=(8, 6, 8)).astype(np.float32)}
    return Observation(
        image=np.full((48, 64), 90, np.uint8),
        reading=Reading(tensors=tensors, original_from_tensor=IDENTITY, image_size=(64, 48)),
        index=index,
        name=f"f{index}",
        time_s=index / 10,
        latency_s=None,
        stages_s={"read": 0.0, "network": 0.0},
    )


def observations(count: int, end: BaseException | None = None) -> Iterator[Observation]:
    for index in range(count):
        yield observation(index)
    if end is not None:
        raise end


class Recorder(Sink):
    """Notes what it is asked."""

    def __init__(self, *, fails_at: int | None = None, finish_fails: Exception | None = None) -> None:
        self.frames: list[TrackedFrame] = []
        self.redrawn: list[TrackedFrame] = []
        self.closed: list[str] = []
        self._fails_at, self._finish_fails = fails_at, finish_fails

    def add(self, frame: TrackedFrame) -> None:
        if len(self.frames) == self._fails_at:
            raise OutputError("full")
        self.frames.append(frame)

    def redraw(self, frame: TrackedFrame) -> None:
        self.redrawn.append(frame)

    def finish(self) -> None:
        self.closed.append("finish")
        if self._finish_fails is not None:
            raise self._finish_fails

    def abort(self) -> None:
        self.closed.append("abort")


def run(
    *sinks: Sink,
    frames: Iterator[Observation] | None = None,
    board: ControlBoard | None = None,
    heard: Callable[[], None] = lambda: None,
    max_frames: int | None = None,
) -> Followed:
    tracker = FrameTracker(board or ControlBoard(TASK), Tracker(max_length=5, max_distance=0.7))
    given: Any = frames or observations(5)
    return follow(given, tracker, SinksTogether(sinks), heard=heard, max_frames=max_frames)


def test_every_sink_gets_every_frame_with_its_controls_and_is_finished_once() -> None:
    a, b = Recorder(), Recorder()
    followed = run(a, b)
    assert (followed.facts["frames"], followed.ended, followed.lingered) == (5, None, False)
    for sink in (a, b):
        assert [frame.index for frame in sink.frames] == [0, 1, 2, 3, 4]
        assert {id(frame.controls) for frame in sink.frames} == {id(a.frames[0].controls)}
        assert sink.closed == ["finish"]


@pytest.mark.parametrize("end", [OakpointError("lost"), KeyboardInterrupt(), ValueError("bug"), MemoryError()])
def test_whatever_ends_a_run_its_sinks_are_finished(end: BaseException) -> None:
    sink = Recorder()
    followed = run(sink, frames=observations(3, end))
    assert (followed.facts["frames"], sink.closed) == (3, ["finish"])
    assert followed.ended is end or str(followed.ended).startswith(f"after 3 frames: {type(end).__name__}")


@pytest.mark.parametrize("end", [OakpointError("lost"), KeyboardInterrupt(), ValueError("bug")])
def test_before_the_first_frame_they_are_let_go(end: BaseException) -> None:
    sinks = Recorder(), Recorder()
    with pytest.raises((OakpointError, KeyboardInterrupt)):
        run(*sinks, frames=observations(0, end))
    assert [sink.closed for sink in sinks] == [["abort"], ["abort"]]


def test_an_error_in_one_sink_takes_no_frame_from_another() -> None:
    before, broken, after = Recorder(), Recorder(fails_at=2), Recorder()
    followed = run(before, broken, after)
    assert str(followed.ended) == "full"
    assert [len(sink.frames) for sink in (before, broken, after)] == [3, 2, 3]
    assert all(sink.closed == ["finish"] for sink in (before, broken, after))
    assert followed.facts["frames"] == 2, "a frame counts when all is done with it"


def test_one_that_cannot_be_finished_keeps_no_other_from_it() -> None:
    broken, other = Recorder(finish_fails=OutputError("no room")), Recorder()
    followed = run(broken, other)
    assert (str(followed.ended), other.closed) == ("no room", ["finish"])
    both = run(Recorder(finish_fails=OutputError("no room")), frames=observations(2, OakpointError("lost")))
    assert str(both.ended) == "no room; the run had ended: lost"
    assert "RuntimeError" in str(run(Recorder(finish_fails=RuntimeError("x"))).ended)


class Operator:
    """Stands at the controls: one act for each time that the run looks up while it is paused."""

    def __init__(self, board: ControlBoard, *acts: Callable[[], object]) -> None:
        self._acts = iter(acts)
        self.board = board

    def heard(self) -> None:
        if self.board.read().paused or self.lingering:
            next(self._acts)()

    lingering = False


def keypoints(frame: TrackedFrame) -> int:
    return len(frame.result)


def test_paused_it_takes_no_frame_and_shows_the_last_one_as_the_controls_say() -> None:
    board, sink = ControlBoard(TASK), Recorder()
    operator = Operator(
        board,
        lambda: board.change({"threshold": 0.3}),
        lambda: board.change({"threshold": 0.8}, {"heat_map": True}),
        board.step,
        lambda: None,
        lambda: board.pause(paused=False),
    )

    def frames() -> Iterator[Observation]:
        yield observation(0)
        board.pause(paused=True)
        yield observation(1)
        yield observation(2)

    run(sink, frames=frames(), board=board, heard=operator.heard)
    assert [frame.index for frame in sink.frames] == [0, 1, 2]
    assert [keypoints(frame) for frame in sink.frames] == [3, 3, 1]
    assert [(frame.index, keypoints(frame)) for frame in sink.redrawn] == [(1, 2), (1, 1)]
    assert sink.redrawn[0].heat_map is None
    np.testing.assert_array_equal(sink.redrawn[1].heat_map, observation(1).reading.tensors["heat"])


def test_a_frame_shown_again_is_followed_as_if_it_had_come_once() -> None:
    tracker = FrameTracker(ControlBoard(TASK), Tracker(max_length=5, max_distance=0.7))
    frames = tracker.frames(observation(n) for n in range(3))
    next(frames)
    second = next(frames)
    again = tracker.again(tracker.board.change({"threshold": 0.3}))
    assert second.tracks.ages.tolist() == [2, 2, 2]
    assert again.tracks.ages.tolist() == [2, 2], "and not 3"
    assert again.tracks.ids.tolist() == second.tracks.ids[:2].tolist()
    assert next(frames).tracks.ages.tolist() == [3, 3]


class Lingering(Recorder):
    lingers = True


def test_at_the_end_of_a_file_a_page_lingers_and_the_recording_is_finished() -> None:
    board, page, recording = ControlBoard(TASK), Lingering(), Recorder()
    acts = iter([lambda: board.change({"threshold": 0.3}), lambda: None])

    def heard() -> None:
        if recording.closed:
            assert page.closed == []
            next(acts, interrupted)()

    def interrupted() -> None:
        raise KeyboardInterrupt

    followed = run(page, recording, board=board, heard=heard)
    assert followed.lingered
    assert isinstance(followed.ended, KeyboardInterrupt)
    assert [keypoints(frame) for frame in page.redrawn] == [2]
    assert (page.closed, recording.closed) == (["finish"], ["finish"])


def test_with_as_many_frames_as_were_asked_for_nothing_lingers() -> None:
    page = Lingering()
    followed = run(page, max_frames=3)
    assert (followed.facts["frames"], followed.lingered, page.closed) == (3, False, ["finish"])


def test_what_is_drawn_is_what_the_controls_say() -> None:
    def canvas(**drawn: bool) -> np.ndarray:
        board, sink = ControlBoard(TASK), Recorder()
        board.change(drawn=drawn)
        run(sink, frames=(observation(n, shift=n) for n in range(4)), board=board)
        return sink.frames[-1].canvas

    bare = canvas(found=False)
    assert (bare == 90).all()
    pictures = [bare, canvas(), canvas(tracks=False), canvas(heat_map=True)]
    assert all((a != b).any() for n, a in enumerate(pictures) for b in pictures[:n])


def test_controls_are_one_value_for_a_frame() -> None:
    board, sink = ControlBoard(TASK), Recorder()
    seen: list[Controls] = []

    def frames() -> Iterator[Observation]:
        for index in range(3):
            yield observation(index)
            seen.append(board.change({"nms_radius_px": index}))

    run(sink, frames=frames(), board=board)
    assert [frame.controls for frame in sink.frames[1:]] == seen[:2]


class Interrupted(Recorder):
    """A signal comes while it is being finished."""

    def __init__(self, press: Callable[[], None]) -> None:
        super().__init__()
        self._press = press

    def finish(self) -> None:
        super().finish()
        self._press()


@pytest.mark.parametrize("end", [None, KeyboardInterrupt("first"), OakpointError("first")])
def test_a_signal_while_sinks_are_finished_loses_neither_sinks_nor_figures(
    end: BaseException | None, ctrl_c: Callable[[], None]
) -> None:
    sinks = Interrupted(ctrl_c), Recorder()
    followed = run(*sinks, frames=observations(3, end))
    assert [sink.closed for sink in sinks] == [["finish"], ["finish"]]
    assert followed.facts["frames"] == 3
    assert followed.ended is end if end is not None else isinstance(followed.ended, KeyboardInterrupt)


def test_what_could_not_be_finished_is_told_also_where_a_signal_came_meanwhile(ctrl_c: Callable[[], None]) -> None:
    followed = run(Interrupted(ctrl_c), Recorder(finish_fails=OutputError("no room")))
    assert str(followed.ended) == "no room"


def file_frames(count: int, end: BaseException | None = None) -> Iterator[Frame]:
    for index in range(count):
        yield Frame(np.full((48, 64), index, np.uint8), index, f"f{index}", index / 10)
    if end is not None:
        raise end


class HeatPredictor:
    """Gives the same heat map for every image, a few at a time."""

    in_flight = 3
    task = TASK

    def __init__(self, fails_at: int | None = None) -> None:
        self._fails_at = fails_at

    def reading(self, image: np.ndarray) -> Reading[Any]:
        index = int(image[0, 0])
        if index == self._fails_at:
            raise BackendError(f"at {index}")
        return observation(index).reading


def ahead(
    *sinks: Sink,
    frames: Iterator[Frame],
    board: ControlBoard | None = None,
    fails_at: int | None = None,
    **options: Any,
) -> Followed:
    board = board or ControlBoard(TASK)
    predictor: Any = HeatPredictor(fails_at)
    tracker = FrameTracker(board, Tracker(max_length=5, max_distance=0.7))
    before = set(threading.enumerate())
    try:
        seen = observed_ahead(frames, predictor, lambda: board.read().task)
        return follow(seen, tracker, SinksTogether(sinks), **{"ahead": True} | options)
    finally:
        assert set(threading.enumerate()) <= before, "no thread is left"


def test_ahead_of_its_sinks_a_run_gives_what_it_gives_step_by_step() -> None:
    beside, step_by_step = Recorder(), Recorder()
    followed = ahead(beside, frames=file_frames(20))
    expected = run(step_by_step, frames=observations(20))
    assert {name: followed.facts[name] for name in ("frames", "tracks", "keypoints_mean")} == {
        name: expected.facts[name] for name in ("frames", "tracks", "keypoints_mean")
    }
    for got, want in zip(beside.frames, step_by_step.frames, strict=True):
        assert (got.index, got.name, got.time_s) == (want.index, want.name, want.time_s)
        assert got.tracks.ids.tolist() == want.tracks.ids.tolist()
        assert set(got.stages_s) == {"read", "network", "decode", "track"}


@pytest.mark.parametrize("end", [OakpointError("lost"), ValueError("bug"), MemoryError()])
def test_ahead_an_error_comes_behind_the_frames_before_it(end: Exception) -> None:
    sink = Recorder()
    followed = ahead(sink, frames=file_frames(9, end))
    assert (followed.facts["frames"], sink.closed) == (9, ["finish"])
    assert followed.ended is end or str(followed.ended).startswith(f"after 9 frames: {type(end).__name__}")
    sink = Recorder()
    followed = ahead(sink, frames=file_frames(9), fails_at=6)
    assert (followed.facts["frames"], str(followed.ended)) == (6, "at 6")
    with pytest.raises(OakpointError):
        ahead(Recorder(), frames=file_frames(0, end))


def test_ahead_a_sink_that_fails_ends_it_and_takes_no_frame_from_another() -> None:
    broken, other = Recorder(fails_at=4), Recorder()
    followed = ahead(broken, other, frames=file_frames(50))
    assert str(followed.ended) == "full"
    assert [frame.index for frame in other.frames] == [0, 1, 2, 3, 4]


def test_ahead_ctrl_c_keeps_what_the_sinks_have(ctrl_c: Callable[[], None]) -> None:
    class Pressed(Recorder):
        def add(self, frame: TrackedFrame) -> None:
            super().add(frame)
            if frame.index == 5:
                ctrl_c()

    pressed, other = Pressed(), Recorder()
    followed = ahead(pressed, other, frames=file_frames(50))
    assert isinstance(followed.ended, KeyboardInterrupt)
    assert len(pressed.frames) == len(other.frames) == followed.facts["frames"] == 6
    assert other.closed == ["finish"]


def test_controls_that_are_turned_count_for_frames_that_were_decoded_ahead() -> None:
    board, sink = ControlBoard(TASK), Recorder()

    class Turning(Recorder):
        def add(self, frame: TrackedFrame) -> None:
            board.change({"threshold": 0.3 if frame.index % 2 == 0 else 0.8})

    ahead(sink, Turning(), frames=file_frames(8), board=board, ahead=False)
    assert [keypoints(frame) for frame in sink.frames] == [3, 2, 1, 2, 1, 2, 1, 2]


def test_what_cannot_be_drawn_ahead_is_the_sink_s_error_in_its_turn() -> None:
    class Drawing(Recorder):
        prepared = 0

        def prepare(self, frame: TrackedFrame) -> None:
            if frame.index == 3:
                raise OutputError("cannot be drawn")
            Drawing.prepared += 1

    sink = Drawing(fails_at=3)
    followed = ahead(sink, frames=file_frames(9))
    assert (str(followed.ended), len(sink.frames)) == ("full", 3)
    assert Drawing.prepared >= 3
