"""The table of operators that the compiler takes, against the compiler: one graph for each."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import graph

from oakpoint.convert.compatibility import REFUSED, TAKEN
from oakpoint.errors import CompilerError
from oakpoint.myriad.compiler import compile_blob

RNG = np.random.default_rng(0)


def half(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float16)


CONSTANTS = {
    "c": half(8),
    "s": np.abs(half(8)) + np.float16(1),
    "w": half(4, 8, 3, 3),
    "wt": half(8, 4, 2, 2),
    "m": half(10, 7),
    "slopes": half(8, 1, 1),
    "low": np.array(-1, np.float16),
    "high": np.array(6, np.float16),
    "axes": np.array([2, 3]),
    "one": np.array([1]),
    "two": np.array([2]),
    "five": np.array([5]),
    "three": np.array([3]),
    "parts": np.array([3, 5]),
    "shape": np.array([1, 4, 12, 10]),
    "larger": np.array([1, 8, 6, 10]),
    "times": np.array([1, 1, 2, 2]),
    "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
    "scales": np.array([1, 1, 2, 2], np.float32),
    "no": np.zeros(0, np.float16),
    "chosen": np.array([2, 0, 1]),
    "places": np.zeros((1, 8, 6, 10), np.int64),
    "pairs": np.zeros((3, 2), np.int64),
    "put": half(1, 8, 6, 10),
    "depth": np.array(8),
    "values": np.array([0, 1], np.float16),
    "rois": np.array([[0, 0, 3, 3]], np.float16),
    "image": np.array([0]),
}

ONE_BY_ONE = (
    "Ceil", "Elu", "Erf", "Exp", "Floor", "Hardmax", "Identity", "LeakyRelu", "Log", "LogSoftmax", "LpNormalization",
    "Neg", "Reciprocal", "Relu", "Round", "Shrink", "Sigmoid", "Softmax", "Softplus", "Sqrt", "Tanh",
    "ThresholdedRelu", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "Flatten", "Dropout", "ReduceL2",
    "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "ReduceSumSquare",
)  # fmt: skip

BODIES = {
    **{name: f"y = {name} (x)" for name in ONE_BY_ONE},
    **{name: f"y = {name} (x, z)" for name in ("Add", "Div", "Max", "Mean", "Min", "Mul", "Pow", "Sub", "Sum")},
    **{name: f"b = {name} (x, z)\n y = Cast <to = 10> (b)" for name in ("Equal", "Greater", "Less")},
    "And": "a = Greater (x, z)\n b = Less (x, high)\n d = And (a, b)\n y = Cast <to = 10> (d)",
    "Not": "a = Greater (x, z)\n d = Not (a)\n y = Cast <to = 10> (d)",
    "Where": "a = Greater (x, z)\n y = Where (a, x, z)",
    "Cast": "a = Cast <to = 6> (x)\n y = Cast <to = 10> (a)",
    "Clip": "y = Clip (x, low, high)",
    "PRelu": "y = PRelu (x, slopes)",
    "AveragePool": "y = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (x)",
    "MaxPool": "y = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)",
    "BatchNormalization": "y = BatchNormalization (x, c, c, c, s)",
    "InstanceNormalization": "y = InstanceNormalization (x, c, c)",
    "LRN": "y = LRN <size = 3> (x)",
    "Conv": "y = Conv <pads = [1, 1, 1, 1]> (x, w)",
    "ConvTranspose": "y = ConvTranspose <strides = [2, 2]> (x, wt)",
    "Gemm": "r = ReduceMean <axes = [1, 2], keepdims = 0> (x)\n y = Gemm (r, m)",
    "MatMul": "y = MatMul (x, m)",
    "RoiAlign": "y = RoiAlign <output_height = 2, output_width = 2> (x, rois, image)",
    "ArgMax": "a = ArgMax <axis = 1> (x)\n y = Cast <to = 10> (a)",
    "ArgMin": "a = ArgMin <axis = 1> (x)\n y = Cast <to = 10> (a)",
    "TopK": "y, i = TopK <axis = 1> (x, three)",
    "Concat": "y = Concat <axis = 1> (x, z)",
    "Constant": "k = Constant <value: tensor = float16[1] {15360}> ()\n y = Mul (x, k)",
    "ConstantOfShape": "q = Shape (x)\n k = ConstantOfShape <value: tensor = float16[1] {15360}> (q)\n y = Add (x, k)",
    "Shape": "q = Shape (x)\n y = Reshape (x, q)",
    "Size": "q = Size (x)\n k = Cast <to = 10> (q)\n y = Add (x, k)",
    "DepthToSpace": "y = DepthToSpace <blocksize = 2> (x)",
    "SpaceToDepth": "y = SpaceToDepth <blocksize = 2> (x)",
    "Expand": "r = GlobalAveragePool (x)\n y = Expand (r, larger)",
    "Gather": "y = Gather <axis = 1> (x, chosen)",
    "GatherElements": "y = GatherElements <axis = 1> (x, places)",
    "GatherND": "y = GatherND (x, pairs)",
    "OneHot": "a = ArgMax <axis = 1, keepdims = 0> (x)\n y = OneHot (a, depth, values)",
    "Pad": "y = Pad (x, pads, low)",
    "Reshape": "y = Reshape (x, shape)",
    "Resize": 'y = Resize <mode = "linear"> (x, no, scales)',
    "ScatterElements": "y = ScatterElements <axis = 1> (x, places, put)",
    "Slice": "y = Slice (x, one, five, one, two)",
    "Split": "y, b = Split <axis = 1> (x, parts)",
    "Squeeze": "r = ReduceMean <axes = [1]> (x)\n y = Squeeze (r, one)",
    "Unsqueeze": "y = Unsqueeze (x, two)",
    "Tile": "y = Tile (x, times)",
    "Transpose": "y = Transpose <perm = [0, 2, 3, 1]> (x)",
    "Upsample": 'y = Resize <mode = "nearest"> (x, no, scales)',
    # those that are refused
    **{name: f"y = {name} (x)" for name in ("Acos", "Asin", "Atan", "Cos", "Sin", "Tan", "Acosh", "Asinh")},
    **{name: f"y = {name} (x)" for name in ("Sinh", "Cosh", "Atanh")},
    "CumSum": "y = CumSum (x, axis1)",
    "Einsum": 'y = Einsum <equation = "bcij,bckj->bcik"> (x, z)',
    "LpPool": "y = LpPool <kernel_shape = [2, 2]> (x)",
    "Mod": "y = Mod <fmod = 1> (x, z)",
    "ReduceProd": "y = ReduceProd (x)",
    "ScatterND": "y = ScatterND (x, first, put)",
}  # fmt: skip


def compiled(body: str, folder: Path) -> str | None:
    """None, or why the compiler refuses a graph."""
    words = set(re.findall(r"\w+", body))
    used = {name: array for name, array in CONSTANTS.items() if name in words}
    used |= {"axis1": np.array(1)} if "axis1" in body else {}
    used |= {"first": np.zeros((1, 1), np.int64)} if "first" in body else {}
    inputs = "float16[1, 8, 6, 10] x" + (", float16[1, 8, 6, 10] z" if "z)" in body or "z," in body else "")
    model = graph(body, inputs=inputs, outputs="float16 y", opset=13, weights=used, ir_version=7)
    folder.mkdir()
    onnx.save(model, folder / "m.onnx")
    try:
        compile_blob(folder / "m.onnx", folder / "m.blob", shaves=4, input_type="FP16")
    except CompilerError as error:
        return str(error)
    return None


def test_every_operator_of_the_table_has_a_graph() -> None:
    assert BODIES.keys() >= TAKEN


@pytest.mark.slow
@pytest.mark.compiler
def test_the_table_is_what_the_compiler_does(tmp_path: Path) -> None:
    names = [name for name in BODIES if name in TAKEN or name in REFUSED]
    with ThreadPoolExecutor(4) as pool:  # each waits some four seconds while it looks for devices
        reasons = dict(zip(names, pool.map(lambda name: compiled(BODIES[name], tmp_path / name), names), strict=True))
    assert {name: reason for name, reason in reasons.items() if reason and name in TAKEN} == {}
    assert [name for name, reason in reasons.items() if not reason and name in REFUSED] == []
