"""Mean and scale on the device itself: compiled and run by the simulator, many first layers to a blob."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from image_stems import SIZE, Stem, model_of, run

from oakpoint.convert.device_graph import DeviceInput, device_graph
from oakpoint.myriad.blob import read_blob
from oakpoint.myriad.compiler import compile_blob
from oakpoint.myriad.simulator import Simulator

PAD = {"pads": [1, 1, 1, 1]}
_rng = np.random.default_rng(11)


def weights(*shape: int) -> np.ndarray:
    return _rng.normal(0, 0.4, shape).astype(np.float32)


def channels(*values: float) -> np.ndarray:
    return np.array(values, np.float32).reshape(1, -1, 1, 1)


COLOUR = Stem(
    [
        ("Conv", ["image", "w", "b"], "padded", {**PAD, "strides": [2, 2]}),
        ("Conv", ["image", "w", "b"], "unpadded", {}),
        ("Conv", ["image", "dw"], "depthwise", {"group": 3, **PAD}),
        ("ConvTranspose", ["image", "dc"], "deconvolution", {"strides": [2, 2]}),
        ("Sub", ["image", "m"], "s1", {}),
        ("Div", ["s1", "s"], "s2", {}),
        ("Conv", ["s2", "w"], "standardised", PAD),
        ("Sigmoid", ["image"], "g1", {}),
        ("Conv", ["g1", "w"], "sigmoid", PAD),
        ("Gather", ["image", "bgr"], "c1", {"axis": 1}),
        ("Conv", ["c1", "w"], "swapped", {}),
    ],
    {
        "w": weights(4, 3, 3, 3), "b": weights(4), "dw": weights(3, 1, 3, 3), "dc": weights(3, 4, 3, 3),
        "m": channels(0.4, 0.5, 0.6), "s": channels(0.2, 0.3, 0.4), "bgr": np.array([2, 1, 0]),
    },
    outputs=("padded", "unpadded", "depthwise", "deconvolution", "standardised", "sigmoid", "swapped"),
)  # fmt: skip
GREY = Stem(
    [
        ("Expand", ["image", "to"], "r1", {}),
        ("Sub", ["r1", "m"], "r2", {}),
        ("Div", ["r2", "s"], "r3", {}),
        ("Conv", ["r3", "w3"], "repeated", PAD),
        ("InstanceNormalization", ["image", "one", "zero"], "i1", {"epsilon": 1e-7}),
        ("Conv", ["i1", "w"], "instance", PAD),
        ("AveragePool", ["image"], "p1", {"kernel_shape": [4, 4], "strides": [4, 4]}),
        ("Conv", ["p1", "w"], "pooled", {}),
        ("Pad", ["image", "pads"], "z1", {"mode": "reflect"}),
        ("Conv", ["z1", "w"], "mirrored", {}),
        ("Concat", ["image", "xy"], "x1", {"axis": 1}),
        ("Conv", ["x1", "w3"], "coordinates", PAD),
    ],
    {
        "to": np.array([1, 3, 1, 1]), "m": channels(0.485, 0.456, 0.406), "s": channels(0.229, 0.224, 0.225),
        "w3": weights(4, 3, 3, 3), "w": weights(4, 1, 3, 3), "one": np.ones(1, np.float32),
        "zero": np.zeros(1, np.float32), "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "xy": weights(1, 2, SIZE[1], SIZE[0]),
    },
    outputs=("repeated", "instance", "pooled", "mirrored", "coordinates"),
    channels=1,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.compiler
@pytest.mark.parametrize(
    ("stem", "numbers"),
    [
        (COLOUR, {"mean": (123.675, 116.28, 103.53), "scale": (1 / 58.395, 1 / 57.12, 1 / 57.375)}),
        (COLOUR, {"mean": 127.5, "scale": 1 / 127.5}),
        (GREY, {"mean": 114.0, "scale": 0.0175}),
        (GREY, {"mean": 0.0, "scale": 1 / 255}),
    ],
)
def test_the_blob_gives_what_the_host_gives_at_the_border_as_inside(
    tmp_path: Path, stem: Stem, numbers: dict[str, Any]
) -> None:
    onnx.save(model_of(stem), tmp_path / "host.onnx")
    given = DeviceInput(name="image", shape=(1, stem.channels, SIZE[1], SIZE[0]), **numbers)
    onnx.save(device_graph(tmp_path / "host.onnx", [given]).model, tmp_path / "device.onnx")
    compile_blob(tmp_path / "device.onnx", tmp_path / "model.blob", shaves=4)
    levels = np.random.default_rng(2).integers(0, 256, (1, stem.channels, SIZE[1], SIZE[0]), np.uint8)
    levels[..., :5, :] = 255
    levels[..., 11:, :8] = 0
    mean, scale = (np.reshape(numbers[name], (1, -1, 1, 1)) for name in ("mean", "scale"))
    expected = run(model_of(stem), ((levels - mean) * scale).astype(np.float32))
    got = Simulator(read_blob(tmp_path / "model.blob")).run({"image": levels})
    for name in stem.outputs:
        error = np.abs(got[name].astype(np.float64) - expected[name]).max() / np.abs(expected[name]).max()
        assert error < 2e-3, name  # FP16: the level less its mean, the weight, the sum, each rounded at 2^-11
