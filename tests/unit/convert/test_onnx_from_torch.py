from __future__ import annotations

import logging
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from oakpoint.backends.torch import TorchBackend
from oakpoint.bundle.interface import TensorSpec
from oakpoint.convert.onnx_from_torch import export_onnx, modules_of, write_onnx
from oakpoint.errors import ConversionError

NAMES = {"input_name": "input", "output_names": ("semi", "desc")}


class FixedBatch(nn.Module):
    """Works with one image at a time only."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if image.shape[0] != 1:
            raise ValueError("one image at a time")
        return image * 2, image + 1


class Impossible(nn.Module):
    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        raise RuntimeError("the moon is down\nand more")


def dims(value: Any) -> list[int | str]:
    return [d.dim_value if d.HasField("dim_value") else d.dim_param for d in value.type.tensor_type.shape.dim]


def test_the_form_of_the_file(small_network: Any, tmp_path: Path) -> None:
    tool = write_onnx(small_network.module, tmp_path / "m.onnx", size=(160, 120), **NAMES)
    assert tool == f"torch {torch.__version__}"
    model = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert {v.name: dims(v) for v in model.graph.input} == {"input": ["N", 1, 120, 160]}
    assert {v.name: dims(v) for v in model.graph.output} == {"semi": ["N", 65, 15, 20], "desc": ["N", 16, 15, 20]}
    names = {name for name in small_network.module.state_dict() if name.endswith("weight")}  # biases are zero here
    assert {tensor.name for tensor in model.graph.initializer} == names


def test_nothing_of_the_exporting_machine_is_in_it(small_onnx: Path) -> None:
    data = small_onnx.read_bytes()
    for trace in (str(Path.cwd()), str(Path.home()), "site-packages", "small_network.py", "pkg.torch"):
        assert trace.encode() not in data, trace


def test_a_batch_that_cannot_be_open_is_fixed(tmp_path: Path) -> None:
    write_onnx(FixedBatch(), tmp_path / "m.onnx", size=(16, 8), **NAMES)
    assert dims(onnx.load(tmp_path / "m.onnx").graph.input[0]) == [1, 1, 8, 16]


def test_a_network_that_cannot_be_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConversionError, match=r"^torch cannot export the network: [^\n]+$"):
        write_onnx(Impossible(), tmp_path / "m.onnx", size=(16, 8), **NAMES)
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr() == ("", "")


def test_an_image_too_large_for_the_memory(small_network: Any, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="no memory for an image of 8000000x8000000 px"):
        write_onnx(small_network.module, tmp_path / "m.onnx", size=(8_000_000, 8_000_000), **NAMES)


def test_exports_side_by_side_leave_the_process_as_it_was(tmp_path: Path, small_network: Any) -> None:
    before = sys.stdout, list(warnings.filters), logging.getLogger("torch.onnx").level
    paths = [tmp_path / f"{number}.onnx" for number in range(3)]
    with ThreadPoolExecutor(3) as pool:
        for _ in pool.map(lambda path: write_onnx(small_network.module, path, size=(64, 64), **NAMES), paths):
            pass
    assert (sys.stdout, list(warnings.filters), logging.getLogger("torch.onnx").level) == before
    assert len({path.read_bytes() for path in paths}) == 1


@dataclass
class Found:
    scores: torch.Tensor
    levels: list[torch.Tensor]
    loss: float | None = None


class Structured(nn.Module):
    """An image in a dict to a dataclass with a list, and whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, data: dict[str, torch.Tensor]) -> Found:
        x = self.convolution(data["image"])
        return Found(x, [x.relu(), x.argmax(1)])


class TwoInputs(nn.Module):
    def forward(self, image: torch.Tensor, index: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"sum": image.sum((2, 3)) + index, "image": image * 2}


class Constants(nn.Module):
    """Gives its input, one tensor twice, and one that does not hang on the input."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        twice = image * 2
        return image, twice, twice, torch.arange(3.0)


def in_onnxruntime(path: Path, inputs: dict[str, Any]) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


IMAGE = TensorSpec("image", "float32", ("N", 3, 8, 16))


@pytest.mark.parametrize(
    ("module", "inputs", "outputs", "expected"),
    [
        (Structured(), [IMAGE], None, {"scores": (2, 8, 16), "levels_0": (2, 8, 16), "levels_1": (8, 16)}),
        (Structured(), [IMAGE], {"classes": "levels_1", "semi": "scores"}, {"classes": (8, 16), "semi": (2, 8, 16)}),
        (TwoInputs(), [IMAGE, TensorSpec("index", "int64", ("N", 3))], ("sum",), {"sum": (3,)}),
        (TwoInputs(), [TensorSpec("index", "int64", ("N", 3)), IMAGE], ("sum",), {"sum": (3,)}),
        (Constants(), [IMAGE], ("a", "b", "c", "d"), {"a": (3, 8, 16), "b": (3, 8, 16), "c": (3, 8, 16)}),
    ],
)
@pytest.mark.parametrize("batch", [1, 3])
def test_any_inputs_and_outputs(module, inputs, outputs, expected, batch: int, tmp_path: Path) -> None:
    export_onnx(module.eval(), tmp_path / "m.onnx", inputs=inputs, outputs=outputs)
    model = onnx.load(tmp_path / "m.onnx")
    assert [value.name for value in model.graph.input] == [spec.name for spec in inputs]
    names = {tensor.name for tensor in model.graph.initializer}
    assert names >= module.state_dict().keys(), "verification compares weights by name"
    rng = np.random.default_rng(0)
    given = {spec.name: (10 * rng.random((batch, *spec.shape[1:]))).astype(spec.dtype) for spec in inputs}
    found = in_onnxruntime(tmp_path / "m.onnx", given)
    assert {name: array.shape for name, array in found.items() if name != "d"} == {
        name: (batch, *shape) for name, shape in expected.items()
    }
    specs = [replace(spec, shape=(batch, *spec.shape[1:])) for spec in inputs]
    theirs = TorchBackend(module, inputs=specs, outputs=outputs).run(given)
    assert list(theirs) == list(found)
    for name, array in theirs.items():
        assert array.dtype == found[name].dtype
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-5)


def test_what_is_wanted_of_a_tuple_leaves_the_rest_out(tmp_path: Path) -> None:
    inputs = [replace(IMAGE, shape=(1, 1, 8, 16))]
    export_onnx(FixedBatch(), tmp_path / "m.onnx", inputs=inputs, outputs={"b": "output_1"})
    assert [value.name for value in onnx.load(tmp_path / "m.onnx").graph.output] == ["b"]
    message = r"^the network returned no output_2; it gives output_0 \(1, 1, 8, 16\), output_1 \(1, 1, 8, 16\)$"
    with pytest.raises(ConversionError, match=message):
        export_onnx(FixedBatch(), tmp_path / "n.onnx", inputs=inputs, outputs={"b": "output_2"})
    assert not (tmp_path / "n.onnx").exists()


def test_channels_that_do_not_fit_are_said_before_the_export(tmp_path: Path) -> None:
    message = r"^torch cannot export the network: it cannot be run on zeros of \(1, 1, 8, 16\): .*to have 3 channels"
    with pytest.raises(ConversionError, match=message):
        write_onnx(nn.Conv2d(3, 2, 1), tmp_path / "m.onnx", size=(16, 8), input_name="input", output_names=("a",))


def test_a_plain_network_is_exported_as_it_is(tmp_path: Path, small_network: Any) -> None:
    spec = TensorSpec("input", "float32", ("N", 1, 64, 96))
    names = []
    for number, wanted in enumerate([("semi", "desc"), {"semi": "output_0", "desc": "output_1"}, None]):
        export_onnx(small_network.module, tmp_path / f"{number}.onnx", inputs=[spec], outputs=wanted)
        names.append([tensor.name for tensor in onnx.load(tmp_path / f"{number}.onnx").graph.initializer])
    assert (tmp_path / "0.onnx").read_bytes() == (tmp_path / "1.onnx").read_bytes()
    assert names[0] == names[2]
    assert all(name in small_network.module.state_dict() for name in names[0])


def test_layers_are_told_by_the_modules_they_are_of(tmp_path: Path, small_network: Any) -> None:
    modules: dict[str, str] = {}
    spec = TensorSpec("input", "float32", ("N", 1, 64, 96))
    export_onnx(small_network.module, tmp_path / "m.onnx", inputs=[spec], modules=modules)
    model = onnx.load(tmp_path / "m.onnx")
    own = {name for name, _ in small_network.module.named_modules()}
    assert set(modules.values()) <= own
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert convolutions
    for node in convolutions:
        assert f"{modules[node.output[0]]}.weight" == node.input[1]
    by_weights = modules_of(model)  # of the file, which has no metadata
    assert {modules[node.output[0]] for node in convolutions} == set(by_weights.values())


def test_a_convolution_with_a_norm_in_it_is_told_by_both(tmp_path: Path) -> None:
    layers = [nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1)]
    modules: dict[str, str] = {}
    spec = TensorSpec("x", "float32", ("N", 3, 16, 16))
    export_onnx(nn.Sequential(*layers).eval(), tmp_path / "m.onnx", inputs=[spec], modules=modules)
    nodes = onnx.load(tmp_path / "m.onnx").graph.node
    told = [(node.op_type, modules[node.output[0]]) for node in nodes]
    assert told == [("Conv", "0 + 1"), ("Relu", "2"), ("Conv", "3")]


@pytest.mark.parametrize("said", ["['', 'a.b', 'relu']", "['a.b', 'relu']", "[[['", "5", "[]", "(" * 5000, ""])
def test_metadata_of_any_form_is_taken(said: str) -> None:
    node = onnx.helper.make_node("Relu", ["x"], ["y"], name="node_relu")
    entry = node.metadata_props.add()
    entry.key, entry.value = "pkg.torch.onnx.name_scopes", said
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], []))
    assert modules_of(model) == ({"y": "a.b"} if "a.b" in said else {})
