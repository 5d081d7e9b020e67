"""The simulator on a small blob: its numbers against ONNX Runtime's, its errors, its independence from earlier runs."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from oakpoint.errors import BlobError, NotModelledError, UsageError
from oakpoint.myriad.blob import Blob, Stage
from oakpoint.myriad.simulator import Simulator
from oakpoint.myriad.simulator.convolve import Window, convolve, pool_average, pool_maximum
from oakpoint.myriad.simulator.workers import Workers

FP16_ROUNDING = 3e-3
"""Share of an output's range: some layers, each rounded to 11 bits."""


@pytest.fixture
def image(rng: np.random.Generator) -> NDArray[np.uint8]:
    return rng.integers(0, 256, (1, 1, 32, 48)).astype(np.uint8)


def test_agrees_with_onnxruntime(
    tiny: Blob,
    tiny_model: onnx.ModelProto,
    reference: Callable[..., dict[str, NDArray[np.float32]]],
    image: NDArray[np.uint8],
) -> None:
    outputs = Simulator(tiny).run({"image": image})
    expected = reference(tiny_model, {"image": image})
    assert set(outputs) == set(expected)
    for name, values in expected.items():
        assert outputs[name].dtype == np.float16
        assert outputs[name].shape == values.shape
        error = np.abs(outputs[name].astype(np.float32) - values).max()
        assert error <= FP16_ROUNDING * np.ptp(values), name


def test_a_run_keeps_nothing_of_the_one_before(tiny: Blob, image: NDArray[np.uint8]) -> None:
    simulator = Simulator(tiny)
    first = simulator.run({"image": image})
    simulator.run({"image": 255 - image})
    again = simulator.run({"image": image})
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"picture": np.zeros((1, 1, 32, 48), np.uint8)},
        {"image": np.zeros((1, 1, 48, 32), np.uint8)},
        {"image": np.zeros((1, 1, 32, 48), np.float32)},
    ],
)
def test_inputs_that_do_not_fit(tiny: Blob, inputs: dict[str, NDArray[np.generic]]) -> None:
    with pytest.raises(UsageError, match=r"image"):
        Simulator(tiny).run(inputs)


def test_unknown_stage_type_is_named_with_its_number(tiny: Blob) -> None:
    stages = (*tiny.stages[:-1], dataclasses.replace(tiny.stages[-1], type=999))
    with pytest.raises(BlobError, match=r"stage 7 \(unknown stage type 999\): stage type 999 is not modelled") as error:
        Simulator(dataclasses.replace(tiny, stages=stages))
    assert not isinstance(error.value, NotModelledError), "no compiler writes this number: the file is damaged"


def test_known_but_not_modelled_stage_type_is_named(tiny: Blob) -> None:
    stages = (*tiny.stages[:-1], dataclasses.replace(tiny.stages[-1], type=70))
    with pytest.raises(NotModelledError, match=r"stage 7 \(LstmCell\): stage type 70"):
        Simulator(dataclasses.replace(tiny, stages=stages))


def test_writing_over_the_input_is_an_error(tiny: Blob, tiny_bytes: bytes) -> None:
    data = bytearray(tiny_bytes)
    struct.pack_into("<I", data, tiny.stages[4].file_offset - 12, 0xB7000)
    with pytest.raises(BlobError, match=r"stage 3 \(MyriadXHwOp\): it writes .* over its input"):
        Simulator(Blob.from_bytes(bytes(data)))


def test_getting_in_the_way_of_the_injected_stage_is_an_error(tiny: Blob, tiny_bytes: bytes) -> None:
    data = bytearray(tiny_bytes)
    struct.pack_into("<I", data, tiny.stages[6].file_offset - 12, 0xBB100)
    with pytest.raises(BlobError, match=r"stage 5 .*beside it"):
        Simulator(Blob.from_bytes(bytes(data)))


def test_memory_that_nobody_wrote_shows(tiny: Blob, image: NDArray[np.uint8]) -> None:
    without_first_layer = dataclasses.replace(tiny, stages=(tiny.stages[0], *tiny.stages[2:]))
    outputs = Simulator(without_first_layer).run({"image": image})
    assert all(np.isnan(values).any() for values in outputs.values())


def test_a_batch_is_refused(tiny: Blob) -> None:
    header = dataclasses.replace(tiny.header, batch_size=2)
    with pytest.raises(NotModelledError, match="batch 2"):
        Simulator(dataclasses.replace(tiny, header=header))


def with_first_input(stage: Stage, **changes: Any) -> Stage:
    """The stage with another layout of its first tensor."""
    layout = dataclasses.replace(stage.inputs[0].layout, **changes)
    buffer = dataclasses.replace(stage.inputs[0], layout=layout)
    return dataclasses.replace(stage, buffers=(buffer, *stage.buffers[1:]))


def test_a_tensor_whose_shape_is_known_only_when_running_is_whole_and_not_modelled(tiny: Blob) -> None:
    stages = (with_first_input(tiny.stages[0], dynamic=True), *tiny.stages[1:])
    with pytest.raises(NotModelledError, match=r"stage 0 .*known only when running"):
        Simulator(dataclasses.replace(tiny, stages=stages))


def convolved(
    image: NDArray[np.float16], weights: NDArray[np.float64], window: Window, output: tuple[int, int], threads: int = 1
) -> NDArray[np.float32]:
    result = np.full((len(weights), *output), np.nan, np.float32)

    def finish(rows: slice, values: NDArray[np.float32]) -> None:
        result[:, rows] = values

    convolve(image, weights, window, output, finish, Workers(threads))
    return result


def test_convolution_does_not_depend_on_tiling_or_threads(rng: np.random.Generator) -> None:
    image = rng.standard_normal((64, 40, 50)).astype(np.float16)
    weights = rng.standard_normal((48, 64 * 9)).astype(np.float16).astype(np.float64)
    whole = convolved(image, weights, Window(3, 3, 1, 1, 1, 1), (40, 50))
    tile = convolved(image[:, 9:24, 4:37], weights[5:21], Window(3, 3, 1, 1, 0, 0), (13, 31))
    np.testing.assert_array_equal(tile, whole[5:21, 10:23, 5:36])
    np.testing.assert_array_equal(whole, convolved(image, weights, Window(3, 3, 1, 1, 1, 1), (40, 50), threads=3))


def test_convolution_against_the_definition(rng: np.random.Generator) -> None:
    image = rng.integers(-4, 5, (3, 9, 8)).astype(np.float16)
    kernel = rng.integers(-4, 5, (2, 3, 3, 2)).astype(np.float64)
    values = convolved(image, kernel.reshape(2, -1), Window(3, 2, 2, 1, 1, 1, 1, 2), (5, 8))
    padded = np.zeros((3, 20, 20))
    padded[:, 1:10, 1:9] = image
    for y, x in np.ndindex(5, 8):
        patch = padded[:, 2 * y : 2 * y + 3, x : x + 3 : 2]
        np.testing.assert_array_equal(values[:, y, x], (kernel * patch).sum(axis=(1, 2, 3)))


def test_an_error_in_a_thread_arrives() -> None:
    def fail(piece: int) -> None:
        raise BlobError(f"piece {piece}")

    with pytest.raises(BlobError, match="piece 0"):
        Workers(2).run(fail, [0, 1])
    with pytest.raises(UsageError, match="at least 1"):
        Workers(0)


def test_pooling_borders() -> None:
    image = -np.ones((1, 4, 4), np.float16)
    window = Window(3, 3, 2, 2, 1, 1)
    assert (pool_maximum(image, window, (2, 2)) == -1).all()
    np.testing.assert_allclose(pool_average(image, window, (2, 2), count_border=False), -1)
    np.testing.assert_allclose(pool_average(image, window, (2, 2), count_border=True)[0, 0, 0], -4 / 9, rtol=1e-6)


def test_a_pooling_over_a_long_axis(rng: np.random.Generator) -> None:
    """The maximum over 8400 anchors is compiled to one window of their length."""
    image = rng.standard_normal((1, 8400, 1)).astype(np.float16)
    assert pool_maximum(image, Window(8400, 1, 1, 1, 0, 0), (1, 1)) == image.max()
    with pytest.raises(BlobError, match="out of range"):
        Window(1, 70_000, 1, 1, 0, 0)
    with pytest.raises(BlobError, match="out of range"):
        Window(3, 3, 1, 1, 2000, 0)
    with pytest.raises(BlobError, match="an output of"):
        pool_maximum(image[:, :2], Window(8400, 1, 1, 1, 0, 0), (1, 1))
