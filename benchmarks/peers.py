"""Published peers beside networks of ours: accuracy by ``evaluate``'s protocols, and time in one runtime.

    python benchmarks/peers.py --peers WEIGHTS_FOLDER --dataset FOLDER [EXTRACTOR…] [--rounds 15] [--json FILE]
    python benchmarks/peers.py --peers WEIGHTS_FOLDER --photographs FOLDER [--views 5] [EXTRACTOR…]
    python benchmarks/peers.py --peers WEIGHTS_FOLDER --dataset FOLDER --only S48,S48@nms=4,S48@subpixel=quadratic

WEIGHTS_FOLDER holds the authors' state dicts: edgepoint2_T32.pth, _S48, _M64, _E64 (MIT) and alike-n.pth, alike-l.pth
(BSD-3); those that are there take part. An EXTRACTOR is what ``oakpoint eval`` takes, such as  superpoint@weights=FILE,
a bundle, or sift. FOLDER has HPatches' layout, where i_… sequences change illumination, v_… viewpoint; or photographs,
of which synthetic pairs are made.

Peers run in torch at each image's own size with their authors' decoding, unless ``--only`` names another threshold, NMS
or refinement as ``oakpoint eval`` does. Times are of the networks alone, in OpenVINO at f32 on one thread at 640×480,
all in turn in every round; what counts is the ratio within a round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.markup import escape

from oakpoint.backends.base import Backend
from oakpoint.backends.openvino import OpenVinoBackend
from oakpoint.bundle.folder import is_bundle, open_bundle
from oakpoint.cli.console import out, progress_bar
from oakpoint.cli.eval_output import print_skipped, print_tables
from oakpoint.convert.onnx_from_torch import write_onnx
from oakpoint.evaluate.cache import FeatureCache
from oakpoint.evaluate.candidates import Candidate, open_candidate
from oakpoint.evaluate.evaluation import evaluate, measurements
from oakpoint.evaluate.hpatches import read_dataset
from oakpoint.evaluate.protocols import PROTOCOLS, protocols_by_name
from oakpoint.evaluate.results import Evaluation
from oakpoint.evaluate.specification import Specification, parse_specifications
from oakpoint.evaluate.summary import facts, summarise
from oakpoint.evaluate.synthetic import SyntheticOptions, synthetic_dataset
from oakpoint.networks.registry import load_network
from oakpoint.tasks.keypoints.task import INPUT, OUTPUTS
from oakpoint.training.teachers.candidate import TeacherCandidate
from oakpoint.training.teachers.features import DECODE_PRESETS, TeacherDecode
from oakpoint.training.teachers.registry import open_teacher

FILES = {
    "S48": "edgepoint2_S48.pth",
    "T32": "edgepoint2_T32.pth",
    "M64": "edgepoint2_M64.pth",
    "E64": "edgepoint2_E64.pth",
    "ALIKE-n": "alike-n.pth",
    "ALIKE-l": "alike-l.pth",
}
"""By label; the first that is there is the one that ratios and differences are to."""

FAMILIES = {label: file.partition("_")[0] if "_" in file else "alike" for label, file in FILES.items()}

CATEGORIES = {"illumination": "i_", "viewpoint": "v_"}
SIZE = (640, 480)


def of_category(evaluation: Evaluation, name: str, prefix: str) -> Evaluation:
    """The pairs of sequences whose name starts with a prefix."""
    rows = tuple(
        replace(row, pairs=tuple(pair for pair in row.pairs if pair.sequence.startswith(prefix)))
        for row in evaluation.rows
    )
    return Evaluation(f"{evaluation.dataset}: {name}", rows, ())


def measured(candidates: Sequence[Candidate], options: argparse.Namespace) -> dict[str, Any]:
    """Evaluate, print the tables of all pairs and of each category, and give all figures."""
    if options.photographs is not None:
        dataset = synthetic_dataset(options.photographs, SyntheticOptions(views=options.views))
    else:
        dataset = read_dataset(options.dataset)
    protocols = protocols_by_name(options.protocols.split(","), "published")
    with progress_bar() as progress:
        task = progress.add_task("pairs", total=measurements(dataset, candidates, protocols))
        whole = evaluate(
            dataset,
            candidates,
            protocols,
            lambda name, count: progress.update(task, advance=count, description=escape(name)),
        )
    parts = {"all": whole} | {name: of_category(whole, name, prefix) for name, prefix in CATEGORIES.items()}
    told = {}
    for name, part in parts.items():
        if any(row.pairs for row in part.rows):
            summary = summarise(part)
            print_skipped(summary)
            out.print(f"\n[bold]{part.dataset}[/]")
            print_tables(summary)
            told[name] = facts(summary)
    return told


def onnx_of(specification: Specification, folder: Path) -> Path | None:
    """The ONNX file of what ``oakpoint eval`` would run; None for what is no network."""
    path = Path(specification.model)
    if specification.kind != "network" or path.suffix == ".blob":
        return None
    if path.suffix == ".onnx":
        return path
    if is_bundle(path):
        return open_bundle(path).path("onnx")
    module = load_network(specification.model, specification.weights).module
    return exported(module, folder / f"{len(list(folder.iterdir()))}.onnx", OUTPUTS)


def exported(module: torch.nn.Module, path: Path, output_names: Sequence[str]) -> Path:
    """A network as ONNX for images of ``SIZE``."""
    write_onnx(module, path, size=SIZE, input_name=INPUT, output_names=output_names)
    return path


def compiled(path: Path) -> Backend:
    """An ONNX file on one thread at f32."""
    return OpenVinoBackend(path, precision="f32", shapes={INPUT: (1, 1, SIZE[1], SIZE[0])}, threads=1)


def timed(backends: dict[str, Backend], rounds: int) -> dict[str, dict[str, float]]:
    """Median milliseconds, and the median, over rounds, of the ratio to the first one's time in the same round."""
    image = np.random.default_rng(0).random((1, 1, SIZE[1], SIZE[0]), np.float32)
    runs: dict[str, Callable[[], object]] = {
        label: lambda backend=backend: backend.run({INPUT: image})  # type: ignore[misc]
        for label, backend in backends.items()
    }
    times: dict[str, list[float]] = {label: [] for label in runs}
    for turn in range(rounds + 2):  # two that do not count
        for label, run in runs.items():
            started = time.perf_counter()
            run()
            if turn >= 2:
                times[label].append(1e3 * (time.perf_counter() - started))
    first = next(iter(times.values()))
    return {
        label: {
            "median_ms": statistics.median(own),
            "fastest_ms": min(own),
            "ratio": statistics.median(a / b for a, b in zip(own, first, strict=True)),
        }
        for label, own in times.items()
    }


def times(
    peers: Sequence[Specification], specifications: Sequence[Specification], rounds: int
) -> dict[str, dict[str, float]]:
    """Time every network, and print the times."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paths = {}
        for label, weights in {peer.model: peer.weights for peer in peers}.items():
            assert weights is not None, "peers_of has seen to it"
            module = load_network(FAMILIES[label], weights).module
            paths[label] = exported(module, folder / f"{label}.onnx", ("scores", "descriptors"))
        for specification in specifications:
            if (path := onnx_of(specification, folder)) is not None:
                paths[specification.label] = path
        found = timed({label: compiled(path) for label, path in paths.items()}, rounds)
    out.print(f"\n[bold]Time at {SIZE[0]}×{SIZE[1]}[/], OpenVINO f32, one thread, {rounds} rounds in turn")
    for label, figures in found.items():
        out.print(
            f"  {escape(label):24} median {figures['median_ms']:8.1f} ms  fastest {figures['fastest_ms']:8.1f} ms  "
            f"{figures['ratio']:6.2f} × {next(iter(found))}"
        )
    return found


def peers_of(texts: str, folder: Path) -> tuple[Specification, ...]:
    """The peers that ``--only`` asks for and whose weights are in the folder."""
    asked = parse_specifications(texts.split(","))
    unknown = [one.model for one in asked if one.model not in FILES]
    if unknown:
        raise SystemExit(f"--only: expected some of {', '.join(FILES)}, got {unknown[0]}")
    return tuple(replace(one, weights=file) for one in asked if (file := folder / FILES[one.model]).is_file())


def decode_of(peer: Specification) -> TeacherDecode:
    """The authors' decoding with what the specification changes in it."""
    changes = {"min_score": peer.threshold, "nms_radius_px": peer.nms_radius_px, "subpixel": peer.subpixel}
    given: dict[str, Any] = {name: value for name, value in changes.items() if value is not None}
    return replace(DECODE_PRESETS[FAMILIES[peer.model]], **given)


def candidates_of(peers: Sequence[Specification], specifications: Sequence[Specification]) -> list[Candidate]:
    """Peers, then the others."""
    cpu = torch.device("cpu")
    found: list[Candidate] = [
        TeacherCandidate(peer.label, open_teacher(FAMILIES[peer.model], peer.weights), decode_of(peer), device=cpu)
        for peer in peers
    ]
    return found + [open_candidate(one, threads=1, cache=FeatureCache(None)) for one in specifications]


def main() -> None:
    """Measure accuracy, then time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("extractors", nargs="*")
    parser.add_argument("--peers", type=Path, required=True, help="folder of the authors' state dicts")
    parser.add_argument(
        "--only", default=",".join(FILES), help="peers with commas, each with @threshold=P, @nms=PIXELS, @subpixel=NAME"
    )
    pairs = parser.add_mutually_exclusive_group(required=True)
    pairs.add_argument("--dataset", type=Path)
    pairs.add_argument("--photographs", type=Path)
    parser.add_argument("--views", type=int, default=5, help="synthetic pairs for each photograph")
    parser.add_argument("--protocols", default=",".join(PROTOCOLS), help="empty: times alone")
    parser.add_argument("--rounds", type=int, default=15, help="of timing; 0 leaves it out")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    peers = peers_of(options.only, options.peers)
    specifications = parse_specifications(options.extractors) if options.extractors or not peers else ()
    told: dict[str, Any] = {}
    if options.protocols:
        candidates = candidates_of(peers, specifications)
        told["accuracy"] = measured(candidates, options)
        told["decoding"] = {candidate.label: candidate.note for candidate in candidates}
    if options.rounds:
        told["time"] = times(peers, specifications, options.rounds)
    if options.json is not None:
        options.json.write_text(json.dumps(told, indent=2, default=str) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
