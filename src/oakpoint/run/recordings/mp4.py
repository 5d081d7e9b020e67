"""Videos that browsers play: MP4 with H.264, or what else of its kind PyAV has."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, final

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import OutputError, first_line
from oakpoint.run.recordings.base import Recording

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

CODECS: dict[str, dict[str, str]] = {
    "libx264": {"preset": "ultrafast", "crf": "20"},
    "libopenh264": {"b": "6000000"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "28", "b": "0"},
    "libsvtav1": {"preset": "10", "crf": "30"},
}
"""FFmpeg's encoders that browsers have a decoder for; the first one that is there is taken, with these settings.

H.264 is as fast as it comes, since a recording takes its time from the run: ``veryfast`` would cost twice the CPU for
a file of six tenths of the size (``benchmarks/video_presets.py``)."""

THREADS = 2
"""Of the encoder: the rest of the machine runs the network."""

TICKS_PER_S = 90_000
"""Unit of a frame's time, as in MPEG's own streams: a ninetieth of a millisecond."""


@final
class Mp4Recording(Recording):
    """Encodes each frame as it comes; every one stands for its own time."""

    keeps_times = True
    slowest_fps = TICKS_PER_S / (2**31 - 1)

    def __init__(self, path: Path, fps: float) -> None:
        super().__init__(path, fps)
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._due = 0.0  # where the next frame stands, in ticks; not whole, or an hour of 59.94 fps is off by a second
        self._last_tick = -1

    def _add(self, frame: NDArray[np.uint8], at_s: float | None, name: str | None) -> bool:
        del name
        height, width = frame.shape[:2]
        even = frame  # 4:2:0 has one colour for 2×2 px
        if height % 2 or width % 2:
            even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        due = self._due if at_s is None else at_s * TICKS_PER_S
        tick = max(round(due), self._last_tick + 1)
        with self._encoding():
            if self._stream is None:
                self._open(even.shape[1], even.shape[0])
            self._encode(even, tick)
        self._last_tick, self._due = tick, due + TICKS_PER_S / self._fps
        return True

    def _add_again(self) -> None:
        self._due += TICKS_PER_S / self._fps

    def _open(self, width: int, height: int) -> None:
        import av

        codec = next((name for name in CODECS if name in av.codecs_available), None)
        if codec is None:
            raise OutputError(
                f"video: PyAV has none of the encoders {', '.join(CODECS)}; record to a folder or .gif, or install "
                "PyAV's own wheel:  pip install --force-reinstall av"
            )
        self._container = av.open(str(self._path), "w", format="mp4")
        # The rate is a guess for the encoder; what counts is the time of each frame.
        rate = Fraction(self._fps).limit_denominator(1001)
        stream = cast("VideoStream", self._container.add_stream(codec, rate=rate, options=CODECS[codec]))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, TICKS_PER_S)
        stream.codec_context.thread_count = THREADS
        stream.codec_context.max_b_frames = 0  # frames come out in order, and the last one stands as long as is said
        # What swscale makes of BGR, written down: players guess another matrix for high pictures.
        stream.codec_context.colorspace, stream.codec_context.color_range = 6, 1  # SMPTE 170M, limited
        self._stream = stream

    def _encode(self, picture: NDArray[np.uint8], tick: int) -> None:
        import av

        assert self._container is not None, "opened with the first frame"
        assert self._stream is not None, "opened with the first frame"
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
        frame.pts, frame.time_base = tick, Fraction(1, TICKS_PER_S)
        self._mux(self._stream.encode(frame))

    def _mux(self, packets: list[Packet[Any]]) -> None:
        assert self._container is not None, "opened with the first frame"
        for packet in packets:
            # A frame stands until the next one; of the last one this is all that says how long.
            packet.duration = max(round(1 / (self._fps * packet.time_base)), 1)
            self._container.mux(packet)

    def finish(self) -> None:
        """See ``Recording.finish``."""
        with self._encoding():
            if self._container is not None and self._stream is not None:
                self._mux(self._stream.encode(None))
                self._container.close()
                self._container = None

    def release(self) -> None:
        """See ``Recording.release``."""
        if self._container is not None and self.frames_written == 0:
            with contextlib.suppress(OutputError), self._encoding():
                self._container.close()

    @contextlib.contextmanager
    def _encoding(self) -> Iterator[None]:
        """Translate what FFmpeg says."""
        import av

        try:
            yield
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise OutputError(
                f"video: could not be written in {self._path.parent} ({first_line(error)}); is the disk full, or a "
                "limit on file sizes reached? A folder keeps every frame that was written"
            ) from error
