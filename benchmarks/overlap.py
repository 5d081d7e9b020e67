"""How near `extract` and `run --save` come to what OpenVINO's own benchmark_app gives for the same network.

    python benchmarks/overlap.py [--model acorn] [--weights FILE | --seed 0] [--size 640x480] [--images N] [--rounds N]

In every round, one after the other: benchmark_app (asynchronous, throughput), `extract` on image files of the network's
size, `run --save` on the same files to an MP4, and both as they are with one image after the other. Printed are the
medians: images per second with the ratio to benchmark_app, and the processor time that an image takes. Where all cores
are busy, the first cannot be more than benchmark_app's processor time / ours; the column «bound» has that. Then, for
one image after the other, the milliseconds of each stage of `run`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from oakpoint.backends.registry import RuntimeOptions
from oakpoint.extraction.images import named_images
from oakpoint.extraction.one_file import extract_images
from oakpoint.extractor import Extractor
from oakpoint.features.hdf5 import writing_features
from oakpoint.images.moving_view import moving_view
from oakpoint.images.sources import open_source
from oakpoint.loading import load_extractor
from oakpoint.models.base import ModelOptions
from oakpoint.models.naming import model_of
from oakpoint.run.controls import ControlBoard
from oakpoint.run.frames import TrackedFrame, observed_ahead, observed_frames
from oakpoint.run.loop import follow
from oakpoint.run.sinks.base import Sink
from oakpoint.run.sinks.recording import RecordingSink
from oakpoint.run.sinks.together import SinksTogether
from oakpoint.run.tracking import FrameTracker
from oakpoint.threads import cores
from oakpoint.verify.photographs import load_photographs
from oakpoint.view.results.base import FollowOptions
from oakpoint.view.results.registry import Following

Figures = tuple[float, float]
"""Images per second, and milliseconds of processor time for each."""


def write_images(folder: Path, size: tuple[int, int], count: int) -> None:
    """JPEG files of a view that moves over a photograph."""
    photograph = load_photographs(None)["coins"]
    scale = max(1.5 * size[0] / photograph.shape[1], 1.5 * size[1] / photograph.shape[0], 1)
    large = cv2.resize(photograph, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    for index, known in enumerate(moving_view(np.asarray(large, np.uint8), size=size, frames=count)):
        cv2.imwrite(str(folder / f"{index:04d}.jpg"), known.image, [cv2.IMWRITE_JPEG_QUALITY, 92])


def timed(work: Callable[[], int]) -> Figures:
    """Figures of some work that says how many images it did; the processor time of this process and its children."""
    before, wall = _processor_s(), time.perf_counter()
    count = work()
    wall_s = time.perf_counter() - wall
    return count / wall_s, (_processor_s() - before) / count * 1e3


def _processor_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def of_benchmark_app(file: Path, shape: str, seconds: int) -> Figures:
    """Figures of benchmark_app; the processor time of its start is taken out by a run of no more than that."""
    program = Path(sys.executable).with_name("benchmark_app")
    words = [str(program), "-m", str(file), "-d", "CPU", "-hint", "throughput", "-infer_precision", "f32"]
    words += ["-shape", shape]

    def ran(*limit: str) -> tuple[int, float, float]:
        before = _processor_s()
        text = subprocess.run([*words, *limit], capture_output=True, text=True, check=True, env=os.environ).stdout
        rate, count = (float(_found(name, text)) for name in ("Throughput", "Count"))
        return int(count), rate, _processor_s() - before

    few, _, start_s = ran("-niter", str(2 * cores()))
    count, rate, all_s = ran("-t", str(seconds))
    return rate, (all_s - start_s) / (count - few) * 1e3


def _found(name: str, text: str) -> str:
    found = re.search(rf"{name}:\s+([0-9.]+)", text)
    if found is None:
        raise SystemExit(f"benchmark_app said nothing of {name}:\n{text}")
    return found[1]


class Stages(Sink):
    """Notes how long drawing and all that follows takes, in the place of the sinks that it holds."""

    def __init__(self, recording: RecordingSink) -> None:
        self.stages_s: list[dict[str, float]] = []
        self._recording = recording

    def prepare(self, frame: TrackedFrame) -> None:
        """See ``Sink.prepare``."""
        self._recording.prepare(frame)

    def add(self, frame: TrackedFrame) -> None:
        """See ``Sink.add``."""
        start = time.perf_counter()
        _ = frame.canvas
        drawn = time.perf_counter()
        self._recording.add(frame)
        self.stages_s.append({**frame.stages_s, "draw": drawn - start, "encode": time.perf_counter() - drawn})

    def finish(self) -> None:
        """See ``Sink.finish``."""
        self._recording.finish()

    def abort(self) -> None:
        """See ``Sink.abort``."""
        self._recording.abort()


def extracted(extractor: Extractor, folder: Path, out: Path) -> int:
    """``extract``."""
    out.unlink(missing_ok=True)
    return sum(result.keypoints is not None for result in extract_images(named_images(folder)[1], extractor, out))


def extracted_one_by_one(extractor: Extractor, folder: Path, out: Path) -> int:
    """The same work, one image after the other."""
    out.unlink(missing_ok=True)
    images = named_images(folder)[0] or []
    with writing_features(out) as writer:
        for image in images:
            facts = image.origin.facts() if image.origin else None
            writer.write(image.name, extractor(image.read()), facts)
    return len(images)


def run(extractor: Extractor, folder: Path, out: Path, *, ahead: bool, stages: list[dict[str, float]]) -> int:
    """``run --save``, or the same one frame after the other, whose stages are noted."""
    board = ControlBoard(extractor.task)
    with open_source(str(folder)) as source:
        if ahead:
            observations = observed_ahead(source, extractor, lambda: board.read().task)
        else:
            observations = observed_frames(source, extractor)
        sink = Stages(RecordingSink.to(out, fps=30))
        tracker = FrameTracker(board, Following(FollowOptions()))
        followed = follow(observations, tracker, SinksTogether([sink]), ahead=ahead)
        if followed.ended is not None:
            raise followed.ended
    if not ahead:
        stages += sink.stages_s
    return int(followed.facts["frames"])


@contextlib.contextmanager
def loaded(options: argparse.Namespace, size: tuple[int, int], first: Path) -> Iterator[tuple[Extractor, Extractor]]:
    """The extractor as the commands load it, and as it runs one image after the other; both opened."""
    said = ModelOptions(weights=options.weights, seed=options.seed)
    many = load_extractor(options.model, said=said, size=size, in_flight=None)
    one = load_extractor(options.model, said=said, size=size)
    with many, one:
        for extractor in (many, one):
            list(extractor.map([first] * 4))
        yield many, one


def main() -> None:
    """Measure on this machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="acorn")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--seed", type=int, help="random weights, for a network without its own")
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4, help="of benchmark_app")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory() as place:
        folder, h5, mp4 = Path(place) / "images", Path(place) / "f.h5", Path(place) / "f.mp4"
        folder.mkdir()
        write_images(folder, (width, height), options.images)
        said = ModelOptions(weights=options.weights, seed=options.seed)
        runnable = model_of(options.model, said).runnable(RuntimeOptions())
        runnable.prepare((width, height))
        source = runnable.source()
        file = source.ir or source.onnx
        assert file is not None
        name = runnable.interface.inputs[0].tensor.name
        shape = f"{name}[{','.join(map(str, runnable.interface.at((width, height)).tensors[0].shape))}]"
        stages: list[dict[str, float]] = []
        with loaded(options, (width, height), folder / "0000.jpg") as (many, one):
            work: dict[str, Callable[[], Figures]] = {
                "benchmark_app": lambda: of_benchmark_app(file, shape, options.seconds),
                "extract": lambda: timed(lambda: extracted(many, folder, h5)),
                "run --save": lambda: timed(lambda: run(many, folder, mp4, ahead=True, stages=stages)),
                "extract, one by one": lambda: timed(lambda: extracted_one_by_one(one, folder, h5)),
                "run --save, one by one": lambda: timed(lambda: run(one, folder, mp4, ahead=False, stages=stages)),
            }
            found: dict[str, list[Figures]] = {name: [] for name in work}
            for _ in range(options.rounds):
                for name, measured in work.items():
                    found[name].append(measured())
                    print(f"{name}: {found[name][-1][0]:.1f}", file=sys.stderr, flush=True)
            print(f"{options.model} at {options.size}, {one.description()}, {cores()} cores, {options.images} images")
    print_rates(found)
    print_stages(stages)


def print_rates(found: dict[str, list[Figures]]) -> None:
    """Medians over the rounds; ratios of each round by itself."""
    reference = found["benchmark_app"]
    print(f"{'':24} {'images/s':>9} {'ratio':>6} {'CPU ms':>7} {'bound':>6}")
    for name, figures in found.items():
        rate, cpu = (statistics.median(column) for column in zip(*figures, strict=True))
        ratio = statistics.median(own[0] / its[0] for own, its in zip(figures, reference, strict=True))
        bound = statistics.median(its[1] / own[1] for own, its in zip(figures, reference, strict=True))
        print(f"{name:24} {rate:9.1f} {ratio:6.2f} {cpu:7.1f} {bound:6.2f}")


def print_stages(stages: list[dict[str, Any]]) -> None:
    """The median of each stage, one frame after the other."""
    medians = {name: 1e3 * statistics.median(stage[name] for stage in stages) for name in stages[0]}
    print("one frame after the other, ms: " + ", ".join(f"{name} {ms:.1f}" for name, ms in medians.items()))


if __name__ == "__main__":
    main()
