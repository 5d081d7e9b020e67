"""One suite over every backend: named tensors in, named tensors out, the same numbers from each.

A further backend is one more entry of ``CASES``: how it is opened on the suite's networks, and how near it has to come
to the reference, which is the torch module called directly.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from oakpoint.backends.base import Backend
from oakpoint.backends.batched import BatchedBackend
from oakpoint.backends.onnxruntime import OnnxRuntimeBackend
from oakpoint.backends.openvino import OpenVinoBackend
from oakpoint.backends.registry import BACKENDS, ModelSource, RuntimeOptions, open_backend
from oakpoint.backends.torch import TorchBackend
from oakpoint.bundle.interface import TensorSpec
from oakpoint.convert.ir_from_onnx import write_ir
from oakpoint.convert.onnx_from_torch import export_onnx, write_onnx
from oakpoint.errors import BackendError, OakpointError, UsageError
from oakpoint.networks.registry import load_network
from oakpoint.tasks.keypoints.task import INPUT, OUTPUTS

SIZE = (160, 120)


def openvino_offers(capability: str) -> bool:
    from oakpoint.runtimes import import_openvino

    return capability in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@dataclass(frozen=True)
class Case:
    """A backend of the suite.

    Attributes:
        options: how it is chosen.
        needs: names of the fields of ``ModelSource`` that it is opened from.
        tolerance: largest error of an output, as a share of the output's largest value.
        baked: whether it takes the pixels' U8 values, the scale being inside.
        one_size: whether the model's size is fixed.
        capability: of OpenVINO's CPU, without which the case is skipped.
    """

    options: RuntimeOptions
    needs: tuple[str, ...]
    tolerance: float
    baked: bool = False
    one_size: bool = False
    capability: str = "FP32"


CASES = {
    "torch": Case(RuntimeOptions(backend="torch"), ("module",), 0.0),
    "onnxruntime": Case(RuntimeOptions(backend="onnxruntime"), ("onnx",), 1e-5),
    "openvino": Case(RuntimeOptions(backend="openvino"), ("onnx",), 1e-5),
    "openvino ir": Case(RuntimeOptions(backend="openvino"), ("ir",), 5e-3),  # weights of 11 bits
    "openvino auto": Case(RuntimeOptions(backend="openvino", device="AUTO"), ("onnx",), 1e-5),
    "openvino in flight": Case(RuntimeOptions(backend="openvino", in_flight=3), ("onnx",), 1e-5),
    "openvino bf16": Case(  # 8 bits of significand, through up to ten layers
        RuntimeOptions(backend="openvino", precision="bf16"), ("onnx",), 5e-2, capability="BF16"
    ),
    "myriad_simulator": Case(  # FP16 throughout
        RuntimeOptions(backend="myriad_simulator"), ("blob",), 5e-3, baked=True, one_size=True
    ),
}

Opened = Callable[..., Backend]


def parameters() -> list[Any]:
    needs_compiler = {name for name, case in CASES.items() if "blob" in case.needs}
    return [pytest.param(n, marks=[pytest.mark.compiler] if n in needs_compiler else []) for n in CASES]


@pytest.fixture(params=parameters())
def case(request: pytest.FixtureRequest) -> Case:
    case = CASES[request.param]
    if case.options.backend == "openvino" and not openvino_offers(case.capability):
        pytest.skip(f"OpenVINO's CPU here does not offer {case.capability}")
    return case


@pytest.fixture
def opened(case: Case, small_network: Any, request: pytest.FixtureRequest) -> Iterator[Opened]:
    """Opens the case's backend on the small network, at a size."""
    made: list[Backend] = []

    def open_at(size: tuple[int, int] = SIZE) -> Backend:
        bundle = request.getfixturevalue("small_blob_bundle" if "blob" in case.needs else "small_bundle")
        everything = {
            "module": small_network.module,
            "onnx": bundle / "model.onnx",
            "ir": bundle / "model.xml",
            "blob": bundle / "model.blob",
        }
        source = ModelSource(**{name: everything[name] for name in case.needs}, outputs=OUTPUTS)
        made.append(open_backend(source, case.options, image_spec(size, baked=case.baked)))
        return made[-1]

    yield open_at
    for backend in made:
        backend.close()


def image_spec(size: tuple[int, int] = SIZE, *, baked: bool = False) -> list[TensorSpec]:
    return [TensorSpec(INPUT, "uint8" if baked else "float32", (1, 1, size[1], size[0]))]


def pixels(size: tuple[int, int] = SIZE, seed: int = 0) -> NDArray[np.uint8]:
    smooth = np.random.default_rng(seed).integers(0, 256, (1, 1, size[1] // 8, size[0] // 8), np.uint8)
    return np.kron(smooth, np.ones((1, 1, 8, 8), np.uint8))


def tensor(case: Case, levels: NDArray[np.uint8]) -> NDArray[Any]:
    return levels if case.baked else (levels / 255).astype(np.float32)


def reference(module: torch.nn.Module, levels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    with torch.inference_mode():
        results = module(torch.from_numpy((levels / 255).astype(np.float32)))
    return dict(zip(OUTPUTS, (result.numpy() for result in results), strict=True))


def assert_near(got: dict[str, Any], expected: dict[str, Any], tolerance: float) -> None:
    assert set(got) == set(expected)
    for name, array in expected.items():
        assert got[name].dtype == np.float32
        np.testing.assert_allclose(got[name], array, rtol=0, atol=tolerance * np.abs(array).max(), err_msg=name)


def test_every_backend_is_in_this_suite() -> None:
    assert {case.options.backend for case in CASES.values()} == set(BACKENDS)


def test_the_same_numbers_as_the_network(case: Case, opened: Opened, small_network: Any) -> None:
    with opened() as backend:
        got = backend.run({INPUT: tensor(case, pixels())})
    assert_near(got, reference(small_network.module, pixels()), case.tolerance)


@pytest.mark.parametrize("size", [(160, 120), (64, 64), (8, 8), (120, 160)])
def test_other_sizes(case: Case, opened: Opened, small_network: Any, size: tuple[int, int]) -> None:
    if case.one_size and size != SIZE:
        with pytest.raises(UsageError, match=f"{SIZE[0]}x{SIZE[1]}, not for {size[0]}x{size[1]}"):
            opened(size)
        return
    got = opened(size).run({INPUT: tensor(case, pixels(size))})
    assert got["semi"].shape == (1, 65, size[1] // 8, size[0] // 8)
    assert_near(got, reference(small_network.module, pixels(size)), case.tolerance)


def test_it_says_what_it_takes_and_gives(case: Case, opened: Opened) -> None:
    backend = opened()
    assert backend.inputs == (TensorSpec(INPUT, "uint8" if case.baked else "float32", (1, 1, 120, 160)),)
    assert {spec.name for spec in backend.outputs} == set(OUTPUTS)
    assert "\n" not in backend.description
    assert any(character.isdigit() for character in backend.description)


def test_repeated_runs_are_identical_and_their_arrays_new(case: Case, opened: Opened) -> None:
    backend = opened()
    image, other = (tensor(case, pixels(seed=seed)) for seed in (0, 1))
    first = backend.run({INPUT: image})
    kept = {name: array.copy() for name, array in first.items()}
    second = backend.run({INPUT: other})
    assert any((second[name] != kept[name]).any() for name in OUTPUTS)
    third = backend.run({INPUT: image})
    for name in OUTPUTS:
        np.testing.assert_array_equal(first[name], kept[name], err_msg="a later run wrote into an earlier result")
        np.testing.assert_array_equal(third[name], kept[name])
        third[name][...] = 0  # the caller's own, to be written to
    fourth = backend.run({INPUT: image})
    assert all((fourth[name] == kept[name]).all() for name in OUTPUTS)


def test_many_threads_get_what_each_would_get_alone(case: Case, opened: Opened) -> None:
    backend = opened()
    images = [tensor(case, pixels(seed=seed)) for seed in range(5)]
    expected = [backend.run({INPUT: image}) for image in images]
    together = threading.Barrier(4)

    def work(number: int) -> None:
        together.wait(60)
        for step in range(2 if case.baked else 50):
            index = (step * (number + 1) + number) % len(images)
            got = backend.run({INPUT: images[index]})
            for name in OUTPUTS:
                np.testing.assert_array_equal(got[name], expected[index][name])

    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(work, range(4)):
            pass


def test_runs_side_by_side_give_what_one_at_a_time_gives(small_onnx: Path) -> None:
    source = ModelSource(onnx=small_onnx)
    alone = open_backend(source, RuntimeOptions(), image_spec())
    beside = open_backend(source, RuntimeOptions(in_flight=4), image_spec())
    images = [(pixels(seed=seed) / 255).astype(np.float32) for seed in range(12)]
    with alone, beside, ThreadPoolExecutor(6) as pool:
        found = pool.map(lambda image: beside.run({INPUT: image}), images)
        for got, image in zip(found, images, strict=True):
            expected = alone.run({INPUT: image})
            assert all((got[name] == expected[name]).all() for name in expected), "to the last bit"


def test_the_input_is_left_alone_and_may_lie_in_memory_as_it_likes(case: Case, opened: Opened) -> None:
    backend = opened()
    image = tensor(case, pixels())
    expected = backend.run({INPUT: image})
    read_only = image.copy()
    read_only.setflags(write=False)
    turned = np.ascontiguousarray(image[..., ::-1])[..., ::-1]
    columns = np.asfortranarray(image)
    for version in (read_only, turned, columns):
        before = version.copy()
        got = backend.run({INPUT: version})
        assert all((got[name] == expected[name]).all() for name in OUTPUTS)
        np.testing.assert_array_equal(version, before)


@pytest.mark.parametrize("names", [(), ("image",), (INPUT, "more")])
def test_wrong_names(case: Case, opened: Opened, names: tuple[str, ...]) -> None:
    image = tensor(case, pixels())
    with pytest.raises(BackendError, match=f"expected inputs {INPUT}, got {', '.join(names) or 'none'}"):
        opened().run(dict.fromkeys(names, image))


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32", ">f4", "other"])
def test_a_wrong_type(case: Case, opened: Opened, dtype: str) -> None:
    wrong = ("float32" if case.baked else "uint8") if dtype == "other" else dtype
    expected = "uint8" if case.baked else "float32"
    with pytest.raises(BackendError, match=rf"input {INPUT}: expected {expected} \(1, 1, 120, 160\), got {wrong}"):
        opened().run({INPUT: tensor(case, pixels()).astype(wrong)})


@pytest.mark.parametrize("shape", [(120, 160), (1, 120, 160), (1, 1, 160, 120), (2, 1, 120, 160), (1, 3, 120, 160), ()])
def test_a_wrong_shape(case: Case, opened: Opened, shape: tuple[int, ...]) -> None:
    kind = np.uint8 if case.baked else np.float32
    with pytest.raises(BackendError, match=rf"input {INPUT}: expected .* \(1, 1, 120, 160\), got"):
        opened().run({INPUT: np.zeros(shape, kind)})


@pytest.mark.shared
@pytest.mark.parametrize("name", [name for name in CASES if name != "myriad_simulator"])
def test_superpoint(
    name: str, superpoint_weights: Path, photographs: dict[str, Any], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    case = CASES[name]
    if not openvino_offers(case.capability):
        pytest.skip(f"OpenVINO's CPU here does not offer {case.capability}")
    network = load_network("superpoint", superpoint_weights)
    size = (160, 96)
    source = ModelSource(module=network.module, outputs=OUTPUTS)
    if case.needs != ("module",):
        onnx, xml = tmp_path / "m.onnx", tmp_path / "m.xml"
        write_onnx(network.module, onnx, size=size, input_name=INPUT, output_names=OUTPUTS)
        source = ModelSource(onnx=onnx)
        if case.needs == ("ir",):
            write_ir(onnx, xml, input_shapes=[(1, 1, size[1], size[0])])
            source = ModelSource(ir=xml)
    levels = photographs["camera"][None, None, 200 : 200 + size[1], 200 : 200 + size[0]]
    with open_backend(source, case.options, image_spec(size)) as backend:
        got = backend.run({INPUT: tensor(case, levels)})
    assert_near(got, reference(network.module, levels), case.tolerance)


@pytest.mark.shared
@pytest.mark.compiler
def test_superpoint_on_the_simulator(superpoint_bundle: Path, superpoint_weights: Path, photographs: Any) -> None:
    case = CASES["myriad_simulator"]
    levels = np.ascontiguousarray(photographs["camera"][None, None, 200:400, 100:420])
    network = load_network("superpoint", superpoint_weights)
    source = ModelSource(blob=superpoint_bundle / "model.blob")
    with open_backend(source, case.options, image_spec((320, 200), baked=True)) as backend:
        assert_near(backend.run({INPUT: levels}), reference(network.module, levels), case.tolerance)


def test_an_unknown_backend_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=f"backend: expected one of {', '.join(BACKENDS)}, got 'tflite'"):
        RuntimeOptions(backend="tflite")


@pytest.mark.parametrize("threads", [0, -1])
def test_no_threads(threads: int) -> None:
    with pytest.raises(UsageError, match=f"threads: expected 1 or more, got {threads}"):
        RuntimeOptions(threads=threads)
    with pytest.raises(UsageError, match="in_flight: expected 1 or more, got"):
        RuntimeOptions(in_flight=threads)


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "openvino"])
@pytest.mark.parametrize("choice", [{"device": "GPU"}, {"precision": "bf16"}])
def test_devices_and_precisions_are_openvinos(backend: str, choice: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=f"backend {backend} runs on the CPU .*chosen with --backend openvino"):
        RuntimeOptions(backend=backend, **choice)


@pytest.mark.parametrize(
    ("choice", "error", "message"),
    [
        ({"device": "TPU"}, UsageError, "device: expected one of CPU, GPU, NPU, AUTO, got 'TPU'"),
        ({"precision": "f8"}, UsageError, "precision: expected one of f32, bf16, f16, int8, got 'f8'"),
        ({"device": "NPU"}, BackendError, "OpenVINO finds no NPU here, only "),
    ],
)
def test_what_openvino_does_not_have(
    small_onnx: Path, choice: dict[str, str], error: type[OakpointError], message: str
) -> None:
    if choice.get("device") == "NPU" and Path("/dev/accel/accel0").exists():
        pytest.skip("there is an NPU here")
    with pytest.raises(error, match=message):
        OpenVinoBackend(small_onnx, **choice)


@pytest.mark.parametrize(("precision", "capability"), [("f16", "FP16"), ("bf16", "BF16")])
def test_a_precision_that_the_processor_lacks_is_refused_and_not_replaced(
    small_onnx: Path, precision: str, capability: str
) -> None:
    if openvino_offers(capability):
        assert precision in OpenVinoBackend(small_onnx, precision=precision).description
        return
    with pytest.raises(BackendError, match=f"OpenVINO's CPU here does not offer {precision}; it offers .*FP32"):
        OpenVinoBackend(small_onnx, precision=precision)


@pytest.mark.parametrize("make", [OnnxRuntimeBackend, OpenVinoBackend])
@pytest.mark.parametrize("content", [None, b"", b"text", b"\x08\x07" * 99], ids=["missing", "empty", "text", "bytes"])
def test_a_file_that_is_no_model(tmp_path: Path, make: Any, content: bytes | None) -> None:
    path = tmp_path / "m.onnx"
    if content is not None:
        path.write_bytes(content)
    for shapes in (None, {INPUT: (1, 1, 8, 8)}):
        with pytest.raises(BackendError, match=f"^{path}: .* cannot load it[^\n]*: [^\n]+$"):
            make(path, shapes=shapes)


@pytest.mark.parametrize("make", [OnnxRuntimeBackend, OpenVinoBackend])
def test_a_size_that_the_network_cannot_take(small_onnx: Path, make: Any) -> None:
    with pytest.raises(BackendError, match=r"cannot load it|the run failed"):
        make(small_onnx, shapes={INPUT: (1, 3, 120, 160)}).run({INPUT: np.zeros((1, 3, 120, 160), np.float32)})


class OneOutput(torch.nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image


class Fails(torch.nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no moon\nat all")


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (
            OneOutput(),
            r"the network gives other outputs than the 2 expected \(semi, desc\), namely output \(1, 1",
        ),
        (Fails(), "the network failed: no moon$"),
    ],
)
def test_a_torch_network_that_gives_something_else(module: torch.nn.Module, message: str) -> None:
    backend = TorchBackend(module, inputs=(TensorSpec(INPUT, "float32", (1, 1, 8, 8)),), outputs=OUTPUTS)
    with pytest.raises(BackendError, match=message):
        backend.run({INPUT: np.zeros((1, 1, 8, 8), np.float32)})


class RemembersItsSize(torch.nn.Module):
    """Keeps a grid of the size that it ran at last, as networks do."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.columns = image.shape[3]
        time.sleep(1e-3)  # another thread's turn
        return image + torch.arange(self.columns), image


def test_one_torch_network_at_two_sizes_in_two_threads() -> None:
    module = RemembersItsSize()
    specs = [TensorSpec(INPUT, "float32", (1, 1, 8, width)) for width in (8, 16)]
    backends = [TorchBackend(module, inputs=(spec,), outputs=OUTPUTS) for spec in specs]

    def work(backend: Backend) -> None:
        for _ in range(50):
            image = np.zeros(backend.inputs[0].shape, np.float32)
            assert backend.run({INPUT: image})["semi"].shape == image.shape

    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(work, backends):
            pass


def test_threads_of_torch_hold_for_its_runs_alone(small_network: Any) -> None:
    source, before, seen = ModelSource(module=small_network.module), torch.get_num_threads(), []
    hook = small_network.module.register_forward_pre_hook(lambda *_: seen.append(torch.get_num_threads()))
    with open_backend(source, RuntimeOptions(backend="torch", threads=before + 1), image_spec()) as backend:
        backend.run({INPUT: np.zeros((1, 1, 120, 160), np.float32)})
    hook.remove()
    assert seen == [before + 1]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("name", BACKENDS)
def test_a_model_that_is_not_at_hand_in_the_form_that_is_needed(name: str) -> None:
    with pytest.raises(UsageError, match=f"backend {name}: the model is at hand as nothing only"):
        open_backend(ModelSource(), RuntimeOptions(backend=name), image_spec((8, 8)))


def test_outputs_and_inputs_keep_their_names_where_the_runtime_finds_others_the_same(tmp_path: Path) -> None:
    """Through Identity, the tensors zz, aa and semi are one, and so are input and inner."""
    weights = np.random.default_rng(0).random((65, 1, 8, 8), np.float32)
    nodes = [
        helper.make_node("Identity", ["input"], ["inner"]),
        helper.make_node("Conv", ["inner", "w"], ["zz"], strides=[8, 8]),
        helper.make_node("Identity", ["zz"], ["aa"]),
        helper.make_node("Identity", ["aa"], ["semi"]),
        helper.make_node("Relu", ["aa"], ["bb"]),
        helper.make_node("Identity", ["bb"], ["desc"]),
    ]
    shape = {"input": (1, 1, 120, 160), "semi": (1, 65, 15, 20), "desc": (1, 65, 15, 20)}
    values = {name: helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, size) for name, size in shape.items()}
    graph = helper.make_graph(
        nodes, "g", [values["input"]], [values[name] for name in OUTPUTS], [numpy_helper.from_array(weights, "w")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, tmp_path / "m.onnx")
    write_ir(tmp_path / "m.onnx", tmp_path / "m.xml", input_shapes=[(1, 1, 120, 160)])
    levels = pixels()
    found = {}
    for name, backend in (
        ("onnxruntime", OnnxRuntimeBackend(tmp_path / "m.onnx")),
        ("openvino onnx", OpenVinoBackend(tmp_path / "m.onnx")),
        ("openvino ir", OpenVinoBackend(tmp_path / "m.xml")),
    ):
        with backend:
            assert [spec.name for spec in backend.inputs] == [INPUT]
            assert [spec.name for spec in backend.outputs] == list(OUTPUTS)
            found[name] = backend.run({INPUT: (levels / 255).astype(np.float32)})
    assert_near(found["openvino onnx"], found["onnxruntime"], 1e-5)
    assert_near(found["openvino ir"], found["onnxruntime"], 5e-3)


class Batch(Backend):
    """Takes four images at once; ``leaky`` gives each image something of the one before it."""

    description = "four images"
    inputs = (TensorSpec(INPUT, "float32", (4, 1, 8, 8)),)
    outputs = (TensorSpec("semi", "float32", (4, 1, 8, 8)),)

    def __init__(self, leaky: int | None = None) -> None:
        self.leaky = leaky
        self.closed = False

    def _run(self, tensors: Any) -> dict[str, NDArray[Any]]:
        images = tensors[INPUT].copy()
        if self.leaky is not None:
            images[self.leaky] += images[self.leaky - 1]
        return {"semi": images}

    def close(self) -> None:
        self.closed = True


def test_one_image_of_a_batch_is_the_same_in_each_place() -> None:
    inner = Batch()
    image = np.random.default_rng(0).random((1, 1, 8, 8), np.float32)
    with BatchedBackend(inner) as backend:
        assert backend.inputs[0].shape == backend.outputs[0].shape == (1, 1, 8, 8)
        for _ in range(9):
            np.testing.assert_array_equal(backend.run({INPUT: image})["semi"], image)
    assert inner.closed


@pytest.mark.parametrize("leaky", range(4))
def test_what_leaks_from_one_image_of_a_batch_to_another_shows(leaky: int) -> None:
    image = np.random.default_rng(0).random((1, 1, 8, 8), np.float32)
    backend = BatchedBackend(Batch(leaky))
    wrong = [not np.array_equal(backend.run({INPUT: image})["semi"], image) for _ in range(4)]
    assert wrong.count(True) == 1


class TwoInputs(torch.nn.Module):
    """An image of colours, scaled by a gain for each, and a row that is added."""

    def forward(self, picture: torch.Tensor, gain: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scaled = picture * gain[:, :, None, None]
        return scaled.sum(1), gain.softmax(1)


TWO_INPUTS = (TensorSpec("picture", "float32", (1, 3, 6, 9)), TensorSpec("gain", "float32", (1, 3)))


@pytest.mark.parametrize("backend", ["torch", "onnxruntime", "openvino", "openvino ir"])
@pytest.mark.parametrize("order", [1, -1])
def test_several_inputs_and_outputs_go_by_their_names(
    tmp_path: Path, rng: np.random.Generator, backend: str, order: int
) -> None:
    module, path = TwoInputs(), tmp_path / "two.onnx"
    export_onnx(module, path, inputs=TWO_INPUTS, outputs=("sums", "shares"))
    source = ModelSource(module=module, outputs=("sums", "shares"), onnx=path)
    if backend == "openvino ir":
        write_ir(path, tmp_path / "two.xml", input_shapes=[spec.shape for spec in TWO_INPUTS])
        source = ModelSource(ir=tmp_path / "two.xml")
    given = {spec.name: rng.random(spec.shape, np.float32) for spec in TWO_INPUTS}
    runtime = RuntimeOptions(backend=backend.split()[0])
    with open_backend(source, runtime, TWO_INPUTS) as opened:
        got = opened.run(dict(list(given.items())[::order]))
        assert {spec.name: spec.shape for spec in opened.inputs} == {spec.name: spec.shape for spec in TWO_INPUTS}
        with pytest.raises(BackendError, match="expected inputs picture, gain, got picture"):
            opened.run({"picture": given["picture"]})
    with torch.inference_mode():
        expected = module(*(torch.from_numpy(given[spec.name]) for spec in TWO_INPUTS))
    assert_near(got, dict(zip(("sums", "shares"), (array.numpy() for array in expected), strict=True)), 1e-5)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("kind", ["uint8", "float16", "float64", "int32", "int64", "bool"])
def test_inputs_of_other_types(tmp_path: Path, backend: str, kind: str) -> None:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    graph = helper.make_graph(
        [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)],
        "g",
        [helper.make_tensor_value_info("x", element, ["N", 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), tmp_path / "m.onnx")
    spec = TensorSpec("x", kind, (1, 5))
    with open_backend(ModelSource(onnx=tmp_path / "m.onnx"), RuntimeOptions(backend=backend), [spec]) as opened:
        assert opened.inputs == (spec,)
        got = opened.run({"x": np.array([[0, 1, 2, 1, 0]]).astype(kind)})
    np.testing.assert_array_equal(got["y"], [[0, 1, 1 if kind == "bool" else 2, 1, 0]])
