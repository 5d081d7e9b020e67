"""What each kind of heads costs and saves: bytes over USB, estimated device time, host time, agreement.

    python benchmarks/heads.py BUNDLE [--shaves 6] [--images 8] [--repeats 60] [--json]

Every kind is compiled from the bundle's ONNX and executed in the simulator on real photographs. Bytes are the blob's
whole output memory, which is what goes over the link for each frame; the device time is the cost model's (±30 %, the
SHAVEs' arithmetic is not in it); host time is from the tensors as they arrive to decoded features on one thread, mean
over the photographs of the best of some rounds, in each of which all kinds take their turn. Agreement is with ONNX
Runtime.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.registry import ModelSource
from oakpoint.bundle.folder import Bundle, open_bundle
from oakpoint.chain.verification import StageVerifier
from oakpoint.convert.blob_from_onnx import write_blob
from oakpoint.convert.device_graph import device_inputs
from oakpoint.errors import ConversionError
from oakpoint.features.decode import decode
from oakpoint.features.types import DecodeOptions
from oakpoint.myriad.blob import read_blob
from oakpoint.myriad.cost import ENGINES, estimate
from oakpoint.myriad.simulator import Simulator
from oakpoint.tasks.keypoints.heads.registry import HEADS, outputs_of
from oakpoint.tasks.keypoints.task import Keypoints
from oakpoint.tasks.registry import task_of_bundle
from oakpoint.verify.photographs import load_photographs

Images = dict[str, NDArray[np.uint8]]
Tensors = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Row:
    """One kind of heads.

    Attributes:
        usb_bytes: output memory, which goes over the link for each frame.
        device_ms: estimated time of one inference on one engine.
        link_mb_per_s: load of the link at the estimated rate with two threads.
        host_ms: from the tensors to features.
        keypoints_in_common: share at 0 px, and smallest descriptor cosine, against ONNX Runtime.
    """

    heads: str
    usb_bytes: int
    device_ms: float
    link_mb_per_s: float
    host_ms: float
    keypoints_in_common: float
    smallest_cosine: float
    verdict: str


def host_s(outputs: Tensors, options: DecodeOptions) -> float:
    """Time from raw tensors to features; FP16 is turned into float32, as DepthAI does on arrival."""
    start = time.perf_counter()
    tensors = {name: a.astype(np.float32) if a.dtype == np.float16 else a for name, a in outputs.items()}
    decode(outputs_of(tensors), options)
    return time.perf_counter() - start


def host_ms(outputs: dict[str, list[Tensors]], options: DecodeOptions, repeats: int) -> dict[str, float]:
    """By kind of heads: mean over the images of the best of some rounds, in which the kinds take turns."""
    best = {heads: np.full(len(runs), np.inf) for heads, runs in outputs.items()}
    for _ in range(repeats):
        for heads, runs in outputs.items():
            best[heads] = np.minimum(best[heads], [host_s(run, options) for run in runs])
    return {heads: float(times.mean()) * 1e3 for heads, times in best.items()}


def keypoints_of(bundle: Bundle) -> Keypoints:
    """The task of a bundle, which has to be that of a network for keypoints."""
    task = task_of_bundle(bundle)
    if not isinstance(task, Keypoints):
        raise SystemExit(f"{bundle.folder}: expected a network for keypoints, got one for {task.name}")
    return task


def measured(bundle: Bundle, heads: str, images: Images, shaves: int) -> tuple[Row, list[Tensors]]:
    """Compile and execute one kind of heads: its row, and its outputs of each image."""
    interface, onnx, task = bundle.manifest.interface, bundle.path("onnx"), keypoints_of(bundle)
    device, _ = task.measured_heads(heads, onnx, images, interface.image)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.blob"
        rewrites = task.device_rewrites(device, interface)
        write_blob(onnx, path, device_inputs(interface), rewrites, shaves=shaves)
        blob = read_blob(path)
        verifier = StageVerifier(images, interface, task)
        report = verifier.blob_of_onnx(ModelSource(onnx=onnx, blob=path), device)
    simulator, on_device = Simulator(blob), interface.on_device()
    runs = [simulator.run(on_device.feed(image)) for image in images.values()]
    device_ms, figures = estimate(blob).total_ms, report.figures or {}
    row = Row(
        heads=heads,
        usb_bytes=blob.header.outputs_size,
        device_ms=device_ms,
        link_mb_per_s=blob.header.outputs_size * ENGINES * 1e3 / device_ms / 1e6,
        host_ms=float("nan"),
        keypoints_in_common=figures.get("keypoints in common at 0 px", float("nan")),
        smallest_cosine=figures.get("smallest descriptor cosine", float("nan")),
        verdict=report.verdict.value,
    )
    return row, runs


def main() -> None:
    """Measure every kind and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--shaves", type=int, default=6)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    bundle, images = open_bundle(options.bundle), dict(islice(load_photographs(None).items(), options.images))
    results = {}
    for heads in HEADS:
        try:
            results[heads] = measured(bundle, heads, images, options.shaves)
        except ConversionError as error:  # noqa: PERF203  # not every network can have every kind
            print(f"{heads}: left out, {error}", file=sys.stderr)
    times = host_ms({h: runs for h, (_, runs) in results.items()}, keypoints_of(bundle).decode, options.repeats)
    rows = [replace(row, host_ms=times[heads]) for heads, (row, _) in results.items()]
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return
    base = next(row for row in rows if row.heads == "dense")
    print("| heads | bytes a frame | device ms | USB MB/s | host ms | of dense | in common 0 px | smallest cosine |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| `{row.heads}` | {row.usb_bytes:,} | {row.device_ms:.1f} | {row.link_mb_per_s:.1f} | {row.host_ms:.2f} "
            f"| {row.host_ms / base.host_ms:.2f} | {row.keypoints_in_common:.2%} | {row.smallest_cosine:.6f} |"
        )


if __name__ == "__main__":
    main()
