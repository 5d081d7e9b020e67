"""What SHAVE stages calculate: counted by hand, and the time that they cannot do without."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oakpoint.myriad.blob import Blob, Stage
from oakpoint.myriad.cost import estimate
from oakpoint.myriad.format import DataType, Location, StageType
from oakpoint.myriad.parameters import ConvParameters, GemmParameters, NoParameters, Parameters, PoolParameters
from oakpoint.myriad.roles import Roles
from oakpoint.myriad.shave_cost import LANES, least_shave_ms, shave_macs, shave_operations
from oakpoint.myriad.tensors import Buffer, Layout


def buffer(*shape: int) -> Buffer:
    strides, inner = [], 2
    for count in reversed(shape):
        strides.insert(0, inner)
        inner *= count
    layout = Layout(DataType.FP16, "NCDHW"[-len(shape) :] if len(shape) != 4 else "NCHW", shape, tuple(strides))
    return Buffer(layout, Location.BSS, 0)


def stage(kind: StageType, parameters: Parameters, inputs: list[Buffer], output: Buffer, shaves: int = 4) -> Stage:
    buffers = (*inputs, output)
    roles = Roles(tuple(range(len(inputs))), (len(inputs),))
    return Stage(0, kind, shaves, parameters, buffers, roles, (), None, 0)


@pytest.mark.parametrize(
    ("first", "second", "transposes"),
    [((1, 2, 5, 7), (1, 2, 7, 3), (0, 0)), ((1, 2, 7, 5), (1, 2, 7, 3), (1, 0)), ((1, 2, 5, 7), (1, 2, 3, 7), (0, 1))],
)
def test_products_of_a_matrix_product_whichever_is_transposed(
    first: tuple[int, ...], second: tuple[int, ...], transposes: tuple[int, int]
) -> None:
    gemm = stage(
        StageType.GEMM, GemmParameters(1.0, 0.0, 0, *transposes), [buffer(*first), buffer(*second)], buffer(1, 2, 5, 3)
    )
    assert shave_macs(gemm) == shave_operations(gemm) == 2 * 5 * 3 * 7


def test_operations_of_other_stages() -> None:
    pool = stage(StageType.MAX_POOL, PoolParameters(3, 2, 1, 1, 0, 0, 0), [buffer(1, 4, 6, 8)], buffer(1, 4, 6, 8))
    assert shave_operations(pool) == 4 * 6 * 8 * 3 * 2
    reduced = stage(StageType.REDUCE_MEAN, NoParameters(), [buffer(1, 4, 6, 8)], buffer(1, 4, 1, 1))
    assert shave_operations(reduced) == 4 * 6 * 8, "it has to read all that it sums"
    conv = ConvParameters(3, 3, 1, 1, 1, 1, 2, 2)
    dilated = stage(StageType.CONV, conv, [buffer(1, 4, 6, 8), buffer(5, 4, 3, 3)], buffer(1, 5, 6, 8))
    assert shave_macs(dilated) == 6 * 8 * 5 * 4 * 9
    copy = stage(StageType.COPY, NoParameters(), [buffer(1, 4, 6, 8)], buffer(1, 4, 6, 8))
    assert shave_operations(copy) == 0, "a transfer, which no SHAVE does"


def test_the_least_time_by_hand() -> None:
    """1536 elements on 4 SHAVEs of eight lanes: 48 cycles, at 700 MHz."""
    sigmoid = stage(StageType.SIGMOID, NoParameters(), [buffer(1, 32, 6, 8)], buffer(1, 32, 6, 8))
    assert LANES == 8
    assert least_shave_ms(sigmoid, 16, 700.0) == pytest.approx(48 / 700e3)
    assert least_shave_ms(replace(sigmoid, shaves=0), 16, 700.0) == pytest.approx(12 / 700e3)


def test_it_is_part_of_the_estimate(tiny: Blob) -> None:
    costs = estimate(tiny)
    alone = [cost for cost in costs.stages if cost.unit == "SHAVE"]
    assert costs.shave_stages == len(alone) == 2
    assert costs.shave_ms == pytest.approx(sum(cost.shave_ms for cost in alone))
    assert all(cost.shave_ms > 0 for cost in alone)
    written = {cost.index: cost.elements for cost in costs.stages}
    assert costs.shave_share == pytest.approx((written[0] + written[7]) / sum(written.values()))
    beside = costs.stages[5]  # a permutation inside a hardware stage
    assert beside.shave_ms > 0
    assert beside.total_ms == pytest.approx(max(beside.engine_ms, beside.shave_ms) + beside.memory_ms + beside.fixed_ms)
