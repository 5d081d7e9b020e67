"""What a preset of H.264 costs a recording: CPU time a frame, size and loss, each of the shipped one's in the same run.

Run:  python benchmarks/video_presets.py VIDEO     a recording of  oakpoint run … --save, with its dots and lines
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oakpoint.images.sources import open_source
from oakpoint.run.recordings import mp4

FRAMES, ROUNDS = 60, 3
PRESETS = [(preset, crf) for preset in ("ultrafast", "superfast", "veryfast") for crf in ("18", "20", "23")]


def encoded(frames: list[NDArray[np.uint8]], path: Path) -> float:
    """Record the frames; CPU seconds that it took."""
    start = time.process_time()
    recording = mp4.Mp4Recording(path, 30.0)
    for frame in frames:
        recording.write(frame)
    recording.finish()
    return time.process_time() - start


def loss_db(frames: list[NDArray[np.uint8]], path: Path) -> float:
    """Peak signal-to-noise ratio."""
    with open_source(str(path)) as source:
        pairs = zip(frames, (frame.image for frame in source), strict=True)
        error = np.mean([np.square(a.astype(float) - b[: a.shape[0], : a.shape[1]]).mean() for a, b in pairs])
    return float(10 * np.log10(255**2 / error))


def main(video: str) -> None:
    """Print a line for each preset."""
    with open_source(video) as source:
        frames = [frame.image for _, frame in zip(range(FRAMES), source, strict=False)]
    shipped = tuple(mp4.CODECS["libx264"].values())
    seconds: dict[tuple[str, str], list[float]] = {preset: [] for preset in PRESETS}
    with tempfile.TemporaryDirectory() as folder:
        paths = {preset: Path(folder) / f"{'_'.join(preset)}.mp4" for preset in PRESETS}
        for _ in range(ROUNDS):
            for preset in PRESETS:
                mp4.CODECS["libx264"] = dict(zip(("preset", "crf"), preset, strict=True))
                seconds[preset].append(encoded(frames, paths[preset]))
        base_s, base_bytes = np.median(seconds[shipped]), paths[shipped].stat().st_size  # type: ignore[index]
        print(f"{shipped}: {1e3 * base_s / len(frames):.1f} ms of CPU a frame, {base_bytes / len(frames) / 1e3:.0f} kB")
        for preset in PRESETS:
            time_ratio = np.median(seconds[preset]) / base_s
            size_ratio = paths[preset].stat().st_size / base_bytes
            print(f"{preset}: time {time_ratio:.2f}, size {size_ratio:.2f}, {loss_db(frames, paths[preset]):.1f} dB")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
