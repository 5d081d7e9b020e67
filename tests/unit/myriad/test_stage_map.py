"""The stage map of the small blob: every stage named, every tensor found where the network's values are."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from oakpoint.convert.blob_from_onnx import network_of
from oakpoint.errors import StageMapError
from oakpoint.myriad.blob import Blob
from oakpoint.myriad.format import Location
from oakpoint.myriad.internal_graph import internal_graph_from_dot
from oakpoint.myriad.mapping import map_stages
from oakpoint.myriad.network import Network, NetworkLayer
from oakpoint.myriad.simulator import Simulator
from oakpoint.myriad.simulator.memory import Memory
from oakpoint.myriad.stage_map import NEVER, StageMap, check_stage_map, same_stages
from oakpoint.myriad.stage_map_file import stage_map_from_json, stage_map_json

DOT = Path(__file__).resolve().parents[2] / "data" / "myriad" / "tiny.dot"


@pytest.fixture(scope="module")
def mapped(tiny: Blob, tiny_model: onnx.ModelProto) -> StageMap:
    return map_stages(internal_graph_from_dot(DOT.read_text()), tiny, network_of(tiny_model))


@pytest.fixture(scope="module")
def image(tiny: Blob) -> dict[str, NDArray[np.generic]]:
    random = np.random.default_rng(5)
    return {tensor.name: random.integers(0, 256, tensor.shape, np.uint8) for tensor in tiny.inputs}


def test_every_stage_has_its_layer(mapped: StageMap, tiny: Blob) -> None:
    assert [(stage.index, stage.type) for stage in mapped.stages] == [(s.index, s.name) for s in tiny.all_stages()]
    assert [stage.layer for stage in mapped.stages if not stage.layer] == [""], "the input's conversion alone has none"
    assert mapped.stages[0].reads == ("image",)
    layers = [stage.layer for stage in mapped.stages[1:]]
    assert list(dict.fromkeys(layers)) == ["t3", "t7", "t12", "t20", "t16", "descriptors", "probability"]
    injected = [stage for stage in mapped.stages if stage.injected]
    assert len(injected) == 1
    assert injected[0].index == mapped.stages[injected[0].place - 1].index


def test_of_a_layer_computed_with_the_next_one_only_that_tensor_exists(mapped: StageMap) -> None:
    assert mapped.tensor("t3") is None
    relu = mapped.tensor("t4")
    assert relu is not None
    assert mapped.stages[relu.last_write].layer == "t3"


def test_every_tensor_holds_the_values_of_the_network(
    mapped: StageMap,
    tiny: Blob,
    tiny_model: onnx.ModelProto,
    image: dict[str, NDArray[np.generic]],
    reference: Callable[..., dict[str, NDArray[np.float32]]],
) -> None:
    """Seen when its last writer is done, and again before its last reader begins."""
    inner = [tensor for tensor in mapped.tensors if tensor.last_write != NEVER and tensor.name not in image]
    model = onnx.ModelProto.FromString(tiny_model.SerializeToString())
    known = {output.name for output in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=tensor.name) for tensor in inner if tensor.name not in known)
    expected = reference(model, image)
    seen: list[tuple[str, NDArray[np.float32]]] = []

    def look(place: int, memory: Memory) -> None:
        now = [t for t in inner if place in (t.last_write, t.last_read - 1) and place >= t.last_write]
        seen.extend((tensor.name, memory.view(tensor.buffer).astype(np.float32)) for tensor in now)

    Simulator(tiny, threads=1).run_watched(image, look)
    assert {name for name, _ in seen} == set(expected) == {tensor.name for tensor in inner}
    assert len(inner) >= 6
    for name, values in seen:
        assert values.shape == expected[name].shape
        np.testing.assert_allclose(values, expected[name], rtol=2e-2, atol=1e-2 * np.abs(expected[name]).max())


def test_what_is_written_between_two_stages_is_what_the_next_one_reads(
    mapped: StageMap, tiny: Blob, image: dict[str, NDArray[np.generic]]
) -> None:
    simulator = Simulator(tiny, threads=1)
    relu = mapped.tensor("t13")
    assert relu is not None

    def erase(place: int, memory: Memory) -> None:
        if place == relu.last_write:
            memory.view(relu.buffer)[...] = 0

    before = simulator.run(image)
    erased = simulator.run_watched(image, erase)
    flat = erased["descriptors"].astype(np.float32)
    assert not np.array_equal(before["descriptors"], erased["descriptors"])
    assert np.array_equal(flat, np.broadcast_to(flat[..., :1, :1, :], flat.shape)), "a bias for each channel is left"
    assert all(np.array_equal(before[name], values) for name, values in simulator.run(image).items())


def test_an_error_of_the_one_who_watches_reaches_the_caller(tiny: Blob, image: dict[str, NDArray[np.generic]]) -> None:
    simulator = Simulator(tiny, threads=1)

    def stop(place: int, memory: Memory) -> None:
        raise KeyError(place)

    with pytest.raises(KeyError, match="0"):
        simulator.run_watched(image, stop)
    assert simulator.run(image), "it can be run again"


def test_it_is_written_and_read_again(mapped: StageMap, tiny: Blob) -> None:
    text = stage_map_json(mapped)
    assert stage_map_from_json(text, tiny) == mapped
    assert "0x" not in text, "no address of the compiler's own memory"
    plain = json.loads(text)
    assert plain["tensors"][0]["memory"] == "INPUT"
    assert len(plain["stages"]) == len(mapped.stages)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda file: file["stages"].pop(), "of another blob: this one has"),
        (lambda file: file["stages"][1].update(type="Copy"), "of another blob: this one has"),
        (lambda file: file["tensors"][3].update(offset=1 << 30), "leaves its memory of"),
        (lambda file: file["tensors"][3].update(offset=-2), "lies before its memory"),
        (lambda file: file["tensors"][3].update(last_read=999), "is of stages that it lacks"),
        (lambda file: file["tensors"][3]["shape"].pop(), "has the shape"),
        (lambda file: file["tensors"][3].update(memory="MOON"), r"tensors\.3\.memory"),
        (lambda file: file.update(format=2), "not a stage map: format"),
        (lambda file: file.pop("stages"), "not a stage map: stages"),
    ],
)
def test_a_file_that_does_not_fit_its_blob_is_refused(
    mapped: StageMap, tiny: Blob, change: Callable[[dict[str, object]], object], complaint: str
) -> None:
    file = json.loads(stage_map_json(mapped))
    change(file)
    with pytest.raises(StageMapError, match=complaint):
        stage_map_from_json(json.dumps(file), tiny)


def test_what_is_no_json_is_refused(tiny: Blob) -> None:
    with pytest.raises(StageMapError, match="not a stage map: the file"):
        stage_map_from_json("{", tiny)


@pytest.mark.parametrize(
    ("replaced", "by", "complaint"),
    [
        ("type = SoftMax\\lorigLayer", "type = Tanh\\lorigLayer", "has a Tanh there, 'probability'"),
        ("[0 / 0] Stage", "[77 / 0] Stage", "has no stage 0, which is a Convert in the blob"),
        ("dataLocation = CMX\\ldataOffset = ", "dataLocation = CMX\\ldataOffset = 1", "has no buffer where"),
    ],
)
def test_a_graph_that_is_not_of_the_blob_gives_no_map(tiny: Blob, replaced: str, by: str, complaint: str) -> None:
    text = DOT.read_text()
    assert replaced in text
    with pytest.raises(StageMapError, match=complaint):
        map_stages(internal_graph_from_dot(text.replace(replaced, by)), tiny, Network())


def test_a_graph_without_the_injected_stage_gives_no_map(tiny: Blob) -> None:
    graph = internal_graph_from_dot(DOT.read_text())
    with pytest.raises(StageMapError, match="not by both"):
        map_stages(
            replace(graph, hosts={}, stages=tuple(s for s in graph.stages if s.key not in graph.hosts)), tiny, Network()
        )


def test_blobs_are_the_same_by_their_stages_and_memory(tiny: Blob, tiny_bytes: bytes) -> None:
    constants = tiny.header.constant_section
    changed = bytearray(tiny_bytes)
    changed[constants] ^= 1  # a weight
    assert same_stages(tiny, Blob.from_bytes(bytes(changed)))
    shorter = replace(tiny, stages=tiny.stages[:-1], data=b"")
    assert not same_stages(tiny, shorter)
    with pytest.raises(StageMapError, match="of another blob"):
        check_stage_map(StageMap((), ()), tiny)


def test_names_of_a_network() -> None:
    network = Network([
        NetworkLayer("split", "Split", ("x",), ("a", "b")),
        NetworkLayer("conv", "Conv", ("a",), ("c",)),
        NetworkLayer("relu", "Relu", ("c",), ("d",)),
        NetworkLayer("sum", "Add", ("d", "b"), ("e",)),
        NetworkLayer("other", "Relu", ("e",), ("f",)),
        NetworkLayer("", "Exp", ("e", ""), ("g",)),
    ])  # fmt: skip
    assert network.name_of("b.0") == "a"
    assert network.name_of("c") == "c"
    assert network.place("b.1") == network.place("split") == 0
    assert network.place("elsewhere") is network.place("") is None
    assert network.after("c") == 0b111100
    assert network.after("elsewhere") == 0
    assert network.activated("c") == "d"
    assert network.activated("e") == "e", "something else reads it as well"
    assert network.activated("d") == "d"


def test_places_of_memories(mapped: StageMap) -> None:
    places = {tensor.name: tensor.buffer.location for tensor in mapped.tensors if not tensor.copy}
    assert places["image"] is Location.INPUT
    assert places["probability"] is places["descriptors"] is Location.OUTPUT
    assert places["t13"] in (Location.CMX, Location.BSS)
