"""What a change of a layer saves, from costs and shapes that are known, and whose layer a stage is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from oakpoint.convert.device_graph import DeviceGraph
from oakpoint.layers.costs.costs import ADDED, LayerCost, NetworkCosts, _Nodes
from oakpoint.layers.costs.savings import kinds, replacements
from oakpoint.layers.names import Layer
from oakpoint.myriad.blob import Blob, Stage, read_blob
from oakpoint.myriad.cost import CLOCK, MEMORY, STAGE, CostEstimate, StageCost, estimate
from oakpoint.myriad.format import DataType, Location, StageType
from oakpoint.myriad.parameters import GemmParameters
from oakpoint.myriad.roles import Roles
from oakpoint.myriad.stage_map import MappedStage, StageMap
from oakpoint.myriad.tensors import Buffer, Layout


def graph() -> DeviceGraph:
    """A fine convolution, a wide one on a coarse map, an activation, a softmax."""
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["fine"], pads=[1] * 4),
        helper.make_node("Conv", ["fine", "w2"], ["coarse"], pads=[1] * 4, strides=[8, 8]),
        helper.make_node("Elu", ["coarse"], ["activated"]),
        helper.make_node("Softmax", ["activated"], ["out"], axis=1),
    ]
    weights = [
        numpy_helper.from_array(np.zeros((64, 3, 3, 3), np.float16), "w1"),
        numpy_helper.from_array(np.zeros((128, 64, 3, 3), np.float16), "w2"),
    ]
    values = [helper.make_tensor_value_info("image", TensorProto.FLOAT16, (1, 3, 64, 96))]
    outputs = [helper.make_tensor_value_info("out", TensorProto.FLOAT16, (1, 128, 8, 12))]
    model = helper.make_model(
        helper.make_graph(nodes, "g", values, outputs, weights), opset_imports=[helper.make_opsetid("", 13)]
    )
    return DeviceGraph(model=model, rewrites=())


def stage(index: int, name: str, unit: str, *, engine: float = 0.0, ddr: int = 0, macs: int = 0) -> StageCost:
    return StageCost(
        index, name, unit, 0.0, int(engine * CLOCK.value * 1e3), macs, ddr, 0, 0, 0, 100,
        engine_ms=engine, memory_ms=ddr / 1e6 * MEMORY.value, fixed_ms=STAGE.value, shave_ms=0.0,
    )  # fmt: skip


def cost(name: str, operator: str, nodes: tuple[int, ...], stages: list[StageCost]) -> LayerCost:
    return LayerCost(
        layer=Layer(name, operator),
        nodes=nodes,
        stages=tuple(one.index for one in stages),
        engine_ms=sum(one.engine_ms for one in stages),
        shave_ms=sum(one.shave_ms for one in stages),
        memory_ms=sum(one.memory_ms for one in stages),
        fixed_ms=sum(one.fixed_ms for one in stages),
        macs=sum(one.macs for one in stages),
        ddr_bytes=sum(one.ddr_bytes for one in stages),
        constant_bytes=0,
    )


@pytest.fixture
def tiny(request: pytest.FixtureRequest) -> Blob:
    return read_blob(request.path.parents[2] / "data" / "myriad" / "tiny.blob")


def costs_of(blob: Blob, layers: list[LayerCost], stages: list[StageCost]) -> NetworkCosts:
    owners = tuple(next(place for place, layer in enumerate(layers) if one.index in layer.stages) for one in stages)
    return NetworkCosts(blob, CostEstimate(tuple(stages), 6), graph(), tuple(layers), owners, 0)


@pytest.fixture
def costs(tiny: Blob) -> NetworkCosts:
    fine = [stage(i, "MyriadXHwOp", "NCE", engine=1.0, ddr=1_000_000, macs=10) for i in range(4)]
    coarse = [stage(4, "MyriadXHwOp", "NCE", engine=2.0, macs=10)]
    elu, softmax = [stage(5, "Elu", "SHAVE")], [stage(6, "Softmax", "SHAVE")]
    layers = [
        cost("fine", "Conv", (0,), fine),
        cost("coarse", "Conv", (1,), coarse),
        cost("activated", "Elu", (2,), elu),
        cost("out", "Softmax", (3,), softmax),
    ]
    return costs_of(tiny, layers, [*fine, *coarse, *elu, *softmax])


def test_a_fine_map_at_half_resolution_costs_a_quarter(costs: NetworkCosts) -> None:
    first = replacements(costs)[0]
    assert first.cost.layer.name == "fine"
    assert "48x32 instead of 96x64" in first.change
    assert first.then_ms == pytest.approx(4.0 / 4 + STAGE.value), "what is left of it fits into CMX"
    assert first.saved_ms == pytest.approx(first.cost.total_ms - first.then_ms)


def test_what_does_not_fit_into_cmx_keeps_a_quarter_of_its_traffic(costs: NetworkCosts) -> None:
    small = replace(costs.blob, header=replace(costs.blob.header, cmx_slices=1))
    first = replacements(replace(costs, blob=small))[0]
    assert first.then_ms == pytest.approx(4.0 / 4 + 4.0 * MEMORY.value / 4 + STAGE.value)


def test_a_wide_layer_with_half_its_channels_costs_what_the_engine_says(costs: NetworkCosts) -> None:
    """128 outputs of 64 inputs: 2 descriptors of 155 cycles or one of 293; half of them 32 to 64, 83."""
    second = replacements(costs)[1]
    assert second.cost.layer.name == "coarse"
    assert "32 to 64 instead of 64 to 128: 83 cycles of the engine for each pixel instead of 293" in second.change
    assert second.then_ms == pytest.approx(2.0 * 83 / 293 + STAGE.value)


def test_an_activation_and_a_last_softmax_need_no_stage(costs: NetworkCosts) -> None:
    found = {one.cost.layer.name: one for one in replacements(costs, 9)}
    assert "ReLU" in found["activated"].change
    assert found["activated"].then_ms == pytest.approx(0.0)
    assert "leave it to the host" in found["out"].change


def test_a_softmax_in_the_middle_stays(costs: NetworkCosts) -> None:
    later = stage(7, "MyriadXHwOp", "NCE", engine=0.1, macs=5)
    layers = [*costs.layers, cost("later", "Conv", (), [later])]
    longer = costs_of(costs.blob, layers, [*costs.estimate.stages, later])
    assert "out" not in {one.cost.layer.name for one in replacements(longer, 9)}


def test_the_most_saving_come_first_and_no_more_than_asked_for(costs: NetworkCosts) -> None:
    assert [one.cost.layer.name for one in replacements(costs, 2)] == ["fine", "coarse"]
    saved = [one.saved_ms for one in replacements(costs, 9)]
    assert saved == sorted(saved, reverse=True)


def test_one_change_to_many_layers_is_summed(costs: NetworkCosts) -> None:
    more = [stage(7 + place, "Sigmoid", "SHAVE") for place in range(3)]
    layers = [*costs.layers, *(cost(f"s{one.index}", "Sigmoid", (), [one]) for one in more)]
    (kind,) = kinds(costs_of(costs.blob, layers, [*costs.estimate.stages, *more]))
    assert (kind.layers, kind.stages) == (4, 4), "with the ELU"
    assert kind.saved_ms == pytest.approx(4 * STAGE.value)


def test_copies_of_tiles_are_told_apart_from_copies_alone(costs: NetworkCosts) -> None:
    tiled = [
        cost(
            f"tiled {place}",
            "Conv",
            (),
            [stage(7 + 2 * place, "MyriadXHwOp", "NCE"), stage(8 + 2 * place, "Copy", "DMA")],
        )
        for place in range(2)
    ]
    alone = [cost(f"joined {place}", "Concat", (), [stage(11 + place, "Copy", "DMA")]) for place in range(2)]
    stages = [
        stage(7 + place, "Copy" if place % 2 else "MyriadXHwOp", "DMA" if place % 2 else "NCE") for place in range(4)
    ]
    stages += [stage(11 + place, "Copy", "DMA") for place in range(2)]
    found = kinds(costs_of(costs.blob, [*costs.layers, *tiled, *alone], [*costs.estimate.stages, *stages]))
    assert sorted((kind.change.partition(":")[0], kind.layers) for kind in found) == [
        ("leave it out", 2),
        ("maps that fit into CMX, smaller or of fewer channels, or more shaves", 2),
    ]


def test_a_matrix_product_becomes_a_convolution_of_the_engine(compiled_product: NetworkCosts) -> None:
    (one,) = replacements(compiled_product)
    assert "a 1x1 convolution: the engine takes its 8.4 M multiply-accumulates" in one.change
    work = compiled_product.estimate.stages[0]
    cycles = 64 * 512  # in mode 1x256, all 256 outputs of one input at once
    assert one.then_ms == pytest.approx(cycles / (CLOCK.value * 1e3) + work.memory_ms + work.fixed_ms)


@pytest.fixture
def compiled_product(tiny: Blob) -> NetworkCosts:
    """A blob whose one stage multiplies 64x512 by 512x256."""

    def matrix(rows: int, columns: int) -> Buffer:
        layout = Layout(DataType.FP16, "NCHW", (1, 1, rows, columns), (rows * columns * 2,) * 2 + (columns * 2, 2))
        return Buffer(layout, Location.CMX, 0)

    buffers = (matrix(64, 512), matrix(512, 256), matrix(64, 256))
    gemm = Stage(0, StageType.GEMM, 6, GemmParameters(1, 0, 0, 0, 0), buffers, Roles((0, 1), (2,)), (), None, 0)
    blob = replace(tiny, stages=(gemm,))
    found = estimate(blob)
    return NetworkCosts(blob, found, graph(), (cost("product", "MatMul", (), list(found.stages)),), (0,), 0)


def mapped(*stages: dict[str, Any]) -> StageMap:
    usual: dict[str, Any] = {"injected": False, "type": "Copy", "name": "", "layer_type": "", "tile": ""}
    usual |= {"layer": "", "reads": (), "writes": ()}
    return StageMap(tuple(MappedStage(place=i, index=i, **(usual | one)) for i, one in enumerate(stages)), ())


def test_a_stage_under_a_name_of_the_compilers_is_of_the_layer_whose_tensor_it_writes() -> None:
    nodes = graph().model.graph.node
    found = _Nodes(
        nodes,
        mapped(
            {"type": "Convert"},
            {"layer": "fine"},
            {"layer": "Multiply_77", "writes": ("coarse",)},
            {"layer": "Multiply_78", "reads": ("coarse",)},
            {"layer": "Multiply_79"},
            {"layer": "fine", "injected": True},
        ),
    ).of_hosts()
    assert found == [None, 0, 1, 2, 2], "and of the one that reads what it reads, and of the one before"
    assert ADDED.shown == "(conversion of inputs)"


def test_graph_is_valid() -> None:
    onnx.checker.check_model(graph().model)
