"""The compiler's own graph, read from what it wrote of the small network, and files that are not as expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from oakpoint.errors import StageMapError
from oakpoint.myriad.format import DataType, Location
from oakpoint.myriad.internal_graph import InternalGraph, internal_graph_from_dot

HEAD = "digraph ie_vpu_model_view {\n"


@pytest.fixture(scope="module")
def text() -> str:
    return (Path(__file__).resolve().parents[2] / "data" / "myriad" / "tiny.dot").read_text()


@pytest.fixture(scope="module")
def graph(text: str) -> InternalGraph:
    return internal_graph_from_dot(text)


def test_stages_come_with_their_layers_and_tensors(graph: InternalGraph) -> None:
    by_name = {stage.name: stage for stage in graph.stages}
    softmax = by_name["probability"]
    assert (softmax.type, softmax.layer_type, softmax.activation) == ("SoftMax", "SoftMax", False)
    (written,) = (graph.data[key] for key in softmax.outputs)
    assert (written.tensor, written.location, written.index, written.is_whole) == (
        "probability", Location.OUTPUT, 1, True,
    )  # fmt: skip
    assert by_name["t3"].activation, "the convolution has its ReLU inside"
    assert sorted(stage.order for stage in graph.stages if stage.key not in graph.hosts and stage.order >= 0) == list(
        range(len([s for s in graph.stages if s.key not in graph.hosts and s.order >= 0]))
    )


def test_a_tensor_has_its_axes_in_the_order_of_the_network(graph: InternalGraph) -> None:
    image = next(data for data in graph.data.values() if data.usage == "Input")
    assert image.layout.axes == "NCHW"
    assert image.layout.dtype is DataType.U8
    assert image.layout.shape == image.tensor_shape


def test_an_injected_stage_has_its_own_tensors_and_leaves_its_host_its_own(graph: InternalGraph) -> None:
    (guest, host), *more = graph.hosts.items()
    assert not more
    stages = {stage.key: stage for stage in graph.stages}
    assert stages[host].type == "MyriadXHwOp"
    assert stages[guest].order == stages[host].order
    assert not set(stages[guest].outputs) & set(stages[host].outputs)
    assert len(stages[host].outputs) == 1


def data(key: str, *, name: str, rows: int, offset: int) -> str:
    """A tensor of 3 by 4 FP16 numbers in each of ``rows`` rows, in DDR."""
    label = (
        f"Data {name}\\lusage = Intermediate\\ldesc = [\\l    type = FP16\\l    dimsOrder = CHW\\l"
        f"    dims = [W : 4, H : {rows}, C : 3]\\l]\\lstrides = [W : 2, H : 8, C : 80]\\l"
        f"dataLocation = BSS\\ldataOffset = {offset}\\l"
    )
    return f'    data_{key} [\n        shape=box\n        label="{label}"\n    ];\n'


def view(child: str, parent: str) -> str:
    label = "DataToDataAllocation\\lmode = ROI\\lorder = ChildWritesToParent\\l"
    return f'    data_{child} -> data_{parent} [\n        style=dotted\n        label="{label}"\n    ];\n'


TENSORS = (
    data("0x1", name="whole", rows=10, offset=64)
    + data("0x2", name="half@soh=2/2", rows=5, offset=104)
    + data("0x3", name="quarter@soh=4/4", rows=2, offset=120)
)


def test_a_view_of_a_view_leads_to_the_tensor_whose_memory_it_lies_in() -> None:
    graph = internal_graph_from_dot(HEAD + TENSORS + view("0x2", "0x1") + view("0x3", "0x2") + "}\n")
    assert graph.root("data_0x3") == graph.root("data_0x2") == graph.root("data_0x1") == "data_0x1"
    assert graph.data["data_0x2"].layout.strides == (80, 8, 2)
    assert graph.data["data_0x2"].offset == 104


def test_a_view_of_itself_is_refused() -> None:
    with pytest.raises(StageMapError, match="is a view of itself"):
        internal_graph_from_dot(HEAD + TENSORS + view("0x2", "0x3") + view("0x3", "0x2") + "}\n")


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (lambda text: "", "not a graph of the compiler"),
        (lambda text: text[:-200], "not a graph of the compiler"),
        (lambda text: text.replace("        style=filled\n", "        style filled\n", 1), "line 5: expected a node"),
        (lambda text: text.replace("StageOutput", "StageElsewhere", 1), "edge 'StageElsewhere', which is not known"),
        (lambda text: text.replace("type = FP16", "type = FP8", 1), "a type, place or shape that is not known"),
        (lambda text: text.replace("dataLocation = CMX", "dataLocation = Moon", 1), "a type, place or shape"),
        (lambda text: text.replace("dataOffset = ", "offset = ", 1), "does not say 'dataOffset'"),
        (lambda text: text.replace("\\ldesc = [", "\\lnothing = [", 1), "has no 'desc'"),
        (lambda text: text.replace("] Stage ", "] Step ", 1), "expected a stage or a tensor"),
        (lambda text: text.replace(" -> stage_", " -> stage_9", 1), "which is not there|lacks the tensors"),
        (lambda text: text.replace("portInd = 0", "portInd = none", 1), "'portInd' is no number"),
    ],
)
def test_what_is_not_as_expected_is_one_clear_error(text: str, broken: object, complaint: str) -> None:
    with pytest.raises(StageMapError, match=complaint):
        internal_graph_from_dot(broken(text))  # type: ignore[operator]
