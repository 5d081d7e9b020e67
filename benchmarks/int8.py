"""How much faster a bundle's INT8 model is than FP32 on this CPU, and what it weighs.

    python benchmarks/int8.py BUNDLE… [--size 640x480] [--threads 1] [--rounds 40] [--json]

Both models run the same photograph in OpenVINO, in turns, within one process; times are medians over the rounds of the
network alone, and what counts is their ratio. The CPU's vector instructions stand beside it: INT8 is made for VNNI and
AMX, and a ratio without them says nothing of a CPU that has them.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from oakpoint.backends.base import Backend
from oakpoint.backends.registry import INT8, ModelSource, RuntimeOptions, open_backend
from oakpoint.bundle.folder import Bundle, open_bundle
from oakpoint.images.sizes import size_from
from oakpoint.verify.photographs import load_photographs

FEATURES = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8")
FOR_INT8 = {"avx_vnni", "avx512_vnni", "amx_int8"}
WARM_UP = 3


@dataclass(frozen=True)
class Row:
    """One bundle at one size.

    Attributes:
        bundle: its folder.
        size: (W, H) in pixels.
        threads: of the CPU.
        f32_ms: median of the network alone.
        int8_ms: likewise.
        ratio: how many times as fast INT8 is.
        onnx_bytes: the float network, in FP32.
        ir_bytes: the float IR, its weights in FP16.
        int8_bytes: the INT8 IR.
        layers: what is in INT8, in words.
    """

    bundle: str
    size: str
    threads: int
    f32_ms: float
    int8_ms: float
    ratio: float
    onnx_bytes: int
    ir_bytes: int
    int8_bytes: int
    layers: str


def cpu() -> tuple[str, list[str]]:
    """Name of the CPU, and which of ``FEATURES`` it has; Linux tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine(), []
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = set(told.get("flags", "").split())
    return told.get("model name", "unknown"), [name for name in FEATURES if name in flags]


def medians_ms(backends: dict[str, Backend], feed: dict[str, object], rounds: int) -> dict[str, float]:
    """The median time of each, which run in turns."""
    times: dict[str, list[float]] = {name: [] for name in backends}
    for number in range(rounds + WARM_UP):
        for name, backend in backends.items():
            start = time.perf_counter()
            backend.run(feed)  # type: ignore[arg-type]
            if number >= WARM_UP:
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def measured(bundle: Bundle, size: tuple[int, int] | None, threads: int, rounds: int) -> Row:
    """Both models of a bundle in one run."""
    manifest = bundle.manifest
    interface = manifest.interface.at(size or manifest.interface.size)
    forms = {"f32": bundle.path("ir"), INT8: bundle.path("ir_int8")}
    backends = {
        precision: open_backend(
            ModelSource(ir=path), RuntimeOptions(precision=precision, threads=threads), interface.tensors
        )
        for precision, path in forms.items()
    }
    image = next(iter(load_photographs(None).values()))
    found = medians_ms(backends, interface.feed_apart(image), rounds)  # type: ignore[arg-type]
    for backend in backends.values():
        backend.close()
    width, height = interface.image.size
    return Row(
        bundle=str(bundle.folder),
        size=f"{width}x{height}",
        threads=threads,
        f32_ms=found["f32"],
        int8_ms=found[INT8],
        ratio=found["f32"] / found[INT8],
        onnx_bytes=bundle.path("onnx").stat().st_size,
        ir_bytes=sum((bundle.folder / name).stat().st_size for name in manifest.artifact("ir").files),
        int8_bytes=sum((bundle.folder / name).stat().st_size for name in manifest.artifact("ir_int8").files),
        layers=manifest.int8.summary() if manifest.int8 is not None else "",
    )


def main() -> None:
    """Measure every bundle and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--size", type=size_from, help="WIDTHxHEIGHT; default: each bundle's own")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [measured(open_bundle(path), options.size, options.threads, options.rounds) for path in options.bundles]
    name, features = cpu()
    if options.json:
        print(json.dumps({"cpu": name, "features": features, "rows": [asdict(row) for row in rows]}, indent=2))
        return
    print(f"{name}: {', '.join(features) or 'no vector instructions known'}")
    if not FOR_INT8 & set(features):
        print("no VNNI and no AMX here: these ratios say nothing of a CPU that has them")
    print("| bundle | size | threads | f32 ms | int8 ms | f32 / int8 | ONNX | IR | INT8 IR | |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        sizes = " | ".join(f"{size / 1e6:.2f} MB" for size in (row.onnx_bytes, row.ir_bytes, row.int8_bytes))
        print(
            f"| {row.bundle} | {row.size} | {row.threads} | {row.f32_ms:.2f} | {row.int8_ms:.2f} | {row.ratio:.2f} "
            f"| {sizes} | {row.layers} |"
        )


if __name__ == "__main__":
    main()
