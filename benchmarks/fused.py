"""What decoding costs over the bare network, by each way of decoding; and matching over its matrix product.

    python benchmarks/fused.py [--model acorn] [--weights FILE] [--size 640x480] [--backend openvino]
        [--precision f32] [--image FILE] [--threshold 0.02] [--rounds 25]

Everything is measured in one process, each round in its turn: the network alone (the runtime's own call on a tensor
that is ready), and from image to features with each ``decoding``. Medians in ms, and the median over the rounds of each
one's ratio to the bare network of the same round, which a machine that is busy now and then moves least. The counts of
keypoints say on what scene: the more there are, the more decoding costs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import oakpoint
from oakpoint.backends.openvino import OpenVinoBackend
from oakpoint.errors import UsageError
from oakpoint.images.reading import read_image
from oakpoint.images.sizes import size_from
from oakpoint.threads import one_blas_thread
from oakpoint.verify.photographs import load_photographs

DECODINGS = ("numpy", "auto", "graph")


def bare_run(extractor: oakpoint.Extractor, image: NDArray[np.uint8]) -> Callable[[], object]:
    """The runtime's own call, on the image's tensor; the model stays open with the extractor."""
    tensors = extractor.interface.feed(image)
    with extractor.lent_for(image) as backend:
        while hasattr(backend, "_inner"):
            tensors = {backend._inputs.get(name, name): array for name, array in tensors.items()}
            backend = backend._inner
        if isinstance(backend, OpenVinoBackend):
            request = backend._compiled.create_infer_request()
            return lambda: request.infer(tensors, share_inputs=True, share_outputs=True)
        return lambda: backend._session.run(None, tensors)


def in_turns(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Times in ms of calls that take turns."""
    for call in calls.values():
        call()
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append((time.perf_counter() - start) * 1e3)
    return times


def print_times(title: str, times: dict[str, list[float]]) -> None:
    """A table: medians, and ratios to the first row."""
    first = next(iter(times.values()))
    print(f"\n{title}\n{'':24} {'ms':>8} {'ratio':>7}")
    for name, own in times.items():
        ratio = statistics.median(a / b for a, b in zip(own, first, strict=True))
        print(f"{name:24} {statistics.median(own):8.2f} {ratio:7.3f}")


def measure_decoding(options: argparse.Namespace, images: dict[str, NDArray[np.uint8]]) -> None:
    """From image to features, for each image."""
    size = size_from(options.size)
    common = {"weights": options.weights, "size": size, "backend": options.backend, "precision": options.precision}
    extractors = {
        decoding: oakpoint.load(options.model, decoding=decoding, threshold=options.threshold, **common)
        for decoding in DECODINGS
    }
    for name, image in images.items():
        resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        calls: dict[str, Callable[[], object]] = {}
        counts = {}
        for decoding, extractor in extractors.items():
            try:
                counts[decoding] = len(extractor(resized))
            except UsageError as error:
                print(f"{decoding}: left out, {error}")
                continue
            calls.setdefault("bare network", bare_run(extractors["numpy"], resized))
            calls[f"decoding {decoding}"] = lambda extractor=extractor, image=resized: extractor(image)
        found = " ".join(f"{decoding} {count}" for decoding, count in counts.items())
        print_times(
            f"{extractors['numpy'].description()}, {options.model} {options.size}, {name}, keypoints: {found}",
            in_turns(calls, options.rounds),
        )


def measure_matching(rounds: int) -> None:
    """Two images' features, and the product of their descriptors alone."""
    rng = np.random.default_rng(0)
    for count, dimension in ((1000, 64), (1000, 256), (2048, 256)):
        a, b = (rng.standard_normal((count, dimension)).astype(np.float32) for _ in range(2))
        a, b = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (a, b))
        points, scores = np.zeros((count, 2), np.float32), np.zeros(count, np.float32)
        features = [oakpoint.Features(points, scores, each, (640, 480)) for each in (a, b)]
        product = np.empty((count, count), np.float32)
        with one_blas_thread():
            calls = {
                "product of descriptors": lambda a=a, b=b, out=product: np.matmul(a, b.T, out=out),
                "oakpoint.match": lambda pair=features: oakpoint.match(*pair),
            }
            print_times(f"matching {count} and {count} keypoints of {dimension} values", in_turns(calls, rounds))


def main() -> None:
    """Measure on this machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="acorn")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--backend", default="openvino")
    parser.add_argument("--precision", default="f32")
    parser.add_argument("--image", type=Path, action="append")
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    if options.image:
        images = {path.name: read_image(path) for path in options.image}
    else:
        images = {name: image for name, image in load_photographs(None).items() if name in ("brick", "motorcycle_left")}
    measure_decoding(options, images)
    measure_matching(options.rounds)


if __name__ == "__main__":
    main()
