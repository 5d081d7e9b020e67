from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import TypeAdapter

from oakpoint.bundle.interface import OPEN_BATCH, Input, Interface, TensorSpec, image_interface
from oakpoint.errors import UsageError
from oakpoint.images.preprocess import Preprocess

SIDES = st.integers(1, 40).map(lambda cells: 8 * cells)
SIZES = st.tuples(SIDES, SIDES)
BATCHES = st.one_of(st.just(OPEN_BATCH), st.integers(1, 9))
COLOURS = st.sampled_from(["grey", "bgr", "rgb"])
LAYOUTS = st.sampled_from(["nchw", "nhwc"])


@st.composite
def preprocesses(draw: st.DrawFn) -> Preprocess:
    colour = draw(COLOURS)
    numbers = st.floats(0.1, 200)
    channels = numbers if colour == "grey" else st.one_of(numbers, st.tuples(numbers, numbers, numbers))
    return Preprocess(
        size=draw(SIZES),
        resize=draw(st.sampled_from(["stretch", "crop", "letterbox"])),
        interpolation=draw(st.sampled_from(["area", "linear"])),
        colour=colour,
        layout=draw(LAYOUTS),
        mean=draw(channels),
        scale=draw(channels),
    )


@st.composite
def interfaces(draw: st.DrawFn) -> Interface:
    """One to three inputs, of which one at least is an image, and outputs of any shapes."""
    inputs = [_image("image", draw(preprocesses()), draw(BATCHES))]
    for index in range(draw(st.integers(0, 2))):
        if draw(st.booleans()):
            inputs.append(_image(f"image{index}", draw(preprocesses()), draw(BATCHES)))
        else:
            sides = st.lists(st.integers(1, 5), max_size=3)
            shape = draw(st.one_of(st.just(()), sides.map(tuple), sides.map(lambda rest: (OPEN_BATCH, *rest))))
            kind = draw(st.sampled_from(["float32", "float16", "int32", "int64", "uint8"]))
            inputs.append(Input(tensor=TensorSpec(f"tensor{index}", kind, shape)))
    outputs = [TensorSpec(f"y{n}", "float32", ("N", n + 1)) for n in range(draw(st.integers(0, 3)))]
    return Interface(inputs=tuple(draw(st.permutations(inputs))), outputs=tuple(outputs))


def _image(name: str, preprocess: Preprocess, batch: int | str) -> Input:
    return Input(tensor=TensorSpec(name, "float32", (batch, *preprocess.tensor_shape[1:])), preprocess=preprocess)


def picture(size: tuple[int, int] = (50, 30)) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)


@given(interfaces(), SIZES, st.integers(1, 4))
def test_at_a_size_the_image_has_it_and_nothing_else_changes(
    interface: Interface, size: tuple[int, int], batch: int
) -> None:
    at = interface.at(size, batch=batch)
    assert at.outputs == interface.outputs
    assert [given.tensor.name for given in at.inputs] == [given.tensor.name for given in interface.inputs]
    for own, moved in zip(interface.inputs, at.inputs, strict=True):
        assert moved.tensor.dtype == own.tensor.dtype
        if own.preprocess is None:
            assert moved.preprocess is None
            assert moved.tensor.shape == tuple(batch if side == OPEN_BATCH else side for side in own.tensor.shape)
        else:
            expected = size if own.preprocess.size == interface.image.size else own.preprocess.size
            assert moved.preprocess == replace(own.preprocess, size=expected)
            assert moved.tensor.shape == (batch, *replace(own.preprocess, size=expected).tensor_shape[1:])
    assert at.image.size == size


@given(preprocesses(), SIZES, SIZES)
def test_the_last_size_counts(preprocess: Preprocess, first: tuple[int, int], second: tuple[int, int]) -> None:
    interface = image_interface("x", preprocess)
    assert interface.at(first).at(second) == interface.at(second)


@given(interfaces())
def test_every_input_gets_a_tensor_of_its_type_and_shape(interface: Interface) -> None:
    interface = interface.at((16, 8))
    fed = interface.feed(picture())
    assert list(fed) == [spec.name for spec in interface.tensors]
    for given_input in interface.inputs:
        spec, tensor = given_input.tensor, fed[given_input.tensor.name]
        assert tensor.dtype == np.dtype(spec.dtype)
        if given_input.preprocess is not None:
            assert tensor.shape == given_input.preprocess.tensor_shape == (1, *spec.shape[1:])
        else:
            assert tensor.shape == spec.shape


def test_tensors_that_are_no_image_are_told_apart_by_name_and_by_image_and_stay_the_same() -> None:
    noise = [Input(tensor=TensorSpec(name, "float32", ("N", 40))) for name in ("a", "b")]
    a, b = (given_input.values(picture()) for given_input in noise)
    assert a.shape == (1, 40), "an open batch is one"
    np.testing.assert_array_equal(a, noise[0].values(picture()))
    assert not np.array_equal(a, noise[0].values(picture((20, 20))))
    assert not np.array_equal(a, b)
    assert a.std() > 0.5
    whole = Input(tensor=TensorSpec("mask", "int64", (2, 30))).values(picture())
    assert set(np.unique(whole)) == {0, 1}


@given(interfaces())
def test_on_the_device_images_are_levels_channels_first(interface: Interface) -> None:
    device = interface.on_device()
    assert device.outputs == interface.outputs
    for own, there in zip(interface.inputs, device.inputs, strict=True):
        assert there.tensor.name == own.tensor.name
        if own.preprocess is None:
            assert there.tensor.dtype == "float16"
            assert there.tensor.shape == tuple(1 if side == OPEN_BATCH else side for side in own.tensor.shape)
            continue
        assert there.tensor.dtype == "uint8"
        assert there.preprocess == replace(own.preprocess, baked=True, layout="nchw")
        assert there.tensor.shape == there.preprocess.tensor_shape
    assert device.on_device() == device


@given(interfaces())
def test_device_and_host_see_the_same_picture(interface: Interface) -> None:
    """The host's tensor is (level - mean) * scale of the device's levels, its axes in its own order."""
    interface = interface.at((16, 8))
    host, device = interface.feed(picture()), interface.on_device().feed(picture())
    for given_input in interface.inputs:
        preprocess, name = given_input.preprocess, given_input.tensor.name
        if preprocess is None:
            if host[name].dtype.kind == "f":
                np.testing.assert_array_equal(host[name], device[name].astype(host[name].dtype))
            continue
        mean, scale = (np.reshape(np.float64(value), (-1, 1, 1)) for value in (preprocess.mean, preprocess.scale))
        expected = (device[name] - mean) * scale
        if preprocess.layout == "nhwc":
            expected = expected.transpose(0, 2, 3, 1)
        np.testing.assert_allclose(host[name], expected, rtol=1e-6, atol=1e-4)


@given(interfaces())
def test_json_round_trip(interface: Interface) -> None:
    adapter = TypeAdapter(Interface)
    assert adapter.validate_json(adapter.dump_json(interface)) == interface


@pytest.mark.parametrize(
    "text",
    [
        '{"inputs": [], "surprise": 1}',
        '{"inputs": [{"tensor": {"name": "x", "dtype": "float32", "shape": [1], "surprise": 1}}]}',
        '{"inputs": [{"tensor": {"name": "x", "dtype": "float32", "shape": [1]}, "surprise": 1}]}',
        '{"outputs": []}',
    ],
)
def test_what_is_no_interface_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"surprise|inputs"):
        TypeAdapter(Interface).validate_json(text)


def test_the_image_is_the_first_input_that_takes_one() -> None:
    first, second = (Preprocess(size=(8 * n, 8), resize="stretch", interpolation="area") for n in (1, 2))
    state = Input(tensor=TensorSpec("state", "float32", (1, 4)))
    interface = Interface(inputs=(state, _image("a", first, 1), _image("b", second, 1)))
    assert interface.image == first
    assert interface.original_from_tensor((80, 80)) == first.original_from_tensor((80, 80))


def test_an_image_of_another_size_keeps_it() -> None:
    first, second = (Preprocess(size=(8 * n, 8), resize="stretch", interpolation="area") for n in (1, 2))
    interface = Interface(inputs=(_image("a", first, 1), _image("b", second, 1), _image("c", first, 1)))
    assert [spec.shape[2:] for spec in interface.at((40, 24)).tensors] == [(24, 40), (8, 16), (24, 40)]
    assert interface.at(interface.image.size) == interface


def test_a_network_without_an_image_says_what_it_takes() -> None:
    specs = (TensorSpec("state", "float32", (1, 4)), TensorSpec("gain", "float32", (1,)))
    interface = Interface(inputs=tuple(Input(tensor=spec) for spec in specs))
    with pytest.raises(UsageError, match=r"takes an image of 1 or 3 channels, got one that takes state 1x4, gain 1$"):
        _ = interface.image


@pytest.mark.parametrize(("shape", "batch"), [(("N", 3), "N"), ((4, 3), 4), ((), 1)])
def test_the_batch_is_that_of_the_first_input(shape: tuple[Any, ...], batch: object) -> None:
    first, second = (Input(tensor=TensorSpec(n, "float32", s)) for n, s in (("a", shape), ("b", (7,))))
    assert Interface(inputs=(first, second)).batch == batch


@given(interfaces(), preprocesses())
def test_other_preprocessing_is_taken_by_images_alone(interface: Interface, preprocess: Preprocess) -> None:
    changed = interface.with_preprocess(preprocess)
    assert changed.image == preprocess
    for own, there in zip(interface.inputs, changed.inputs, strict=True):
        assert (there.preprocess is None) == (own.preprocess is None)
        if there.preprocess is not None:
            assert there.tensor.shape[1:] == preprocess.tensor_shape[1:]


@given(preprocesses())
def test_the_interface_of_one_image(preprocess: Preprocess) -> None:
    interface = image_interface("x", preprocess, (TensorSpec("y", "float32", ("N", 10)),))
    assert interface.tensors == (TensorSpec("x", "float32", (OPEN_BATCH, *preprocess.tensor_shape[1:])),)
    assert (interface.image, interface.batch) == (preprocess, OPEN_BATCH)


def test_renamed_tensors_keep_everything_else() -> None:
    interface = image_interface(
        "x", Preprocess(size=(16, 8), resize="stretch", interpolation="area"), (TensorSpec("y", "float32", (1, 2)),)
    )
    both = interface.renamed({"x": "input", "y": "semi", "z": "none"})
    assert ([spec.name for spec in both.tensors], both.outputs[0].name) == (["input"], "semi")
    assert both.renamed({"input": "x", "semi": "y"}) == interface
    inputs = interface.renamed_inputs({"x": "input", "y": "semi"})
    assert (inputs.tensors[0].name, inputs.outputs) == ("input", interface.outputs)


def test_an_interface_without_an_image_has_no_size() -> None:
    given = Input(tensor=TensorSpec("x", "float32", ("N", 5)))
    blind = Interface(inputs=(given,))
    assert blind.size is None
    assert blind.at(None, batch=3).tensors[0].shape == (3, 5)
    with pytest.raises(UsageError, match="takes an image of 1 or 3 channels, got one that takes x Nx5"):
        _ = blind.image


@given(preprocess=preprocesses(), count=st.integers(1, 4))
def test_images_of_a_comparison_are_told_apart(preprocess: Preprocess, count: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    given_ = [
        Input(tensor=TensorSpec(f"i{n}", "float32", (1, *preprocess.tensor_shape[1:])), preprocess=preprocess)
        for n in range(count)
    ]
    state = Input(tensor=TensorSpec("state", "float32", (1, 3)))
    interface = Interface(inputs=(state, *given_))
    apart, alike = interface.feed_apart(image), interface.feed(image)
    assert list(apart) == list(alike)
    for name in ("state", "i0"):
        np.testing.assert_array_equal(apart[name], alike[name])
    for n in range(1, count):
        np.testing.assert_array_equal(alike[f"i{n}"], alike["i0"])
        assert all((apart[f"i{n}"] != apart[f"i{other}"]).any() for other in range(n))
