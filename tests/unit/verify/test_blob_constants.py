"""A blob's constants against its device graph: every flipped bit is found, and no arrangement of a compiler accused."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from device_form import device_form

from oakpoint.convert.device_graph import device_graph
from oakpoint.convert.onnx_from_torch import write_onnx
from oakpoint.errors import CompilerUnavailableError
from oakpoint.myriad.blob import Blob, read_blob
from oakpoint.myriad.compiler import compile_blob
from oakpoint.myriad.constants import constants_of
from oakpoint.networks.registry import load_network
from oakpoint.tasks.keypoints.task import INPUT, OUTPUTS
from oakpoint.verify.blob_constants import ConstantsReport, compare_blob_constants

UNIT = Path(__file__).parents[1]
Compiled = Callable[[onnx.ModelProto, int], Blob]


def module_of(path: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


FAULTS = module_of(UNIT / "myriad" / "faults.py")
NETWORKS = module_of(UNIT / "myriad" / "test_simulator_networks.py")
"""Networks of every operation that the compiler takes."""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    def compile_(model: onnx.ModelProto, shaves: int) -> Blob:
        folder = tmp_path_factory.mktemp("compiled")
        onnx.save(model, folder / "network.onnx")
        try:
            compile_blob(folder / "network.onnx", folder / "network.blob", shaves=shaves)
        except CompilerUnavailableError as error:
            pytest.skip(str(error))
        return read_blob(folder / "network.blob")

    return compile_


@pytest.fixture(scope="module")
def tiny() -> tuple[Blob, onnx.ModelProto]:
    data = UNIT.parent / "data" / "myriad"
    return read_blob(data / "tiny.blob"), onnx.load(data / "tiny.onnx")


def one_flip_in_each_tensor(blob: Blob, report: ConstantsReport, rng: np.random.Generator) -> tuple[bytes, int]:
    """The blob with one bit flipped in each tensor that was compared in every bit, and how many there are."""
    compared = set(report.exact.tolist())
    data, flips = blob.data, 0
    for places in tensors_of(blob):
        chosen = int(rng.choice(places.reshape(-1)))
        if compared >= set(places.reshape(-1).tolist()):
            data = FAULTS.flip_constant_bit(data, chosen, int(rng.integers(16)))
            flips += 1
    return data, flips


def tensors_of(blob: Blob) -> Iterator[Any]:
    constants = constants_of(blob)
    for weights in constants.weights:
        yield from (part.places for part in (weights.kernel, weights.bias, weights.scale) if part is not None)
    yield from (vector.places for vector in constants.vectors)


def check(blob: Blob, model: onnx.ModelProto, *, rounds: int = 2, share: float = 1.0) -> None:
    """Nothing is accused of the healthy blob; of the altered ones, each flipped tensor is, and nothing else."""
    healthy = compare_blob_constants(blob, model)
    assert healthy.altered == ()
    assert healthy.share_equal == 1
    assert healthy.share_compared >= share
    for seed in range(rounds):
        data, flips = one_flip_in_each_tensor(blob, healthy, np.random.default_rng(seed))
        assert flips > 0
        report = compare_blob_constants(Blob.from_bytes(data), model)
        assert len(report.altered) == flips
        assert report.equal == healthy.equal - flips
        assert report.share_equal < 1


def test_every_single_flip_in_a_small_blob_is_found(tiny: tuple[Blob, onnx.ModelProto]) -> None:
    blob, model = tiny
    healthy = compare_blob_constants(blob, model)
    assert (healthy.share_equal, healthy.share_compared) == (1, 1)
    rng = np.random.default_rng(0)
    for place in rng.choice(healthy.exact, min(16, len(healthy.exact)), replace=False):
        for bit in range(16):
            data = FAULTS.flip_constant_bit(blob.data, int(place), bit)
            report = compare_blob_constants(Blob.from_bytes(data), model)
            assert len(report.altered) == 1, (place, bit)
            assert "1 of " in report.altered[0]


def test_another_networks_constants_are_not_found(tiny: tuple[Blob, onnx.ModelProto]) -> None:
    blob, model = tiny
    other = onnx.ModelProto.FromString(model.SerializeToString())
    rng = np.random.default_rng(0)
    for tensor in other.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float16 and values.size > 1:
            changed = rng.standard_normal(values.shape).astype(np.float16)
            tensor.CopyFrom(onnx.numpy_helper.from_array(changed, tensor.name))
    report = compare_blob_constants(blob, other)
    assert report.altered == ()
    assert report.share_compared < 0.2, "what is found nowhere accuses nobody; the images do"


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 6e-8, 65504])
def test_constants_beyond_the_ends_of_fp16_are_an_answer(
    tiny: tuple[Blob, onnx.ModelProto], value: float, every: int
) -> None:
    """A network that multiplies by a million: the images say what comes of it."""
    blob, model = tiny
    other = onnx.ModelProto.FromString(model.SerializeToString())
    for tensor in other.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor).copy()
        if values.dtype == np.float16:
            values.reshape(-1)[::every] = value
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    assert 0 <= compare_blob_constants(blob, other).share_compared <= 1


@pytest.mark.compiler
@pytest.mark.parametrize("group", [g for g in NETWORKS.GROUPS if g != "sizes"])
def test_every_operation(compiled: Compiled, group: str) -> None:
    network = NETWORKS.Network((1, 16, 24, 40))
    x = network.scaled()
    for name, branch in NETWORKS.GROUPS[group].items():
        network.output(name, branch(network, x))
    model = network.model()
    check(compiled(model, 6), model)


def batch_norm(n: Any, x: str, channels: int) -> str:
    values = [n.rng.random(channels) + 0.5, *n.rng.normal(size=(2, channels)) * 0.1, n.rng.random(channels) + 0.5]
    return str(n.op("BatchNormalization", x, *map(n.constant, values)))


def convolution(n: Any, x: str, *, scale: float, bias_scale: float = 0.0) -> str:
    weights = n.constant(n.rng.normal(size=(16, 16, 3, 3)) * scale)
    biases = (n.constant(n.rng.normal(size=16) * bias_scale),) if bias_scale else ()
    return str(n.op("Conv", x, weights, *biases, pads=[1] * 4))


def with_minus_zeros(values: np.ndarray) -> np.ndarray:
    """Every third value is −0, as tiny negative ones are in FP16."""
    values = np.array(values)
    values.reshape(-1)[::3] = -0.0
    return values


def batch_norm_of_minus_zeros(n: Any, x: str) -> str:
    means = np.zeros(16)  # the compiler adds −0 for one
    values = [n.rng.random(16) + 0.5, with_minus_zeros(n.rng.normal(size=16)), means, n.rng.random(16) + 0.5]
    return str(n.op("BatchNormalization", convolution(n, x, scale=0.1), *map(n.constant, values)))


FOLDED: dict[str, Callable[[Any, str], str]] = {
    "factor": lambda n, x: n.op("Mul", n.conv(x, 16, 16), n.constant(0.37)),
    "factors": lambda n, x: n.op("Mul", n.conv(x, 16, 16), n.constant((n.rng.random(16) + 0.5).reshape(1, 16, 1, 1))),
    "shift": lambda n, x: n.op("Add", n.conv(x, 16, 16), n.constant(n.rng.random(16).reshape(1, 16, 1, 1))),
    "difference": lambda n, x: n.op("Sub", n.conv(x, 16, 16), n.constant(n.rng.random(16).reshape(1, 16, 1, 1))),
    "batch norm": lambda n, x: batch_norm(n, n.conv(x, 16, 16), 16),
    "batch norm of a transposed convolution": lambda n, x: batch_norm(
        n, n.conv(x, 16, 8, 4, stride=2, pads=[1] * 4, kind="ConvTranspose"), 8
    ),
    "leaky": lambda n, x: n.op("LeakyRelu", n.conv(x, 16, 16), alpha=0.25),
    "one channel": lambda n, x: n.relu(n.conv(x, 16, 1, 1)),
    "split inputs": lambda n, x: n.conv(n.relu(n.conv(x, 16, 600, 1)), 600, 40, 3),
    "a large kernel": lambda n, x: n.conv(x, 16, 16, 11),
    "a long kernel": lambda n, x: n.conv(x, 16, 16, (1, 17)),
    "matrix": lambda n, x: n.op("MatMul", n.op("Transpose", n.conv(x, 16, 16), perm=[0, 2, 3, 1]), n.random(16, 24)),
    "fully connected": lambda n, x: n.op(
        "Gemm", n.op("Flatten", n.op("GlobalAveragePool", n.conv(x, 16, 16))), n.random(20, 16), n.random(20), transB=1
    ),
    "biases of minus zero": lambda n, x: n.op(
        "Conv", x, n.random(16, 16, 3, 3), n.constant(with_minus_zeros(n.rng.normal(size=16))), pads=[1] * 4
    ),
    "a shift of minus zero": lambda n, x: n.op(
        "Add", convolution(n, x, scale=0.1), n.constant(with_minus_zeros(n.rng.normal(size=(1, 16, 1, 1))))
    ),
    "batch norm of minus zeros": batch_norm_of_minus_zeros,
    "subnormal weights": lambda n, x: convolution(n, x, scale=1e-6, bias_scale=1e-3),
    "large weights": lambda n, x: convolution(n, x, scale=300, bias_scale=100),
    "biases over FP16's range": lambda n, x: convolution(n, x, scale=1e-3, bias_scale=300),
    "sparse weights": lambda n, x: n.op(
        "Conv", x, n.constant(n.rng.normal(size=(16, 16, 3, 3)) * (n.rng.random((16, 16, 3, 3)) < 0.1)), pads=[1] * 4
    ),
}


@pytest.mark.compiler
def test_what_a_compiler_folds_splits_and_rounds(compiled: Compiled) -> None:
    network = NETWORKS.Network((1, 16, 24, 40))
    x = network.scaled()
    for name, branch in FOLDED.items():
        network.output(name, branch(network, x))
    model = network.model()
    check(compiled(model, 6), model)


@pytest.mark.compiler
def test_a_depthwise_network(compiled: Compiled) -> None:
    model = NETWORKS.inverted_residuals()
    check(compiled(model, 6), model)


@pytest.mark.compiler
@pytest.mark.parametrize(
    ("network", "shaves"),
    [
        ("acorn", 1),
        pytest.param("acorn", 6, marks=pytest.mark.slow),
        *(pytest.param("superpoint", shaves, marks=pytest.mark.slow) for shaves in (1, 6, 12)),
    ],
)
def test_keypoint_networks(compiled: Compiled, tmp_path: Path, network: str, shaves: int) -> None:
    loaded = load_network(network, None, seed=None if network == "acorn" else 0)
    write_onnx(loaded.module, tmp_path / "m.onnx", size=(320, 200), input_name=INPUT, output_names=OUTPUTS)
    model = device_graph(tmp_path / "m.onnx", *device_form(tmp_path / "m.onnx", (320, 200))).model
    check(compiled(model, shaves), model)
