"""Where networks are cut: against all possible cuts of small ones, and on networks made for it."""

from __future__ import annotations

import itertools
from collections.abc import Collection

import numpy as np
import onnx
import pytest
from graphs import graph
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from oakpoint.convert.graph_edit import names_read
from oakpoint.convert.split.cut import WORK_PER_BYTE, Cut, cheapest_cut, cut_at, cut_behind, from_input, usb_bytes
from oakpoint.convert.split.parts import Parts, shape_of
from oakpoint.convert.split.work import work_of
from oakpoint.errors import ConversionError

RNG = np.random.default_rng(4)
CONVOLUTION = "Conv <pads = [1, 1, 1, 1]>"


def parts_of(model: onnx.ModelProto) -> Parts:
    return Parts(model)


def network(body: str, outputs: str = "float y", **weights: np.ndarray) -> Parts:
    model = graph(body, inputs="float[1, 3, 16, 24] image", outputs=outputs, opset=17, weights=weights)
    return parts_of(model)


def on_device(parts: Parts, cut: Cut) -> list[str]:
    return [parts.nodes[place].op_type for place in sorted(cut.on_device)]


@st.composite
def networks(draw: st.DrawFn) -> Parts:
    """Layers that make tensors larger or smaller, or pass them on, or add two; with several ends."""
    nodes, sizes = [], {"x": 4}
    for number in range(draw(st.integers(2, 7))):
        name, read = f"t{number}", draw(st.sampled_from([*sizes][-3:]))
        kind = draw(st.sampled_from(["Relu", "Tile", "Slice", "Add"]))
        same = [other for other, size in sizes.items() if size == sizes[read]]
        sizes[name] = {"Tile": 2 * sizes[read], "Slice": sizes[read] // 2 or 1}.get(kind, sizes[read])
        given_too = {"Tile": ["two"], "Slice": ["zero", f"half{sizes[name]}"], "Add": [draw(st.sampled_from(same))]}
        nodes.append(helper.make_node(kind, [read, *given_too.get(kind, [])], [name], name=f"layer{number}"))
    read_somewhere = {name for node in nodes for name in node.input}
    ends = [name for name in sizes if name not in read_somewhere]
    inner = draw(st.sampled_from([node.output[0] for node in nodes]))
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in dict.fromkeys([*ends, inner])]
    constants = {"two": [2], "zero": [0]} | {f"half{size}": [size] for size in sizes.values()}
    weights = [onnx.numpy_helper.from_array(np.array(values), name) for name, values in constants.items()]
    given_in = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])]
    made = helper.make_graph(nodes, "g", given_in, outputs, weights)
    return parts_of(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)]))


def objective(parts: Parts, device: Collection[int], taken: Collection[int]) -> int:
    shapes = {name: shape_of(value) for name, value in parts.values.items()}
    given_back = sum(work_of(parts.nodes[place], shapes) for place in taken if place not in device)
    return WORK_PER_BYTE * usb_bytes(parts, cut_at(parts, device)) + given_back


def is_closed(parts: Parts, device: Collection[int]) -> bool:
    producers = parts.producers()
    return all(producers[n] in device for p in device for n in names_read(parts.nodes[p]) if n in producers)


@given(networks(), st.data())
def test_the_cheapest_cut_is_the_least_of_all(parts: Parts, data: st.DataObject) -> None:
    refused = data.draw(st.sets(st.integers(0, len(parts.nodes) - 1), min_size=1, max_size=2))
    taken = from_input(parts, refused)
    assert is_closed(parts, taken)
    assert not refused & taken
    if not taken:
        return
    chosen = cheapest_cut(parts, taken).on_device
    subsets = (set(some) for n in range(len(taken) + 1) for some in itertools.combinations(sorted(taken), n))
    costs = {frozenset(some): objective(parts, some, taken) for some in subsets if is_closed(parts, some)}
    least = min(costs.values())
    best = max((some for some, price in costs.items() if price == least), key=len)
    assert chosen == (best or taken)


def test_what_makes_tensors_larger_goes_to_the_host_and_work_stays() -> None:
    body = f"""
    a = {CONVOLUTION} (image, w1)
    b = Relu (a)
    c = {CONVOLUTION} (b, w2)
    d = Resize <mode = "linear"> (c, , scales)
    e = Sin (d)
    y = Relu (e)
    """
    w1, w2 = (RNG.normal(0, 0.1, (8, channels, 3, 3)).astype(np.float32) for channels in (3, 8))
    parts = network(body, w1=w1, w2=w2, scales=np.array([1, 1, 4, 4], np.float32))
    taken = from_input(parts, [4])
    cut = cheapest_cut(parts, taken)
    assert on_device(parts, cut) == ["Conv", "Relu", "Conv"]
    assert cut.crossing == ("c",)
    assert usb_bytes(parts, cut) == 2 * 8 * 16 * 24


def test_an_expanding_convolution_stays() -> None:
    body = f"a = {CONVOLUTION} (image, w1)\n b = Conv (a, wide)\n y = Sin (b)"
    w1 = RNG.normal(0, 0.1, (32, 3, 3, 3)).astype(np.float32)
    parts = network(body, w1=w1, wide=RNG.normal(0, 0.1, (64, 32, 1, 1)).astype(np.float32))
    assert on_device(parts, cheapest_cut(parts, {0, 1})) == ["Conv", "Conv"]


def test_outputs_that_are_finished_and_an_input_that_the_host_needs() -> None:
    body = f"a = {CONVOLUTION} (image, w1)\n y = Sigmoid (a)\n s = Sin (a)\n z = Mul (s, image)"
    w1 = RNG.normal(0, 0.1, (3, 3, 3, 3)).astype(np.float32)
    parts = network(body, "float y, float z", w1=w1)
    cut = cut_at(parts, from_input(parts, [2]))
    assert cut.finished == ("y",)
    assert cut.crossing == ("image", "a")
    assert usb_bytes(parts, cut) == 3 * 2 * 3 * 16 * 24


def test_whole_numbers_and_open_sizes_do_not_cross() -> None:
    body = f"a = {CONVOLUTION} (image, w1)\n i = ArgMax <axis = 1> (a)\n f = Cast <to = 1> (i)\n y = Sin (f)"
    w1 = RNG.normal(0, 0.1, (8, 3, 3, 3)).astype(np.float32)
    parts = network(body, w1=w1)
    with pytest.raises(ConversionError, match=r"split: i would go from the device .* is int64"):
        cut_at(parts, {0, 1})
    assert cheapest_cut(parts, {0, 1}).crossing == ("a",), "what is behind it goes to the host instead"
    assert cheapest_cut(parts, {0, 1, 2}).crossing == ("f",)
    opened = network(f"a = {CONVOLUTION} (image, w1)\n n = NonZero (a)\n f = Cast <to = 1> (n)\n y = Sin (f)", w1=w1)
    with pytest.raises(ConversionError, match="size that is not known"):
        cut_at(opened, {0, 1, 2})
    assert cheapest_cut(opened, {0, 1, 2}).crossing == ("a",)


def test_cut_behind_what_was_named() -> None:
    body = f"""
    a = {CONVOLUTION} (image, w1)
    b = Relu (a)
    c = {CONVOLUTION} (b, w2)
    y = Relu (c)
    d = {CONVOLUTION} (b, w2)
    z = Sigmoid (d)
    """
    w1, w2 = (RNG.normal(0, 0.1, (8, channels, 3, 3)).astype(np.float32) for channels in (3, 8))
    parts = network(body, "float y, float z", w1=w1, w2=w2)
    one = cut_behind(parts, ["c"])
    assert (one.crossing, one.finished) == (("c",), ("z",))
    two = cut_behind(parts, ["c", "d"])
    assert (two.crossing, two.finished) == (("c", "d"), ())
    early = cut_behind(parts, ["b"])
    assert on_device(parts, early) == ["Conv", "Relu"]
    with pytest.raises(ConversionError, match="split: c is computed from what the host has by another of the cuts"):
        cut_behind(parts, ["b", "c"])
    with pytest.raises(ConversionError, match="nothing of the network is computed from y"):
        cut_behind(parts, ["y"])
