from __future__ import annotations

import logging
import os
import resource
import signal
from collections.abc import Iterable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from oakpoint.errors import ImageError, OutputError, UsageError
from oakpoint.files import LEAST_FREE_BYTES
from oakpoint.images.sources import open_source
from oakpoint.result_folders import LIST_FILE
from oakpoint.run.recordings import gif, mp4, opening
from oakpoint.run.recordings.opening import open_recording, recording_format

NAMES = ["a.mp4", "a.gif", "frames"]


def frames(count: int, size: tuple[int, int] = (64, 48)) -> list[np.ndarray]:
    """Frame k is of grey level 20 + 20 k."""
    return [np.full((size[1], size[0], 3), 20 + 20 * k, np.uint8) for k in range(count)]


def record(
    path: Path, images: Iterable[np.ndarray], *, fps: float = 20, then: type[BaseException] | None = None
) -> None:
    with open_recording(path, fps=fps) as taken:
        for image in images:
            taken.write(image)
        if then is not None:
            raise then


def levels(path: Path) -> list[float]:
    with open_source(str(path)) as source:
        return [frame.image.mean() for frame in source]


def shown_at_s(video: Path) -> list[float]:
    with av.open(str(video)) as container:
        return [frame.time for frame in container.decode(video=0)]


def names_in(folder: Path) -> list[str]:
    """What a user sees there: the list of oakpoint's own files is hidden."""
    return sorted(entry.name for entry in folder.iterdir() if entry.name != LIST_FILE)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_recorded_plays_back(tmp_path, name):
    record(tmp_path / name, frames(8))
    assert levels(tmp_path / name) == pytest.approx([20 + 20 * k for k in range(8)], abs=5)
    assert names_in(tmp_path) == [name]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("step", ["release", "finish"])
def test_a_second_ctrl_c_while_it_is_finished_waits(tmp_path, name, step, monkeypatch, ctrl_c):
    kind = opening._RECORDINGS[recording_format(tmp_path / name)]
    uninterrupted = getattr(kind, step)

    def interrupted(self):
        ctrl_c()
        uninterrupted(self)

    monkeypatch.setattr(kind, step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        record(tmp_path / name, frames(3), then=KeyboardInterrupt)
    assert len(levels(tmp_path / name)) == 3
    assert names_in(tmp_path) == [name]


@pytest.mark.parametrize("name", ["a.mp4", "a.gif"])
@pytest.mark.parametrize("fps", [10.0, 30.0])
def test_it_plays_back_at_its_pace(tmp_path, name, fps):
    record(tmp_path / name, frames(10), fps=fps)
    with open_source(str(tmp_path / name)) as source:
        last = list(source)[-1]
    assert last.time_s == pytest.approx(9 / fps, abs=0.011)  # a GIF counts in hundredths


def test_a_gif_keeps_pace_although_it_counts_in_hundredths():
    durations = gif._durations_ms(range(301), 30)
    assert set(durations) == {30, 40}
    assert sum(durations) == 10_000


def durations_of(gif: Path) -> list[int]:
    found, animation = cv2.imreadanimation(str(gif))
    assert found
    return list(animation.durations)


@pytest.mark.parametrize("fps", [50.5, 60.0, 59.94, 75, 90, 100, 120, 240, 1000])
def test_a_gif_of_faster_frames_leaves_some_out_evenly_and_keeps_pace(tmp_path, fps):
    count = round(fps / 2)
    with open_recording(tmp_path / "a.gif", fps=fps) as taken:
        assert taken.note.startswith(f"a GIF shows 50 frames per second at most: of every {fps:g}, 50 are kept")
        for number in range(count):
            taken.write(np.full((8, 8, 3), number % 250, np.uint8))
    durations = durations_of(tmp_path / "a.gif")
    assert set(durations) == {20}, "browsers slow down what asks for less"
    assert sum(durations) == pytest.approx(1000 * count / fps, abs=20)
    assert taken.frames_written == len(durations)
    assert taken.frames_written + taken.frames_left_out == count


@pytest.mark.parametrize("name", ["a.gif", "a.mp4"])
def test_what_has_room_for_every_frame_says_nothing(tmp_path, name):
    with open_recording(tmp_path / name, fps=50 if name == "a.gif" else 240) as taken:
        assert taken.note is None
        taken.write(frames(1)[0])


def test_a_repeated_frame_stands_for_as_long_again(tmp_path):
    for name in NAMES:
        with open_recording(tmp_path / name, fps=10) as taken:
            for image in frames(2):
                taken.write(image)
                for _ in range(4):
                    taken.repeat()
    assert shown_at_s(tmp_path / "a.mp4") == pytest.approx([0, 0.5])
    assert durations_of(tmp_path / "a.gif") == [500, 500], "no more memory than two frames take"
    assert len(levels(tmp_path / "frames")) == 2, "a folder does not play"


def test_a_gif_of_a_photograph_is_fit_to_be_seen(tmp_path):
    rows, columns = np.mgrid[:96, :128]
    photograph = np.dstack([columns * 2, rows * 2, 128 + 60 * np.sin((rows + columns) / 20)]).astype(np.uint8)
    record(tmp_path / "a.gif", [photograph])
    (frame,) = open_source(str(tmp_path / "a.gif"))
    assert np.abs(frame.image.astype(int) - photograph).mean() < 12  # OpenCV's default: 20 and more


@pytest.mark.parametrize("name", NAMES)
def test_grey_frames_are_taken(tmp_path, name):
    record(tmp_path / name, [image[..., 0] for image in frames(3)])
    assert levels(tmp_path / name) == pytest.approx([20, 40, 60], abs=5)


def test_a_video_of_odd_size_loses_no_pixel(tmp_path):
    record(tmp_path / "a.mp4", frames(2, (63, 47)))
    (frame, _) = open_source(str(tmp_path / "a.mp4"))
    assert frame.image.shape == (48, 64, 3)


ENDS = [KeyboardInterrupt, SystemExit, ImageError, OutputError, ZeroDivisionError, MemoryError, OSError, cv2.error]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("end", ENDS)
def test_whatever_ends_it_the_part_until_then_is_kept(tmp_path, name, end):
    record(tmp_path / name, frames(2))
    with pytest.raises(end):
        record(tmp_path / name, frames(4), then=end)
    assert levels(tmp_path / name) == pytest.approx([20, 40, 60, 80], abs=5)
    assert names_in(tmp_path) == [name]


@pytest.mark.parametrize("name", NAMES)
def test_a_caller_sees_whether_it_is_there(tmp_path, name):
    with open_recording(tmp_path / name, fps=10) as taken:
        taken.write(frames(1)[0])
        assert not taken.in_place
    assert taken.in_place


@pytest.mark.parametrize("name", NAMES)
def test_it_ends_while_there_is_room_to_finish_it(tmp_path, name, monkeypatch):
    usage = type("usage", (), {"free": 1 << 40})
    monkeypatch.setattr("oakpoint.files.shutil.disk_usage", lambda folder: usage)
    with (  # noqa: PT012
        pytest.raises(OutputError, match=r"the disk is all but full \(8 MB are left\)$") as told,
        open_recording(tmp_path / name, fps=10) as taken,
    ):
        for image in frames(3):
            taken.write(image)
        usage.free = LEAST_FREE_BYTES
        taken.write(frames(1)[0])
    assert str(told.value).startswith(f"{tmp_path / name}: ")
    assert len(levels(tmp_path / name)) == 3
    assert names_in(tmp_path) == [name]


@pytest.mark.parametrize("name", ["a.mp4", "a.gif"])
def test_what_could_not_be_finished_is_not_put_in_place(tmp_path, name, monkeypatch):
    """An encoder's own write fails, as at a limit on file sizes."""
    record(tmp_path / name, frames(2))
    kind = opening._RECORDINGS[recording_format(tmp_path / name)]
    finish = kind.finish

    def cut_short(self):
        if name == "a.gif":
            monkeypatch.setattr(cv2, "imwriteanimation", lambda *_: False)
            return finish(self)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python has it, if no library has changed it
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        try:
            return finish(self)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    monkeypatch.setattr(kind, "finish", cut_short)
    with pytest.raises(OutputError, match=r"disk full.*; the recording had ended: ZeroDivisionError"):
        record(tmp_path / name, frames(5), then=ZeroDivisionError)
    assert len(levels(tmp_path / name)) == 2
    assert names_in(tmp_path) == [name]


def test_half_a_picture_is_not_left_in_a_folder(tmp_path, monkeypatch):
    def fills_the_disk(self, data):
        with self.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    with (  # noqa: PT012
        pytest.raises(OutputError, match="No space left"),
        open_recording(tmp_path / "frames", fps=10) as taken,
    ):
        taken.write(frames(1)[0])
        monkeypatch.setattr(Path, "write_bytes", fills_the_disk)
        taken.write(frames(2)[1])
    assert names_in(tmp_path / "frames") == ["frame_000000.png"]


@pytest.mark.parametrize("name", NAMES)
def test_ctrl_c_leaves_no_half_frame(tmp_path, name, monkeypatch, ctrl_c):
    """It comes while a frame is encoded, and is heard when that is done."""
    kind = opening._RECORDINGS[recording_format(tmp_path / name)]
    add = kind._add

    def interrupted(self, frame, at_s, name):
        if self.frames_written == 2:
            ctrl_c()
        return add(self, frame, at_s, name)

    monkeypatch.setattr(kind, "_add", interrupted)
    with pytest.raises(KeyboardInterrupt):
        record(tmp_path / name, frames(5))
    assert len(levels(tmp_path / name)) == 3


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("error", [None, KeyboardInterrupt, ImageError])
def test_no_frame_leaves_nothing(tmp_path, name, error):
    with pytest.raises(error or OutputError, match=None if error else "no frame was recorded"):
        record(tmp_path / name, [], then=error)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("name", ["a.mp4", "a.gif"])
def test_frames_of_another_size_are_refused(tmp_path, name):
    with pytest.raises(ImageError, match="64×48 px like the first, got 32×48; record to a folder"):
        record(tmp_path / name, [*frames(2), *frames(1, (32, 48))])
    assert len(levels(tmp_path / name)) == 2


def test_a_folder_takes_frames_of_any_size_without_loss(tmp_path, rng):
    images = [rng.integers(0, 256, (k, 9, 3), dtype=np.uint8) for k in (5, 7)]
    record(tmp_path / "frames", images)
    assert names_in(tmp_path / "frames") == ["frame_000000.png", "frame_000001.png"]
    with open_source(str(tmp_path / "frames")) as source:
        assert all(np.array_equal(frame.image, image) for frame, image in zip(source, images, strict=True))


def test_an_earlier_recording_is_replaced_whole(tmp_path):
    record(tmp_path / "frames", frames(5))
    record(tmp_path / "frames", frames(2))
    assert names_in(tmp_path / "frames") == ["frame_000000.png", "frame_000001.png"]


@pytest.mark.parametrize(
    "stranger", ["photo.png", "frame_1.png", "frame_000000.png", ".hidden", "frame_000000.png/deep"]
)
def test_a_folder_with_anything_else_in_it_is_left_alone(tmp_path, stranger):
    path = tmp_path / "mine" / stranger
    path.parent.mkdir(parents=True)
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match="and is not a recording that oakpoint made; choose another --save"):
        record(tmp_path / "mine", frames(2))
    assert path.read_bytes() == b"precious"
    assert names_in(tmp_path) == ["mine"]


def test_a_file_that_appears_meanwhile_is_not_lost(tmp_path):
    def frames_and_a_stranger():
        yield frames(1)[0]
        (tmp_path / "frames").mkdir()
        (tmp_path / "frames" / "late.txt").touch()

    with pytest.raises(OutputError, match=r"holds late\.txt, and is not a recording"):
        record(tmp_path / "frames", frames_and_a_stranger())
    assert names_in(tmp_path / "frames") == ["late.txt"]


def test_memory_of_a_gif_is_bounded(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(gif, "GIF_MEMORY_BYTES", 3 * 64 * 48 * 3)
    with caplog.at_level(logging.WARNING), open_recording(tmp_path / "a.gif", fps=20) as taken:
        for image in frames(5):
            taken.write(image)
        assert (taken.frames_written, taken.frames_left_out) == (3, 2)
    assert caplog.text.count("full after 3 frames") == 1
    assert len(levels(tmp_path / "a.gif")) == 3


def test_a_gif_keeps_frames_that_the_caller_writes_over(tmp_path):
    image = np.zeros((48, 64, 3), np.uint8)
    with open_recording(tmp_path / "a.gif", fps=20) as taken:
        for level in (50, 200):
            image[:] = level
            taken.write(image)
    assert levels(tmp_path / "a.gif") == pytest.approx([50, 200], abs=5)


@pytest.mark.parametrize(("name", "kind"), [("a.MP4", "mp4"), ("a.gif", "gif"), ("a", "folder"), ("deep/a", "folder")])
def test_formats_are_told_by_suffix(name, kind):
    assert recording_format(Path(name)) == kind


@pytest.mark.parametrize("name", ["a.png", "a.JPG"])
def test_a_single_frame_may_be_an_image(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(UsageError, match=r"one frame \(--max-frames 1\) can be a \.png or \.jpg, got \." + name[2:]):
        record(path, frames(1))
    with open_recording(path, fps=20, single=True) as taken:
        taken.write(np.full((48, 63, 3), 120, np.uint8))
    picture = cv2.imread(str(path))
    assert picture.shape == (48, 63, 3)
    assert np.abs(picture.astype(int) - 120).max() <= 1
    assert names_in(tmp_path) == [name]


def test_an_unknown_suffix_names_the_known(tmp_path):
    with pytest.raises(UsageError, match=r"\.mp4 or \.gif, or has no suffix .* got \.avi"):
        record(tmp_path / "a.avi", frames(1))


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_frame_rate(tmp_path, fps):
    with pytest.raises(UsageError, match="expected a positive number"):
        record(tmp_path / "a.mp4", frames(1), fps=fps)


def test_places_where_nothing_can_be_written(tmp_path):
    with pytest.raises(OutputError, match="cannot write here"):
        record(tmp_path / "missing" / "a.mp4", frames(1))
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(OutputError, match="a folder of that name"):
        record(tmp_path / "folder.mp4", frames(1))
    (tmp_path / "file").write_bytes(b"precious")
    with pytest.raises(OutputError, match="expected a folder for a recording, got a file"):
        record(tmp_path / "file", frames(1))
    assert (tmp_path / "file").read_bytes() == b"precious"


def test_a_video_is_of_a_kind_that_browsers_play(tmp_path):
    record(tmp_path / "a.mp4", frames(3))
    with av.open(str(tmp_path / "a.mp4")) as container:
        (stream,) = container.streams.video
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.codec_context.colorspace, stream.codec_context.color_range) == (6, 1)


@pytest.mark.parametrize("codec", [name for name in mp4.CODECS if name in av.codecs_available])
def test_every_encoder_that_may_be_taken_gives_a_video_that_plays(tmp_path, monkeypatch, codec):
    monkeypatch.setattr(mp4, "CODECS", {codec: mp4.CODECS[codec]})
    record(tmp_path / "a.mp4", frames(5))
    with av.open(str(tmp_path / "a.mp4")) as container:
        seen = [frame.to_ndarray(format="gray8").mean() for frame in container.decode(video=0)]
    assert seen == pytest.approx([20 + 20 * k for k in range(5)], abs=6)


def test_a_video_keeps_the_time_of_each_frame(tmp_path):
    times = [0.0, 0.031, 0.5, 0.517, 3.0]
    with open_recording(tmp_path / "a.mp4", fps=30) as taken:
        for image, at_s in zip(frames(5), times, strict=True):
            taken.write(image, at_s=at_s)
    assert shown_at_s(tmp_path / "a.mp4") == pytest.approx(times, abs=1e-4)


def test_times_that_do_not_rise_lose_no_frame(tmp_path):
    with open_recording(tmp_path / "a.mp4", fps=30) as taken:
        for image, at_s in zip(frames(4), [0.0, 0.0, -1.0, 0.1], strict=True):
            taken.write(image, at_s=at_s)
    assert len(shown_at_s(tmp_path / "a.mp4")) == 4


def test_a_folder_calls_its_images_as_the_frames_are_called(tmp_path):
    names = ["b.jpg", "b.png", "B.JPG", "sub/c.jpg", "../evil.jpg", "clip-000004", None, ".hidden"]
    with open_recording(tmp_path / "frames", fps=10) as taken:
        for name in names:
            taken.write(frames(1)[0], name=name)
    assert names_in(tmp_path) == ["frames"]
    expected = ["B.JPG", "b", "b.png", "clip-000004", "evil", "frame_000006", "hidden", "sub_c"]
    assert names_in(tmp_path / "frames") == sorted(f"{name}.png" for name in expected)


def test_an_encoder_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(mp4, "CODECS", {"libnone": {}})
    with pytest.raises(OutputError, match="PyAV has none of the encoders libnone; record to a folder"):
        record(tmp_path / "a.mp4", frames(1))
    assert names_in(tmp_path) == []


def test_frames_stand_where_they_belong_at_rates_that_are_no_whole_ticks(tmp_path):
    fps = 60_000 / 1001
    record(tmp_path / "a.mp4", frames(1) * 700, fps=fps)
    assert shown_at_s(tmp_path / "a.mp4") == pytest.approx([k / fps for k in range(700)], abs=1 / mp4.TICKS_PER_S)


def test_a_folder_takes_the_names_of_frames_whole(tmp_path):
    """A dot in a video's name is no suffix; one of an image is."""
    with open_recording(tmp_path / "frames", fps=10) as taken:
        for name in ("my.clip.v2-000000", "my.clip.v2-000001", "photo.v2.jpeg"):
            taken.write(frames(1)[0], name=name)
    assert names_in(tmp_path / "frames") == ["my.clip.v2-000000.png", "my.clip.v2-000001.png", "photo.v2.png"]


@pytest.mark.parametrize("letter", ["x", "ü"])
def test_a_folder_takes_names_that_are_too_long_for_a_file_with_a_number(tmp_path, letter):
    long = letter * (251 // len(letter.encode()))
    with open_recording(tmp_path / "frames", fps=10) as taken:
        for number in range(3):
            taken.write(frames(1)[0], name=f"{long}-{number:06d}")
    written = names_in(tmp_path / "frames")
    assert [name[-11:] for name in written] == ["_000000.png", "_000001.png", "_000002.png"]
    assert all(name.startswith(letter * 100) for name in written)


@pytest.mark.parametrize(("name", "seconds"), [("a.gif", 655), ("a.mp4", 23_860)])
def test_frames_that_would_stand_longer_than_the_format_can_say(tmp_path, name, seconds):
    record(tmp_path / name, frames(2), fps=1.001 / seconds)
    with pytest.raises(UsageError, match=f"{name}: expected a frame every {seconds} s or more often"):
        record(tmp_path / name, frames(2), fps=0.99 / seconds)
    record(tmp_path / "frames", frames(2), fps=0.99 / seconds)


@pytest.mark.parametrize("name", [b"caf\xe9.mp4", b"caf\xe9"])
def test_a_name_that_is_not_utf8(tmp_path, name):
    record(tmp_path / os.fsdecode(name), frames(2))
    assert names_in(tmp_path) == [os.fsdecode(name)]


def test_a_gif_needs_a_name_in_utf8(tmp_path):
    """OpenCV crashes on others."""
    with pytest.raises(OutputError, match="OpenCV writes a GIF to a name in UTF-8 only"):
        record(tmp_path / os.fsdecode(b"caf\xe9.gif"), frames(2))
    assert names_in(tmp_path) == []
