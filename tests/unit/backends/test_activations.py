from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from oakpoint.backends.activations import memory_bytes, onnx_memory_bytes
from oakpoint.backends.registry import ModelSource, RuntimeOptions
from oakpoint.backends.torch import peak_bytes
from oakpoint.bundle.interface import Input, Interface, TensorSpec, image_interface
from oakpoint.images.preprocess import Preprocess

SHAPES = {"x": (1, 1, 64, 96)}
PIXELS = 64 * 96
GREY = image_interface("input", Preprocess(size=(96, 64), resize="stretch", interpolation="area"))


def written(path: Path, nodes: list[onnx.NodeProto], outputs: list[str], constants: dict[str, tuple[int, ...]]) -> Path:
    def value(name: str, shape: list[object]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    weights = [
        helper.make_tensor(name, TensorProto.FLOAT, shape, bytes(4 * torch.Size(shape).numel()), raw=True)
        for name, shape in constants.items()
    ]
    graph = helper.make_graph(
        nodes, "g", [value("x", [1, 1, 8, 8])], [value(name, ["n", "c", "h", "w"]) for name in outputs], weights
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), path)
    return path


def conv(source: str, weight: str, target: str, stride: int = 1) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, weight], [target], pads=[1, 1, 1, 1], strides=[stride, stride])


def test_the_tensors_alive_at_once_are_counted(tmp_path):
    """x (1 channel) → a (8) → b (4, kept for the end) → c (16) → y (b + a part of c): the peak is b, c and y."""
    nodes = [
        conv("x", "w1", "a"),
        conv("a", "w2", "b"),
        conv("b", "w3", "c"),
        conv("c", "w4", "d"),
        helper.make_node("Add", ["b", "d"], ["y"]),
    ]
    weights = {"w1": (8, 1, 3, 3), "w2": (4, 8, 3, 3), "w3": (16, 4, 3, 3), "w4": (4, 16, 3, 3)}
    path = written(tmp_path / "a.onnx", nodes, ["y"], weights)
    floats = (4 + 16 + 4) + 3 * (1 + 4)  # b, c and d at once; input and output three times
    assert onnx_memory_bytes(path, SHAPES) == 4 * PIXELS * floats


def test_the_stride_counts_and_weights_do_not(tmp_path):
    path = written(tmp_path / "a.onnx", [conv("x", "w", "y", stride=2)], ["y"], {"w": (32, 1, 3, 3)})
    assert onnx_memory_bytes(path, SHAPES) == 4 * PIXELS * (1 + 8 + 3 * (1 + 8))


def test_it_grows_with_the_image(small_onnx):
    source = ModelSource(onnx=small_onnx)
    runtime = RuntimeOptions(backend="onnxruntime")
    sizes = [memory_bytes(source, runtime, GREY, size) for size in ((80, 64), (800, 640))]
    assert None not in sizes
    assert sizes[1] == pytest.approx(100 * sizes[0], rel=0.01)


def test_a_file_that_is_none_is_left_to_the_runtime(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"no model")
    assert onnx_memory_bytes(tmp_path / "a.onnx", SHAPES) is None
    assert onnx_memory_bytes(tmp_path / "nosuch.onnx", SHAPES) is None


class Branches(nn.Module):
    """As the first test's graph, with a view that takes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(*channels, 3, padding=1) for channels in ((1, 8), (8, 4), (4, 16), (16, 4))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layers[0](x)
        x = b = self.layers[1](x)
        x = self.layers[2](x)
        x = self.layers[3](x.view(x.shape))
        return b + x


def test_of_a_module_the_tensors_alive_at_once_are_counted():
    floats = (1 + 4 + 16 + 4) + 4  # the caller holds the input as well; the output is copied
    assert peak_bytes(Branches(), SHAPES) == 4 * PIXELS * floats
    source = ModelSource(module=Branches())
    assert memory_bytes(source, RuntimeOptions(backend="torch"), GREY, (640, 480)) == 4 * 640 * 480 * floats


def test_a_module_that_fails_is_left_to_the_run():
    assert peak_bytes(nn.Conv2d(3, 8, 3), SHAPES) is None


@pytest.mark.parametrize("options", [RuntimeOptions(device="GPU"), RuntimeOptions(backend="myriad_simulator")])
def test_where_memory_is_not_this_machine_s_nothing_is_estimated(small_onnx, options):
    assert memory_bytes(ModelSource(onnx=small_onnx, blob=small_onnx), options, GREY, (640, 480)) is None


class WithState(nn.Module):
    """An image, and a row that is added to each of its rows."""

    def forward(self, image: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        return image + state


def test_every_input_counts(tmp_path):
    state = Input(tensor=TensorSpec("state", "float32", (1, 1, 1, 1)))
    interface = Interface(inputs=(*GREY.inputs, state))
    source = ModelSource(module=WithState())
    floats = 96 * 64 * 3  # the image, the sum and its copy, beside one number
    found = memory_bytes(source, RuntimeOptions(backend="torch"), interface, (96, 64))
    assert found == pytest.approx(4 * floats, rel=0.01)
    path = written(tmp_path / "a.onnx", [helper.make_node("Add", ["x", "s"], ["y"])], ["y"], {})
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("s", TensorProto.FLOAT, [1, "c", "h", "w"]))
    onnx.save(model, path)
    one = onnx_memory_bytes(path, SHAPES | {"s": (1, 1, 1, 1)})
    assert one == 4 * (2 * PIXELS + 1 + 3 * (2 * PIXELS + 1))
    assert onnx_memory_bytes(path, SHAPES | {"s": (1, 1, 64, 96)}) == 4 * PIXELS * (3 + 3 * 3)
