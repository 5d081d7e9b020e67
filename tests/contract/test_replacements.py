"""What ``check`` proposes to train with instead: each compiles, and computes what ONNX Runtime does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import graph
from rewritten import run

from oakpoint.convert.device_graph import DeviceInput, device_graph
from oakpoint.layers.check.replacements import REPLACEMENTS, replacement_for
from oakpoint.myriad.blob import read_blob
from oakpoint.myriad.compiler import compile_blob
from oakpoint.myriad.simulator import Simulator

RNG = np.random.default_rng(11)
SHAPES = {"x": (1, 8, 16, 16), "v": (1, 2, 4, 8, 8), "t": (1, 8, 32), "noise": (1, 8, 16, 16)}
TOLERANCE = 4e-3
"""Of an output's largest value, as of rewritten operators."""


def weights(*shape: int) -> np.ndarray:
    return RNG.normal(0, 0.2, shape).astype(np.float32)


def whole(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def single_ones(channels: int, side: int) -> np.ndarray:
    """Kernels (C·k², 1, k, k) of which the one for each place has a one there."""
    return np.tile(np.eye(side * side, dtype=np.float32).reshape(-1, 1, side, side), (channels, 1, 1, 1))


CONSTANTS = {
    "w3": weights(8, 8, 3, 3), "w1": weights(8, 8, 1, 1), "down": weights(2, 8, 1, 1), "up": weights(8, 2, 1, 1),
    "dw7": weights(8, 1, 7, 7), "wt": weights(8, 8, 2, 2), "v133": weights(2, 2, 1, 3, 3),
    "v311": weights(2, 2, 3, 1, 1), "v333": weights(2, 2, 3, 3, 3), "vbias": weights(2), "t3": weights(8, 8, 3),
    "waves": weights(16, 1, 32),
    "ones": single_ones(2, 2), "scale": np.abs(weights(8)) + 1, "bias": weights(8), "table": weights(32, 4),
    "mask": np.tril(np.ones((16, 16), np.float32)), "chosen": np.tril(np.ones((16, 16), bool)),
    "slopes": weights(8, 1, 1), "eps": np.float32(1e-3), "zero": np.float32(0), "three": np.float32(3),
    "six": np.float32(6), "sixth": np.float32(1 / 6), "limit": np.float32(0.5), "period": np.float32(0.5),
    "twice": np.array([1, 1, 2, 2], np.float32), "twice3": np.array([1, 1, 2, 2, 2], np.float32),
    "heads": whole(1, 4, 2, 256), "rows": whole(1, 128, 8), "wave": whole(1, 1, 2048),
    "list": whole(1, 2048), "axis1": whole(1), "axis2": whole(2), "nought": whole(0), "four": whole(4), "all": whole(8),
    "last": whole(-1), "before": whole(-1000), "backward": whole(-1), "five": whole(5),
    "boxes": np.array([[0, 0, 7, 7]], np.float32), "first": whole(0),
}  # fmt: skip

TRIALS = {
    "sampling": """
        sampling_a = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel"> (x, , twice)
        sampling_1 = Conv <pads = [1, 1, 1, 1]> (x, w3)
        sampling_2 = Conv <pads = [2, 2, 2, 2], dilations = [2, 2]> (sampling_1, w3)
        sampling_b = Conv <pads = [4, 4, 4, 4], dilations = [4, 4]> (sampling_2, w3)""",
    "deformable": "deformable_a = Conv <pads = [2, 2, 2, 2], dilations = [2, 2]> (x, w3)",
    "dynamic filters": """
        filters_1 = ReduceMean <axes = [2, 3]> (x)
        filters_2 = Conv (filters_1, down)
        filters_3 = Conv (filters_2, up)
        filters_4 = Sigmoid (filters_3)
        filters_5 = Conv <pads = [1, 1, 1, 1]> (x, w3)
        filters_a = Mul (filters_5, filters_4)""",
    "convolution in 3-D": """
        volume_1 = Conv <pads = [0, 1, 1, 0, 1, 1]> (v, v133)
        volume_a = Conv <pads = [1, 0, 0, 1, 0, 0]> (volume_1, v311)""",
    "transposed in 3-D": """
        larger_1 = Resize <mode = "nearest"> (v, , twice3)
        larger_a = Conv <pads = [1, 1, 1, 1, 1, 1]> (larger_1, v333, vbias)""",
    "linear resize in 3-D": """
        nearest_a = Resize <mode = "nearest"> (v, , twice3)""",
    "products of more than four dimensions": """
        products_1 = Reshape (x, heads)
        products_2 = Transpose <perm = [0, 1, 3, 2]> (products_1)
        products_a = MatMul (products_1, products_2)""",
    "einsum": """
        einsum_1 = Transpose <perm = [0, 2, 1, 3]> (x)
        einsum_2 = Transpose <perm = [0, 2, 3, 1]> (x)
        einsum_3 = MatMul (einsum_1, einsum_2)
        einsum_a = Reshape (einsum_3, rows)""",
    "attention": """
        attention_1 = Conv <pads = [3, 3, 3, 3], group = 8> (x, dw7)
        attention_a = Conv (attention_1, w1)
        attention_2 = Reshape (x, heads)
        attention_3 = Transpose <perm = [0, 1, 3, 2]> (attention_2)
        attention_4 = MatMul (attention_2, attention_3)
        attention_5 = Mul (attention_4, sixth)
        attention_6 = Softmax <axis = -1> (attention_5)
        attention_b = MatMul (attention_6, attention_2)""",
    "norms": """
        norms_1 = Conv <pads = [1, 1, 1, 1]> (x, w3)
        norms_a = BatchNormalization (norms_1, scale, bias, bias, scale)
        norms_2 = Mul (x, x)
        norms_3 = ReduceMean <axes = [1]> (norms_2)
        norms_4 = Add (norms_3, eps)
        norms_5 = Sqrt (norms_4)
        norms_b = Div (x, norms_5)""",
    "activations": """
        activations_1 = Conv <pads = [1, 1, 1, 1]> (x, w3)
        activations_a = Clip (activations_1, zero, six)
        activations_2 = Add (x, three)
        activations_3 = Clip (activations_2, zero, six)
        activations_4 = Mul (x, activations_3)
        activations_b = Mul (activations_4, sixth)""",
    "waves": """
        waves_a = Tanh (x)
        waves_1 = ArgMax <axis = 1, keepdims = 0> (t)
        waves_b = Gather <axis = 0> (table, waves_1)""",
    "spectra": """
        spectra_1 = Reshape (x, wave)
        spectra_a = Conv <strides = [16]> (spectra_1, waves)""",
    "recurrence": """
        recurrence_1 = Conv <pads = [1, 1]> (t, t3)
        recurrence_2 = Conv <pads = [2, 2], dilations = [2]> (recurrence_1, t3)
        recurrence_3 = Conv <pads = [4, 4], dilations = [4]> (recurrence_2, t3)
        recurrence_a = Conv <pads = [8, 8], dilations = [8]> (recurrence_3, t3)""",
    "choosing": """
        choosing_1 = Greater (x, limit)
        choosing_2 = Cast <to = 1> (choosing_1)
        choosing_a = Mul (x, choosing_2)
        choosing_3 = Reshape (x, list)
        choosing_b, choosing_4 = TopK <axis = 1> (choosing_3, five)""",
    "suppression": """
        suppression_1 = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x)
        suppression_2 = Equal (x, suppression_1)
        suppression_a = Where (suppression_2, x, zero)""",
    "unpooling": """
        unpooling_1 = Resize <mode = "nearest"> (x, , twice)
        unpooling_a = Conv <pads = [1, 1, 1, 1]> (unpooling_1, w3)
        unpooling_b = ConvTranspose <strides = [2, 2]> (x, wt)""",
    "places of maxima": """
        maxima_1 = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)
        maxima_a = ConvTranspose <strides = [2, 2]> (maxima_1, wt)""",
    "regions": """
        regions_a = RoiAlign <mode = "avg", output_height = 2, output_width = 2, sampling_ratio = 2> (x, boxes, first)
        regions_b = AveragePool <kernel_shape = [4, 4], strides = [4, 4]> (x)""",
    "scattering": """
        scattering_1 = Slice (x, nought, four, axis1)
        scattering_2 = Slice (noise, four, all, axis1)
        scattering_a = Concat <axis = 1> (scattering_1, scattering_2)
        scattering_b = Where (chosen, x, noise)""",
    "folding back": "folding_a = ConvTranspose <strides = [2, 2], group = 2> (x, ones)",
    "remainder": """
        remainder_1 = Div (x, period)
        remainder_2 = Floor (remainder_1)
        remainder_3 = Mul (remainder_2, period)
        remainder_a = Sub (x, remainder_3)""",
    "triangles": "triangles_a = Mul (x, mask)",
    "order of time": "order_a = Slice (t, last, before, axis2, backward)",
    "chance": "chance_a = Add (x, noise)",
    "quantised": "quantised_a = Conv <pads = [1, 1, 1, 1]> (x, w3, bias)",
    "sequences": """
        sequences_1 = Concat <axis = 1> (x, noise)
        sequences_a, sequences_b = Split <axis = 1> (sequences_1)""",
    "slopes": """
        slopes_a = PRelu (x, slopes)
        slopes_b = LeakyRelu <alpha = 0.1> (x)""",
}  # fmt: skip
SHARES = 2
"""Compilers that the trials are shared out among."""


def test_each_replacement_is_tried() -> None:
    assert list(TRIALS) == [replacement.name for replacement in REPLACEMENTS]
    assert all(replacement.instead and replacement.price and replacement.reason for replacement in REPLACEMENTS)


@pytest.mark.slow
@pytest.mark.compiler
@pytest.mark.parametrize("share", range(SHARES))
def test_replacements_compile_and_compute_what_they_should(tmp_path: Path, share: int) -> None:
    bodies = list(TRIALS.values())[share::SHARES]
    model = trial(bodies)
    onnx.save(model, tmp_path / "m.onnx")
    names = [value.name for value in model.graph.input]
    made = device_graph(tmp_path / "m.onnx", [DeviceInput(name=name, shape=SHAPES[name]) for name in names])
    onnx.save(made.model, tmp_path / "d.onnx")
    compile_blob(tmp_path / "d.onnx", tmp_path / "d.blob", shaves=6, images=[])
    given = {name: np.random.default_rng(2).normal(size=SHAPES[name]).astype(np.float16) for name in names}
    found = Simulator(read_blob(tmp_path / "d.blob")).run(given)
    expected = run(model, {name: values.astype(np.float32) for name, values in given.items()})
    off = {}
    for name, wanted in expected.items():
        error = np.abs(found[name].astype(np.float64).reshape(wanted.shape) - wanted).max() / np.abs(wanted).max()
        if not error < TOLERANCE:
            off[name] = error
    assert not off


def trial(bodies: list[str]) -> onnx.ModelProto:
    body = "\n".join(bodies)
    words = set(body.replace(",", " ").replace("(", " ").replace(")", " ").split())
    inputs = ", ".join(f"float[{', '.join(map(str, SHAPES[name]))}] {name}" for name in SHAPES if name in words)
    made = [word for word in words if word[-2:] in ("_a", "_b")]
    outputs = ", ".join(f"float {name}" for name in sorted(made))
    constants = {name: values for name, values in CONSTANTS.items() if name in words}
    return graph(body, inputs=inputs, outputs=outputs, opset=13, weights=constants)


def test_what_a_replacement_is_for() -> None:
    def proposed(operator: str, inputs: list[str], rank: int, outputs: int = 1) -> str | None:
        node = onnx.helper.make_node(operator, inputs, [f"y{number}" for number in range(outputs)])
        found = replacement_for(node, rank=rank, constants=["w"])
        return found and found.name

    assert proposed("Conv", ["x", "w"], 4) is None
    assert proposed("Conv", ["x", "computed"], 4) == "dynamic filters"
    assert proposed("Conv", ["x", "w"], 5) == "convolution in 3-D"
    assert proposed("MatMul", ["x", "y"], 4) is None
    assert proposed("MatMul", ["x", "y"], 5) == "products of more than four dimensions"
    assert proposed("MaxPool", ["x"], 4) is None
    assert proposed("MaxPool", ["x"], 4, outputs=2) == "places of maxima"
    assert proposed("Relu", ["x"], 4) is None
    assert replacement_for(onnx.helper.make_node("Clip", ["x"], ["y"]), "HardSwish") is not None
