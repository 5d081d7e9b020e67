from __future__ import annotations

import base64
import logging
import os
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from oakpoint.errors import ImageError, UsageError
from oakpoint.images.opencv import CONTAINERS
from oakpoint.images.sources import Source, Unreadable, open_folder, open_source, open_video

GREY = np.full((24, 32), 90, np.uint8)


def write_image(path: Path, image: np.ndarray = GREY) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())


def write_video(path: Path, *, frames: int = 12, fps: float = 20, fourcc: str = "mp4v") -> Path:
    """Frame k is of grey level 10 + 15 k."""
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*fourcc), fps, (64, 48))
    assert writer.isOpened()
    for k in range(frames):
        writer.write(np.full((48, 64, 3), 10 + 15 * k, np.uint8))
    writer.release()
    return path


def test_an_image_is_one_frame(tmp_path):
    write_image(tmp_path / "a.PNG")
    with open_source(str(tmp_path / "a.PNG")) as source:
        (frame,) = source
    assert (source.kind, source.name, source.length, source.fps, source.live) == ("image", "a.PNG", 1, None, False)
    assert (frame.index, frame.name, frame.time_s) == (0, "a.PNG", None)
    assert np.array_equal(frame.image, GREY)


def test_a_folder_gives_its_images_in_order(tmp_path):
    for name in ("10.png", "9.png", "deep/1.png"):
        write_image(tmp_path / name)
    with open_source(str(tmp_path)) as source:
        assert (source.kind, source.length) == ("folder", 2)
        assert [frame.name for frame in source] == ["9.png", "10.png"]
    with open_source(str(tmp_path), recursive=True) as source:
        assert [frame.name for frame in source] == ["9.png", "10.png", "deep/1.png"]


def test_images_upright(tmp_path):
    """A PNG with an eXIf chunk that says: row 0 is the picture's right side."""
    png = cv2.imencode(".png", np.arange(24 * 32, dtype=np.uint8).reshape(24, 32))[1].tobytes()
    exif = b"MM\x00\x2a" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    chunk = struct.pack(">I", len(exif)) + b"eXIf" + exif + struct.pack(">I", zlib.crc32(b"eXIf" + exif))
    (tmp_path / "a.png").write_bytes(png[:33] + chunk + png[33:])
    for place in (tmp_path, tmp_path / "a.png"):
        (stored,) = open_source(str(place))
        (upright,) = open_source(str(place), upright=True)
        assert stored.image.shape == (24, 32)
        assert np.array_equal(upright.image, np.rot90(stored.image, -1))
    with pytest.raises(UsageError, match="upright: counts for image files, not for a webcam"):
        open_source("0", upright=True)


def test_an_unreadable_image_is_listed_and_the_rest_goes_on(tmp_path, caplog):
    for name in ("1.png", "3.png"):
        write_image(tmp_path / name)
    (tmp_path / "2.png").write_bytes(b"no image")
    with open_folder(tmp_path) as source, caplog.at_level(logging.WARNING):
        frames = list(source)
    assert [(frame.index, frame.name) for frame in frames] == [(0, "1.png"), (2, "3.png")]
    (unreadable,) = source.unreadable
    assert isinstance(unreadable, Unreadable)
    assert unreadable.name == "2.png"
    assert unreadable.reason.startswith("not an image")
    assert "2.png: left out" in caplog.text


def test_a_folder_in_which_nothing_can_be_read_is_an_error(tmp_path):
    (tmp_path / "1.png").write_bytes(b"no image")
    with open_folder(tmp_path) as source, pytest.raises(ImageError, match="not one of its 1 images"):
        list(source)
    assert len(source.unreadable) == 1


def test_a_folder_without_images(tmp_path):
    with pytest.raises(ImageError, match="no image in this folder"):
        open_source(str(tmp_path))


def test_a_folder_above_the_images_names_it(tmp_path):
    for name in ("1.png", "2.png"):
        write_image(tmp_path / "a" / "b" / name)
    with pytest.raises(
        ImageError, match=rf"^{tmp_path}: no image in this folder itself, but {tmp_path}/a/b has 2; give"
    ):
        open_source(str(tmp_path))
    assert open_source(str(tmp_path), recursive=True).length == 2


@pytest.mark.parametrize(
    ("name", "fourcc"), [("a.mp4", "mp4v"), ("a.avi", "MJPG"), ("a.mkv", "mp4v"), ("größe 画 %d.mov", "mp4v")]
)
def test_a_video_gives_its_frames_with_their_times(tmp_path, name, fourcc):
    path = write_video(tmp_path / name, fourcc=fourcc)
    with open_source(str(path)) as source:
        frames = list(source)
    assert source.kind == "video"
    assert source.fps == pytest.approx(20, abs=0.01)
    assert len(frames) == source.length_estimate == 12
    assert source.length == (None if name.endswith("mkv") else 12)  # Matroska does not count its frames
    assert [frame.index for frame in frames] == list(range(12))
    assert frames[3].name == f"{path.stem}-000003"
    assert [frame.time_s for frame in frames] == pytest.approx([k / 20 for k in range(12)], abs=2e-3)
    assert [frame.image.mean() for frame in frames] == pytest.approx([10 + 15 * k for k in range(12)], abs=4)


def test_a_relative_path_and_one_that_looks_like_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "a.mp4")
    (tmp_path / "http:").mkdir()
    shutil.copy("a.mp4", "http:/b.mp4")
    for text in ("a.mp4", "http://b.mp4"):
        with open_source(text) as source:
            assert len(list(source)) == 12


def test_a_video_cut_short_ends_at_its_last_frame_with_a_warning(tmp_path, caplog):
    path = write_video(tmp_path / "a.avi", fourcc="MJPG")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"movi") + (len(data) - data.index(b"movi")) // 2])
    with open_video(path) as source, caplog.at_level(logging.WARNING):
        frames = list(source)
    assert 2 <= len(frames) < 12
    assert source.length is None
    lost = len(data) - path.stat().st_size
    assert f"ended after {len(frames)} of the 12 frames that its header announces; {lost - 1:,} bytes" in caplog.text


def with_duration(matroska: bytes, factor: float) -> bytes:
    """Let a Matroska file say that it is ``factor`` times as long. Source: RFC 9559, 5.1.2.10 (0x4489, a float)."""
    place = matroska.index(b"\x44\x89\x88") + 3
    (duration,) = struct.unpack(">d", matroska[place : place + 8])
    return matroska[:place] + struct.pack(">d", factor * duration) + matroska[place + 8 :]


def test_an_estimate_of_the_number_of_frames_is_no_count(tmp_path, caplog):
    """As of a variable rate: the duration times the rate is not how many frames there are."""
    path = write_video(tmp_path / "a.mkv")
    path.write_bytes(with_duration(path.read_bytes(), 3))
    with open_video(path) as source, caplog.at_level(logging.WARNING):
        assert len(list(source)) == 12
    assert (source.length, source.length_estimate) == (None, 36)
    assert caplog.messages == []


def test_frames_that_an_edit_list_hides_are_not_missed(tmp_path, caplog):
    """As ``ffmpeg -ss … -c copy`` writes: the index lists frames that are not shown."""
    path = write_video(tmp_path / "a.mp4")
    content = path.read_bytes()
    place = content.index(b"elst") + 12
    half = int.from_bytes(content[place : place + 4], "big") // 2
    path.write_bytes(content[:place] + half.to_bytes(4, "big") + content[place + 4 :])
    with open_video(path) as source, caplog.at_level(logging.WARNING):
        assert len(list(source)) < 12
    assert source.length is None
    assert caplog.messages == []


def test_a_matroska_file_cut_short_says_so(tmp_path, caplog):
    path = write_video(tmp_path / "a.mkv")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    with open_video(path) as source, caplog.at_level(logging.WARNING):
        frames = list(source)
    assert len(frames) < 12
    assert [f"ended after {len(frames)} frames; " in message for message in caplog.messages] == [True]


AV1 = base64.b64decode(
    "REtJRgAAIABBVjAxQAAwABkAAAABAAAAAQAAAAAAAAAbAAAAAAAAAAAAAAASAAoKAAAAAq/3n18wCDILEADkAAACwAAACGA="
)
"""One grey frame: ffmpeg -f lavfi -i color=gray:s=64x48 -frames:v 1 -c:v libaom-av1 -crf 50 a.ivf"""


def test_a_codec_that_cannot_be_decoded_is_named_with_the_way_out(tmp_path):
    path = tmp_path / "my clip.ivf"
    path.write_bytes(AV1)
    if cv2.VideoCapture(str(path), cv2.CAP_FFMPEG).read()[0]:
        pytest.skip("this OpenCV decodes AV1")
    with pytest.raises(ImageError, match=r"its codec, AV1; try  ffmpeg -i '.*my clip\.ivf' -c:v libx264 "):
        open_video(path)


def test_a_video_without_its_index_is_an_error(tmp_path):
    path = write_video(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(ImageError, match=r"no frame of it can be decoded; [0-9,]+ bytes of the file are missing"):
        open_video(path)


PLAYLISTS = {
    "list.ffconcat": "ffconcat version 1.0\nfile secret.mp4\n",
    "concat.mp4": "ffconcat version 1.0\nfile secret.mp4\n",
    "hls.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nsecret.mp4\n#EXT-X-ENDLIST\n",
    "remote.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
    "hls.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nsecret.mp4\n#EXT-X-ENDLIST\n",
    "session.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 26\n",
}


@pytest.mark.parametrize("name", sorted(PLAYLISTS))
def test_a_playlist_cannot_open_another_file(tmp_path, name):
    write_video(tmp_path / "secret.mp4")
    path = tmp_path / name
    path.write_text(PLAYLISTS[name])
    if name == "concat.mp4":  # the danger is real: without our guard FFmpeg opens the other file
        assert cv2.VideoCapture(str(path), cv2.CAP_FFMPEG).read()[0]
    with pytest.raises(ImageError, match="holds its own pictures"):
        open_source(str(path))


def test_nothing_is_written_on_stderr(tmp_path):
    """In a process of its own: FFmpeg takes its level from whoever uses it first."""
    for name, content in PLAYLISTS.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "headless.mp4").write_bytes(write_video(tmp_path / "a.mp4").read_bytes()[:600])
    halved = write_video(tmp_path / "a.avi", fourcc="MJPG")
    halved.write_bytes(halved.read_bytes()[: halved.stat().st_size * 3 // 4])
    script = """
import pathlib, sys
from oakpoint.errors import ImageError
from oakpoint.images.sources import open_source
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    try:
        print(path.name, len(list(open_source(str(path)))))
    except ImageError:
        print(path.name, "refused")
"""
    run = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True)
    assert run.stdout.count("refused") == len(PLAYLISTS) + 1
    assert "a.mp4 12" in run.stdout
    warnings = run.stderr.splitlines()
    assert len(warnings) == 1
    assert "frames that its header announces" in warnings[0]


def test_a_numbered_pattern_opens_no_sequence(tmp_path):
    for k in range(3):
        write_image(tmp_path / f"frame{k}.png")
    (tmp_path / "frame%d.img").write_bytes(b"\x89PNG")
    with pytest.raises(ImageError, match="no frame of it"):
        open_source(str(tmp_path / "frame%d.img"))
    with pytest.raises(ImageError, match="no such file"):
        open_source(str(tmp_path / "frame%d.png"))


def test_no_container_that_names_other_files_is_allowed():
    assert not {"concat", "hls", "dash", "sdp", "rtsp", "image2", "imf", "lavfi", "vapoursynth"} & set(CONTAINERS)


def test_the_environment_is_left_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", "threads;1")
    before = dict(os.environ)
    level = cv2.utils.logging.getLogLevel()
    with open_video(write_video(tmp_path / "a.mp4")) as source:
        next(source)
    assert dict(os.environ) == before
    assert cv2.utils.logging.getLogLevel() == level


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", UsageError, "got nothing"),
        ("rtsp://camera/1", UsageError, "is an address"),
        ("100", UsageError, "0 to 99, got 100"),
        ("missing.mp4", ImageError, "missing.mp4: no such file or folder"),
        ("missing.png", ImageError, "missing.png: no such file"),
        ("/dev/null", ImageError, "not a regular file; a webcam is given by its number"),
    ],
)
def test_what_cannot_be_opened_says_why_in_one_line(tmp_path, monkeypatch, text, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message) as raised:
        open_source(text)
    assert "\n" not in str(raised.value)


def test_a_text_file_is_no_video(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ImageError, match=r"expected a video .* or an image with one of"):
        open_source(str(tmp_path / "notes.txt"))


@pytest.mark.skipif(Path("/dev/video97").exists(), reason="there is a camera 97 here")
def test_no_such_webcam():
    with pytest.raises(ImageError, match="webcam 97: not there"):
        open_source("97")


class Camera:
    """Stands for cv2.VideoCapture: some pictures, then nothing."""

    def __init__(self, pictures: int) -> None:
        self.left = pictures
        self.released = 0

    def read(self):
        self.left -= 1
        return (self.left >= 0, np.zeros((4, 4, 3), np.uint8) if self.left >= 0 else None)

    def get(self, _property: int) -> float:
        return 30.0

    def release(self) -> None:
        self.released += 1


def test_a_webcam_that_stops_is_an_error_and_is_released(monkeypatch):
    camera = Camera(3)
    monkeypatch.setattr(cv2, "VideoCapture", lambda index: camera)
    monkeypatch.setattr("oakpoint.images.webcam.LATEST_ONLY", False)
    with open_source("0") as source:
        assert (source.kind, source.live, source.fps, source.length) == ("webcam", True, 30, None)
        frames = [next(source) for _ in range(3)]
        with pytest.raises(ImageError, match="webcam 0: stopped delivering after 3 frames"):
            next(source)
    assert frames[0].time_s == 0
    assert frames[2].name == "webcam0-000002"
    assert camera.released == 1


def test_a_source_is_closed_once_and_then_exhausted():
    closed = []
    source = Source(iter([]), kind="video", name="x", close=lambda: closed.append(1))
    with source:
        assert list(source) == []
    source.close()
    assert list(source) == []
    assert closed == [1]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "frames", "size", "fps"),
    [("icl_nuim_30frames.mp4", 30, (640, 480), 10), ("boofcv_shake.mjpeg", 71, (500, 375), 25)],
)
def test_shared_clips(shared, name, frames, size, fps):
    with open_source(str(shared / "clips" / name)) as source:
        seen = list(source)
    assert len(seen) == frames
    assert seen[-1].image.shape == (size[1], size[0], 3)
    assert seen[-1].time_s == pytest.approx((frames - 1) / fps, abs=1e-6)
    assert source.length in (frames, None)


def test_a_video_of_a_name_that_is_not_utf8(tmp_path):
    """OpenCV crashes on one."""
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    path.write_bytes(b"anything")
    with pytest.raises(ImageError, match=r"caf\\xe9.mp4: OpenCV opens a video of a name in UTF-8 only; rename it"):
        open_source(str(path))
