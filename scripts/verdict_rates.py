"""How often verification is wrong: healthy models that fail, and broken ones that pass.

    python scripts/verdict_rates.py --work DIR [--shared ../shared] [--sets 500] [--faults 200] [--seed 0]

Each healthy trial draws a network, a size, a stage and four photographs, and judges the stage as ``convert`` does: a
verdict other than PASS is a false alarm. Each broken trial puts one fault into the stage's candidate first: a verdict
other than FAIL is a miss. Printed are both rates, what failed, and for every check the largest share of its limit that
a healthy model took, which is how far the limits are away.

The networks are SuperPoint v1, the same with float32 weights drawn from what its FP16 ones may have been rounded from,
acorn, SuperPoint's layers with random weights, and the small networks of ``cases/user_networks.py``. Photographs are
those of ``training/``. Models are kept in ``--work``, so that a second run compiles nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from oakpoint.backends.registry import ModelSource, RuntimeOptions, open_backend
from oakpoint.bundle.interface import TensorSpec, image_interface
from oakpoint.bundle.records import DeviceRecord, StageReport, Verdict
from oakpoint.chain.verification import StageVerifier
from oakpoint.convert.blob_from_onnx import write_blob
from oakpoint.convert.device_graph import DeviceInput, device_graph
from oakpoint.convert.ir_from_onnx import write_ir
from oakpoint.convert.onnx_from_torch import write_onnx
from oakpoint.errors import OakpointError
from oakpoint.features.types import DecodeOptions
from oakpoint.images.reading import read_image
from oakpoint.myriad.blob import Blob
from oakpoint.networks.registry import LoadedNetwork, load_network
from oakpoint.tasks.keypoints.heads.registry import outputs_of
from oakpoint.tasks.keypoints.task import INPUT, OUTPUTS, Keypoints, superpoint_preprocess
from oakpoint.verify.blob_constants import compare_blob_constants

ROOT = Path(__file__).resolve().parents[1]
SIZES = ((160, 120), (240, 184), (320, 200), (320, 240), (640, 480))
SMALL_SIZES = ((160, 120), (320, 200))
IMAGES = 4
Images = dict[str, NDArray[np.uint8]]
LARGE = ("superpoint", "superpoint-f32", "acorn", "random")


@dataclass
class Subject:
    """A network at a size, with its models."""

    name: str
    size: tuple[int, int]
    network: LoadedNetwork
    folder: Path
    stages: tuple[str, ...]

    def verifier(self, images: Images) -> StageVerifier:
        """Judges its stages on these images."""
        task = Keypoints(decode=DecodeOptions.preset(self.network.decode_preset))
        return StageVerifier(images, image_interface(INPUT, superpoint_preprocess(self.size)), task)

    def judged(self, stage: str, images: Images, files: dict[str, Path]) -> StageReport:
        """The verdict on a stage, with some of its files replaced."""
        there = {name: self.folder / f"model.{name}" for name in ("onnx", "xml", "blob")} | files
        verifier = self.verifier(images)
        if stage == "onnx":
            return verifier.onnx_of_torch(self.network, there["onnx"], OUTPUTS)
        if stage == "ir":
            return verifier.ir_of_onnx(ModelSource(onnx=self.folder / "model.onnx", ir=there["xml"]))
        return verifier.blob_of_onnx(ModelSource(onnx=self.folder / "model.onnx", blob=there["blob"]), DeviceRecord())


@dataclass
class Tally:
    """What came of the trials of one kind."""

    wanted: Verdict
    trials: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    used: dict[str, float] = field(default_factory=dict)

    def add(self, title: str, stage: str, report: StageReport) -> None:
        """Count one verdict."""
        self.trials[stage] += 1
        if report.verdict is not self.wanted:
            self.wrong.append(f"{title}: {report.verdict.value}: {report.summary}")
            print(f"  {self.wrong[-1]}", flush=True)
        for check in report.checks:
            if check.kind == "at_most" and check.limit > 0:
                name = f"{stage}: {check.name}"
                self.used[name] = max(self.used.get(name, 0.0), check.value / check.limit)

    def summary(self) -> str:
        """Rate in one line."""
        whole = sum(self.trials.values())
        return f"{len(self.wrong)} of {whole} ({', '.join(f'{n} {stage}' for stage, n in sorted(self.trials.items()))})"


def _grey(size: tuple[int, int]) -> DeviceInput:
    return DeviceInput(name="input", shape=(1, 1, size[1], size[0]), scale=1 / 255)


def load(name: str, shared: Path) -> LoadedNetwork:
    """A network by the names of this script."""
    weights = shared / "weights" / "superpoint_v1.pth"
    if name == "superpoint":
        return load_network("superpoint", weights)
    if name == "superpoint-f32":
        network = load_network("superpoint", weights)
        _unround(network)
        return network
    if name == "acorn":
        return load_network("acorn", None)
    if name == "random":
        return load_network("superpoint", None, seed=1)
    return load_network(f"user_networks:{name}", None, seed=1)


def _unround(network: LoadedNetwork) -> None:
    """Give each weight one of the float32 values that FP16 would round to it."""
    import torch

    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in network.module.state_dict().values():
            tensor.mul_(1 + (torch.rand(tensor.shape, generator=generator) - 0.5) * 2**-10)


def prepare(name: str, size: tuple[int, int], shared: Path, work: Path) -> Subject | None:
    """Convert a network, or say why not."""
    folder = work / f"{name}_{size[0]}x{size[1]}"
    folder.mkdir(parents=True, exist_ok=True)
    path, refused = folder / "model.onnx", folder / "refused.json"
    if refused.exists() and json.loads(refused.read_text()) == ["onnx"]:
        return None
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            network = load(name, shared)
            _require_keypoints(network, size)
            if not path.exists():
                write_onnx(network.module, path, size=size, input_name=INPUT, output_names=OUTPUTS)
            if not (folder / "model.xml").exists():
                write_ir(path, folder / "model.xml", input_shapes=[(1, 1, size[1], size[0])])
    except OakpointError as error:
        print(f"  {name} {size}: {error}", flush=True)
        refused.write_text(json.dumps(["onnx"]))
        return None
    if not (folder / "model.blob").exists() and not refused.exists():
        try:
            write_blob(path, folder / "model.blob", [_grey(size)], shaves=6)
        except OakpointError as error:
            print(f"  {name} {size}: no blob: {error}", flush=True)
            refused.write_text(json.dumps(["blob"]))
    return Subject(name, size, network, folder, ("onnx", "ir", "blob") if not refused.exists() else ("onnx", "ir"))


def _require_keypoints(network: LoadedNetwork, size: tuple[int, int]) -> None:
    """Raise where a network is none that takes one grey image and returns two tensors."""
    source, shape = ModelSource(module=network.module, outputs=OUTPUTS), (1, 1, size[1], size[0])
    with open_backend(source, RuntimeOptions(backend="torch"), [TensorSpec(INPUT, "float32", shape)]) as backend:
        outputs_of(backend.run({INPUT: np.zeros(shape, np.float32)}))


# Faults: each takes the healthy files of a stage and writes broken ones.

Broken = dict[str, Path]
Values = Callable[[NDArray[np.float32], random.Random], NDArray[np.float32]]


def _transposed(values: NDArray[np.float32], _: random.Random) -> NDArray[np.float32]:
    return values.swapaxes(-1, -2) if values.ndim == 4 and values.shape[-1] > 1 else values[::-1]


def _without_a_channel(values: NDArray[np.float32], rng: random.Random) -> NDArray[np.float32]:
    values[rng.randrange(len(values))] = 0
    return values


ONNX_FAULTS: dict[str, Values] = {
    "weights times 255": lambda w, _: w * 255,
    "weights over 255": lambda w, _: w / 255,
    "NaN weights": lambda w, _: w * np.float32(np.nan),
    "zero weights": lambda w, _: w * 0,
    "weights in another order": _transposed,
    "a channel without weights": _without_a_channel,
    "weights 3 % off": lambda w, _: w * np.float32(1.03),
}


def broken_onnx(path: Path, target: Path, fault: str, rng: random.Random) -> None:
    """One weight tensor of an ONNX file altered."""
    proto = onnx.load(path)
    tensors = [t for t in proto.graph.initializer if len(t.dims) == 4 and t.data_type == onnx.TensorProto.FLOAT]
    tensor = rng.choice(tensors)
    values = ONNX_FAULTS[fault](numpy_helper.to_array(tensor).copy(), rng)
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), tensor.name))
    onnx.save(proto, target)


ONE_BIT = "one bit of a constant"


def broken_blob(subject: Subject, fault: str, faults: ModuleType, rng: random.Random) -> bytes | None:
    """One fault at a random place of a blob; None where it has no place for it."""
    data = (subject.folder / "model.blob").read_bytes()
    if fault == ONE_BIT:
        graph = device_graph(subject.folder / "model.onnx", [_grey(subject.size)]).model
        places = compare_blob_constants(Blob.from_bytes(data), graph).exact
        return bytes(faults.flip_constant_bit(data, int(rng.choice(places)), rng.randrange(16)))
    for _ in range(20):
        with contextlib.suppress(IndexError, AssertionError):
            return bytes(faults.FAULTS[fault](data, rng.randrange(40)))
    return None


def break_stage(
    subject: Subject, stage: str, folder: Path, faults: ModuleType, rng: random.Random
) -> tuple[str, Broken] | None:
    """A random fault in a random place: its name and the broken files."""
    if stage == "blob":
        fault = rng.choice([*sorted(faults.FAULTS), ONE_BIT, ONE_BIT])
        broken = broken_blob(subject, fault, faults, rng)
        if broken is None:
            return None
        (folder / "m.blob").write_bytes(broken)
        return fault, {"blob": folder / "m.blob"}
    fault = rng.choice(sorted(ONNX_FAULTS))
    broken_onnx(subject.folder / "model.onnx", folder / "m.onnx", fault, rng)
    if stage == "onnx":
        return fault, {"onnx": folder / "m.onnx"}
    width, height = subject.size
    write_ir(folder / "m.onnx", folder / "m.xml", input_shapes=[(1, 1, height, width)])
    return fault, {"xml": folder / "m.xml"}


def blob_faults() -> ModuleType:
    """The faults that the tests put into blobs."""
    specification = importlib.util.spec_from_file_location("faults", ROOT / "tests" / "unit" / "myriad" / "faults.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def small_networks() -> list[str]:
    """The classes of ``cases/user_networks.py`` that take one grey image and return two tensors."""
    import user_networks

    return sorted(
        n for n, c in vars(user_networks).items() if isinstance(c, type) and issubclass(c, user_networks.Base)
    )


@dataclass
class Lottery:
    """Draws trials; as many of the large networks as of all the small ones.

    Attributes:
        shared: where photographs, weights and small networks are.
        work: where models are kept.
        names: of the networks.
        rng: decides.
    """

    shared: Path
    work: Path
    names: list[str]
    rng: random.Random
    _subjects: dict[tuple[str, tuple[int, int]], Subject | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._photographs = sorted((self.shared / "training").glob("*.jpg"))
        self._pool = [(name, size) for name in self.names for size in _sizes(name)]
        large = [name for name in self.names if name in LARGE]
        self._weights = [
            1 / len(_sizes(n)) / (len(large) if n in large else len(self.names) - len(large)) for n, _ in self._pool
        ]

    def draw(self) -> tuple[Subject, str, Images]:
        """A network at a size, one of its stages, and photographs."""
        while True:
            key = self.rng.choices(self._pool, self._weights)[0]
            if key not in self._subjects:
                self._subjects[key] = prepare(*key, self.shared, self.work)
            subject = self._subjects[key]
            if subject is not None:
                images = {path.stem: read_image(path) for path in self.rng.sample(self._photographs, IMAGES)}
                return subject, self.rng.choice(subject.stages), images


def _sizes(name: str) -> tuple[tuple[int, int], ...]:
    return SIZES if name in LARGE else SMALL_SIZES


def _title(subject: Subject, stage: str, images: Images) -> str:
    return f"{subject.name} {subject.size[0]}x{subject.size[1]} {stage} on {' '.join(images)}"


def healthy_trials(lottery: Lottery, count: int) -> Tally:
    """Judge healthy models."""
    tally = Tally(Verdict.PASS)
    for number in range(count):
        subject, stage, images = lottery.draw()
        report = subject.judged(stage, images, {})
        if report.verdict is Verdict.NOTHING_COMPARED:
            report = replace(report, verdict=Verdict.PASS)  # no keypoints anywhere: no verdict, so no false one
        tally.add(_title(subject, stage, images), stage, report)
        if (number + 1) % 50 == 0:
            print(f"healthy: {tally.summary()} are false alarms", flush=True)
    return tally


def broken_trials(lottery: Lottery, count: int) -> Tally:
    """Judge models with one fault."""
    tally, faults = Tally(Verdict.FAIL), blob_faults()
    for number in range(count):
        subject, stage, images = lottery.draw()
        with tempfile.TemporaryDirectory() as folder:
            fault = break_stage(subject, stage, Path(folder), faults, lottery.rng)
            if fault is not None:
                title = f"{fault[0]}: {_title(subject, stage, images)}"
                tally.add(title, stage, subject.judged(stage, images, fault[1]))
        if (number + 1) % 50 == 0:
            print(f"broken: {tally.summary()} are missed", flush=True)
    return tally


def main() -> None:
    """Run the trials and print the rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--sets", type=int, default=500)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--networks", default="", help="names separated by commas; default: all")
    options = parser.parse_args()
    sys.path.insert(0, str(options.shared / "cases"))
    names = options.networks.split(",") if options.networks else [*LARGE, *small_networks()]
    lottery = Lottery(options.shared, options.work, names, random.Random(options.seed))
    healthy = healthy_trials(lottery, options.sets)
    broken = broken_trials(lottery, options.faults)
    print("\nlargest share of its limit that a healthy model took:")
    for name, used in sorted(healthy.used.items(), key=lambda item: -item[1]):
        print(f"  {used:6.1%}  {name}")
    print(f"false alarms: {healthy.summary()}")
    print(f"missed faults: {broken.summary()}")


if __name__ == "__main__":
    main()
