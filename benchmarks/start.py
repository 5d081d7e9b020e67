"""How long a start takes: from nothing to the first features of an image, and what of it is what.

    python benchmarks/start.py                     oakpoint run acorn IMAGE, and the same through torch's export
    python benchmarks/start.py --cache MODEL.onnx  first result of a model, freshly compiled and as it was kept

Every measurement is a process of its own; the two sides take turns, and medians are told. Bytecode is written once
before, as pip does it when it installs.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

SIZE = (640, 480)
TORCH = "import oakpoint.models.network as n; n.shipped_onnx = lambda _: None; "
"""Takes acorn's ONNX away, so that torch exports it."""

RUN = """
import sys; {before}
from oakpoint.__main__ import main
sys.argv = ["oakpoint", "run", "acorn", {image!r}]
main()
"""

PHASES = """
import json, time
marks = [time.perf_counter()]
import oakpoint.cli.main, oakpoint.loading, oakpoint.models.network, oakpoint.cli.run, cv2; {before}
marks.append(time.perf_counter())
extractor = oakpoint.loading.load("acorn")
marks.append(time.perf_counter())
extractor(cv2.imread({image!r}))
marks.append(time.perf_counter())
print(json.dumps([later - earlier for earlier, later in zip(marks, marks[1:])]))
"""

OPENED = """
import time
from pathlib import Path
import numpy as np
import oakpoint.backends.compiled_models
from oakpoint.backends.openvino import OpenVinoBackend
from oakpoint.runtimes import import_openvino
import_openvino()
{before}
begun = time.perf_counter()
backend = OpenVinoBackend(Path({model!r}))
backend.run({{spec.name: np.zeros(spec.shape, spec.dtype) for spec in backend.inputs}})
print(time.perf_counter() - begun)
"""


def ran(program: str, environment: dict[str, str]) -> tuple[float, float, str]:
    """Seconds of the clock and of the processor for a Python program, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def starts(repeats: int, environment: dict[str, str], folder: Path) -> None:
    """``oakpoint run acorn IMAGE``, with acorn's ONNX and with torch's export."""
    image = str(folder / "image.png")
    noise = np.random.default_rng(0).integers(0, 256, (SIZE[1] // 8, SIZE[0] // 8)).astype(np.uint8)
    cv2.imwrite(image, cv2.resize(noise, SIZE, interpolation=cv2.INTER_CUBIC))
    sides = {"shipped": "", "torch": TORCH}
    for before in sides.values():
        ran(RUN.format(image=image, before=before), environment)
    whole: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    parts: dict[str, list[list[float]]] = {name: [] for name in sides}
    python, imported = [], []
    for _ in range(repeats):
        python.append(ran("pass", environment)[0])
        imported.append(ran("import oakpoint", environment)[0])
        for name, before in sides.items():
            whole[name].append(ran(RUN.format(image=image, before=before), environment)[:2])
            parts[name].append(json.loads(ran(PHASES.format(image=image, before=before), environment)[2]))
    print(f"python               {statistics.median(python):6.2f} s")
    print(f"import oakpoint      {statistics.median(imported):6.2f} s, python with it")
    for name in sides:
        wall, cpu = (statistics.median(values) for values in zip(*whole[name], strict=True))
        imports, load, first = (statistics.median(values) for values in zip(*parts[name], strict=True))
        print(
            f"run acorn, {name:<8}  {wall:6.2f} s, {cpu:.2f} s of processors; imports {imports:.2f}, load {load:.2f}, "
            f"first features {first:.2f}"
        )
    ratio = statistics.median(w[0] / t[0] for w, t in zip(whole["shipped"], whole["torch"], strict=True))
    print(f"shipped / torch      {ratio:6.2f}")


def cached(model: Path, repeats: int, environment: dict[str, str]) -> None:
    """A model's first result, freshly compiled and from the cache, whatever its size."""
    sides = {
        "compiled": "oakpoint.backends.compiled_models.model_cache = lambda: None",
        "kept": "oakpoint.backends.compiled_models.LEAST_OPERATORS = 1",
    }
    programs = {name: OPENED.format(before=before, model=str(model)) for name, before in sides.items()}
    for program in programs.values():
        ran(program, environment)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, program in programs.items():
            seconds[name].append(float(ran(program, environment)[2]))
    ratio = statistics.median(k / c for k, c in zip(seconds["kept"], seconds["compiled"], strict=True))
    told = ", ".join(f"{name} {statistics.median(values):.3f} s" for name, values in seconds.items())
    print(f"{model.name}: first result {told}; kept / compiled {ratio:.2f}")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cache", type=Path, metavar="MODEL.onnx", help="compare compiled and kept for this model")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["OAKPOINT_CACHE"] = f"{folder}/cache"
        if arguments.cache is not None:
            cached(arguments.cache, arguments.repeats, environment)
        else:
            starts(arguments.repeats, environment, Path(folder))


if __name__ == "__main__":
    main()
