from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from oakpoint.convert.ir_from_onnx import GraphConstant, write_ir
from oakpoint.convert.onnx_from_torch import write_onnx
from oakpoint.networks.registry import batch_norms_of, load_network
from oakpoint.runtimes import import_openvino
from oakpoint.tasks.keypoints.task import INPUT, OUTPUTS
from oakpoint.verify.constants import compare_constants, compare_ir_constants, onnx_weights, share_equal_by_name

SHAPE = (1, 1, 120, 160)


def tensors(network: Any) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in network.module.state_dict().items()}


def with_flipped_bit(source: Path, target: Path, tensor: int, bit: int) -> Path:
    model = onnx.load(source)
    weights = model.graph.initializer[tensor]
    values = numpy_helper.to_array(weights).copy()
    values.view(np.uint32).flat[values.size // 2] ^= np.uint32(1 << bit)
    weights.CopyFrom(numpy_helper.from_array(values, weights.name))
    onnx.save(model, target)
    return target


def exported(name: str, path: Path) -> Any:
    network = load_network(f"small_network:{name}", None, seed=0)
    write_onnx(network.module, path, size=(160, 120), input_name=INPUT, output_names=OUTPUTS)
    return network


@pytest.fixture(scope="module")
def ir(small_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ir") / "m.xml"
    write_ir(small_onnx, path, input_shapes=[SHAPE])
    return path


def test_what_was_exported_is_equal(small_network: Any, small_onnx: Path, ir: Path) -> None:
    assert share_equal_by_name(tensors(small_network), small_onnx) == 1.0
    constants = compare_ir_constants(small_onnx, ir)
    assert (constants.share_equal, constants.share_compared) == (1.0, 1.0)


@pytest.mark.parametrize("bit", [0, 12, 22, 30, 31])
def test_one_flipped_bit_in_the_onnx_shows(small_network: Any, small_onnx: Path, tmp_path: Path, bit: int) -> None:
    for tensor in range(len(onnx_weights(small_onnx))):
        path = with_flipped_bit(small_onnx, tmp_path / "flipped.onnx", tensor, bit)
        assert share_equal_by_name(tensors(small_network), path) < 1.0


@pytest.mark.parametrize("bit", [0, 3, 7])
def test_one_flipped_bit_in_the_ir_shows(small_onnx: Path, ir: Path, tmp_path: Path, bit: int) -> None:
    """In the middle of each constant that the IR holds."""
    data = ir.with_suffix(".bin").read_bytes()
    for weights in onnx_weights(small_onnx).values():
        stored = weights.astype(np.float16).tobytes()
        assert_flip_shows(small_onnx, ir, tmp_path, data.index(stored) + len(stored) // 4 * 2, bit)


def assert_flip_shows(onnx_path: Path, ir: Path, folder: Path, place: int, bit: int) -> None:
    flipped = bytearray(ir.with_suffix(".bin").read_bytes())
    flipped[place] ^= 1 << bit
    shutil.copy(ir, folder / "flipped.xml")
    (folder / "flipped.bin").write_bytes(flipped)
    assert compare_ir_constants(onnx_path, folder / "flipped.xml").share_equal < 1.0


def test_the_same_values_twice_have_to_stand_there_twice() -> None:
    values = np.arange(8, dtype=np.float32)
    expected = [GraphConstant(name, values, weighs=False) for name in ("a", "b")]
    found = [
        GraphConstant("c", values, weighs=False),
        GraphConstant("d", np.append(values[:7], np.float32(9)), weighs=False),
    ]
    comparison = compare_constants(expected, found, lambda array: (array,))
    assert comparison.equal == 1
    assert comparison.altered == ("b",)


@pytest.mark.parametrize("values", [np.zeros(8), np.r_[np.zeros(6), 3, 4], np.r_[np.ones(6), 5, 7]])
def test_zeros_in_common_are_no_evidence(values: np.ndarray) -> None:
    expected = [GraphConstant("a", values.astype(np.float32), weighs=False)]
    found = [GraphConstant("b", np.r_[values[:6], 1.5, 2.5].astype(np.float32), weighs=False)]
    assert compare_constants(expected, found, lambda array: (array,)).folded == ("a",)


def test_nothing_in_common_is_not_a_number(small_onnx: Path) -> None:
    assert np.isnan(share_equal_by_name({"other": np.zeros(3)}, small_onnx))


def with_constant_nodes(source: Path, target: Path) -> None:
    """As other exporters write weights."""
    model = onnx.load(source)
    nodes = [helper.make_node("Constant", [], [t.name], value=t) for t in model.graph.initializer]
    rest = list(model.graph.node)
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.node.extend(nodes + rest)
    onnx.save(model, target)


def with_quantised_weights(source: Path, target: Path) -> None:
    """Each convolution's weights as int8 with a scale for each channel, dequantised in the graph."""
    model = onnx.load(source)
    for node in [node for node in model.graph.node if node.op_type == "Conv"]:
        tensor = next(t for t in model.graph.initializer if t.name == node.input[1])
        values = numpy_helper.to_array(tensor)
        scale = (np.abs(values).max(axis=(1, 2, 3)) / 127).astype(np.float32)
        whole = np.rint(values / scale[:, None, None, None]).astype(np.int8)
        name = tensor.name
        model.graph.initializer.remove(tensor)
        model.graph.initializer.extend(
            [
                numpy_helper.from_array(whole, f"{name}_q"),
                numpy_helper.from_array(scale, f"{name}_s"),
                numpy_helper.from_array(np.zeros(len(scale), np.int8), f"{name}_z"),
            ]
        )
        inputs = [f"{name}_q", f"{name}_s", f"{name}_z"]
        model.graph.node.insert(0, helper.make_node("DequantizeLinear", inputs, [name], axis=0))
    onnx.save(model, target)


@pytest.mark.parametrize("change", [with_constant_nodes, with_quantised_weights])
def test_weights_in_other_forms_are_not_accused_and_their_flips_are(
    small_onnx: Path, tmp_path: Path, change: Callable[[Path, Path], None]
) -> None:
    change(small_onnx, tmp_path / "m.onnx")
    check_ir(tmp_path / "m.onnx")


@pytest.mark.parametrize("name", ["CoordinatesNetwork", "WeightNormNetwork", "TransposedNormNetwork", "NormNetwork"])
def test_what_tools_fold_is_not_accused_and_a_flip_in_it_is(tmp_path: Path, name: str) -> None:
    network = exported(name, tmp_path / "m.onnx")
    assert share_equal_by_name(tensors(network), tmp_path / "m.onnx", batch_norms_of(network)) == 1
    check_ir(tmp_path / "m.onnx")


def check_ir(path: Path) -> None:
    ir = path.with_suffix(".xml")
    write_ir(path, ir, input_shapes=[SHAPE])
    constants = compare_ir_constants(path, ir)
    assert constants.share_equal == 1
    size = ir.with_suffix(".bin").stat().st_size
    rng = np.random.default_rng(0)
    for place in rng.integers(size, size=5):
        assert_flip_shows(path, ir, path.parent, int(place), int(rng.integers(8)))


def test_weights_that_are_computed_lower_the_share_compared(small_onnx: Path, tmp_path: Path) -> None:
    """A weight masked in the graph is not the one in the IR, and half of it is equal: no evidence against the IR."""
    model = onnx.load(small_onnx)
    conv = next(node for node in model.graph.node if node.op_type == "Conv")
    weights = numpy_helper.to_array(next(t for t in model.graph.initializer if t.name == conv.input[1]))
    mask = np.ones_like(weights)
    mask[0] = 0
    model.graph.initializer.append(numpy_helper.from_array(mask, "mask"))
    model.graph.node.insert(0, helper.make_node("Mul", [conv.input[1], "mask"], ["masked"]))
    conv.input[1] = "masked"
    onnx.save(model, tmp_path / "m.onnx")
    check_ir(tmp_path / "m.onnx")


def test_an_ir_of_other_weights_is_accused(small_onnx: Path, tmp_path: Path) -> None:
    other = load_network("small_network:SmallNetwork", None, seed=1)
    write_onnx(other.module, tmp_path / "o.onnx", size=(160, 120), input_name=INPUT, output_names=OUTPUTS)
    write_ir(tmp_path / "o.onnx", tmp_path / "o.xml", input_shapes=[SHAPE])
    assert compare_ir_constants(small_onnx, tmp_path / "o.xml").share_equal < 0.5


def test_what_another_openvino_folds_otherwise_is_not_accused_and_a_flip_is(small_onnx: Path, tmp_path: Path) -> None:
    """The IR's first weights are doubled, as if a factor behind them had been folded in."""
    model = onnx.load(small_onnx)
    with_other_values = model.graph.initializer[0]
    doubled = numpy_helper.to_array(with_other_values) * 2
    with_other_values.CopyFrom(numpy_helper.from_array(doubled, with_other_values.name))
    onnx.save(model, tmp_path / "m.onnx")
    xml = tmp_path / "m.xml"
    write_ir(tmp_path / "m.onnx", xml, input_shapes=[SHAPE])
    assert compare_ir_constants(small_onnx, xml).share_equal < 1
    version = import_openvino().get_version()
    xml.write_text(xml.read_text().replace(version, "2030.1.0-other"))
    assert compare_ir_constants(small_onnx, xml).share_equal == 1
    stored = onnx_weights(small_onnx)["neck.weight"].astype(np.float16).tobytes()
    place = xml.with_suffix(".bin").read_bytes().index(stored) + 100
    assert_flip_shows(small_onnx, xml, tmp_path, place, 3)


@pytest.mark.parametrize("name", ["TransposedNormNetwork", "NormNetwork"])
def test_a_changed_weight_in_a_folded_convolution_shows(tmp_path: Path, name: str) -> None:
    network = exported(name, tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    norms = batch_norms_of(network)
    for node in model.graph.node:
        if node.op_type not in ("Conv", "ConvTranspose"):
            continue
        changed = onnx.ModelProto.FromString(model.SerializeToString())
        tensor = next(t for t in changed.graph.initializer if t.name == node.input[1])
        values = numpy_helper.to_array(tensor).copy()
        values.flat[values.size // 3] *= 1.01
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        onnx.save(changed, tmp_path / "changed.onnx")
        assert share_equal_by_name(tensors(network), tmp_path / "changed.onnx", norms) < 1


def test_an_ir_for_more_images_at_once_is_compared_at_its_own_shape(tmp_path: Path) -> None:
    exported("CoordinatesNetwork", tmp_path / "m.onnx")
    write_ir(tmp_path / "m.onnx", tmp_path / "m.xml", input_shapes=[(3, *SHAPE[1:])])
    assert compare_ir_constants(tmp_path / "m.onnx", tmp_path / "m.xml").share_equal == 1
