from __future__ import annotations

from typing import Any

import pytest

from oakpoint.bundle.interface import TensorSpec
from oakpoint.errors import UsageError
from oakpoint.models.inputs import ImageOptions, InputOptions, inputs_of

NETWORK = "net.onnx"
IMAGE = TensorSpec("x", "float32", ("N", 3, 64, 96))
LOOKS: dict[str, Any] = {"x": ("nchw", 3)}


def one(spec: TensorSpec = IMAGE, look: Any = LOOKS["x"], size: Any = None, shapes: Any = None, **said: Any) -> Any:
    options = InputOptions(image=ImageOptions(**said), shapes=shapes or {})
    looks = {} if look is None else {spec.name: look}
    (found,) = inputs_of([spec], looks, options, size, of=NETWORK)
    return found


def test_an_image_of_colours_is_rgb_from_0_to_1_until_something_else_is_said(caplog: pytest.LogCaptureFixture) -> None:
    found = one()
    assert found.tensor == IMAGE
    facts = found.preprocess.facts()
    assert (facts["colour"], facts["scale"], facts["mean"], facts["baked"]) == ("rgb", 1 / 255, 0.0, False)
    assert (
        "input x: taken as RGB, 0–1; if it wants something else, say it with --color, --mean and --std" in caplog.text
    )
    caplog.clear()
    one(colour="bgr")
    assert caplog.text == ""


def test_what_was_said_is_taken() -> None:
    said = {"colour": "bgr", "mean": (1.0, 2.0, 3.0), "scale": 0.5, "resize": "letterbox", "padding_value": 114}
    preprocess = one(**said).preprocess
    assert {name: getattr(preprocess, name) for name in said} == said


def test_a_grey_image() -> None:
    spec = TensorSpec("x", "float32", (1, 1, 64, 96))
    assert one(spec, ("nchw", 1)).preprocess.colour == "grey"
    with pytest.raises(UsageError, match="--color rgb: the input x float32 1x1x64x96 has 1 channel; take --color grey"):
        one(spec, ("nchw", 1), colour="rgb")
    with pytest.raises(
        UsageError, match="--color grey: the input x float32 Nx3x64x96 has 3 channels; take --color rgb"
    ):
        one(colour="grey")


@pytest.mark.parametrize(("colour", "channels"), [(None, 1), ("grey", 1), ("bgr", 3)])
def test_channels_that_are_open_follow_from_the_colour(colour: str | None, channels: int) -> None:
    found = one(TensorSpec("x", "float32", ("N", "C", "H", "W")), ("nchw", None), (96, 64), colour=colour)
    assert found.tensor.shape == ("N", channels, 64, 96)


def test_channels_last() -> None:
    found = one(TensorSpec("x", "float32", ("N", "h", "w", 3)), ("nhwc", 3), (96, 64))
    assert found.tensor.shape == ("N", 64, 96, 3)
    assert found.preprocess.tensor_shape == (1, 64, 96, 3)


def test_whole_levels_stay_as_they_are() -> None:
    spec = TensorSpec("x", "uint8", (1, 3, 64, 96))
    preprocess = one(spec).preprocess
    assert (preprocess.baked, preprocess.scale, preprocess.mean) == (True, 1.0, 0.0)
    for said in ({"mean": 1.0}, {"scale": 0.5}):
        with pytest.raises(UsageError, match="--mean, --std, --scale: the input x takes whole levels 0–255"):
            one(spec, **said)


@pytest.mark.parametrize(("size", "expected"), [(None, (96, 64)), ((32, 16), (32, 16))])
def test_its_own_size_or_the_one_that_is_asked_for(size: Any, expected: Any) -> None:
    spec = TensorSpec("x", "float32", (1, 3, 64, 96)) if size is None else TensorSpec("x", "float32", (1, 3, "h", "w"))
    assert one(spec, size=size).preprocess.size == expected


def test_a_size_that_nobody_gave() -> None:
    with pytest.raises(
        UsageError, match=r"size: net.onnx takes images of any size \(x float32 Nx3xhxw\); give one, as"
    ):
        one(TensorSpec("x", "float32", ("N", 3, "h", "w")))


def test_a_tensor_that_is_no_image() -> None:
    assert one(TensorSpec("s", "int64", ("batch", 5)), None).tensor == TensorSpec("s", "int64", ("N", 5))
    assert one(TensorSpec("s", "float32", ()), None).tensor == TensorSpec("s", "float32", ())
    assert one(TensorSpec("s", "float32", (2, 5)), None).preprocess is None
    with pytest.raises(UsageError, match=r"net.onnx: the input s float32 1xtxd is open; give --shape s=1xNxN"):
        one(TensorSpec("s", "float32", (1, "t", "d")), None)


def test_shapes_by_name() -> None:
    spec = TensorSpec("s", "float32", (1, "t", 7))
    assert one(spec, None, shapes={"s": (1, 4, 7)}).tensor.shape == (1, 4, 7)
    for wrong in ((1, 4, 8), (1, 4)):
        text = "x".join(map(str, wrong))
        with pytest.raises(UsageError, match=f"--shape s={text}: net.onnx declares s as float32 1xtx7"):
            one(spec, None, shapes={"s": wrong})
    with pytest.raises(UsageError, match=r"--shape moon: net.onnx has no such input; it has s"):
        one(spec, None, shapes={"moon": (1,)})


def test_several_inputs_keep_their_order() -> None:
    specs = [TensorSpec("s", "float32", (1, 7)), IMAGE, TensorSpec("t", "float32", (1, 3))]
    found = inputs_of(specs, LOOKS, InputOptions(), (32, 16), of=NETWORK)
    assert [given.tensor.name for given in found] == ["s", "x", "t"]
    assert [given.preprocess is None for given in found] == [True, False, True]


@pytest.mark.parametrize("channels", [2, 4, 8])
def test_what_is_no_picture_is_said_and_takes_no_option_of_images(
    channels: int, caplog: pytest.LogCaptureFixture
) -> None:
    spec = TensorSpec("x", "float32", ("N", channels, 64, 96))
    assert one(spec, ("nchw", channels)).preprocess is None
    assert f"x float32 Nx{channels}x64x96: no image of 1 or 3 channels, so it is verified on noise" in caplog.text
    for size, said in (((96, 64), {}), (None, {"mean": 1.0}), (None, {"colour": "rgb"})):
        with pytest.raises(UsageError, match=r"--size, --color, .* are for images of 1 or 3 channels, and net.onnx"):
            one(spec, ("nchw", channels), size, **said)
