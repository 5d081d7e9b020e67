from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from oakpoint.errors import ImageError, UsageError
from oakpoint.geometry import PixelMap
from oakpoint.images.preprocess import Preprocess, grey_from_image

STRETCH = Preprocess(size=(32, 24), resize="stretch", interpolation="linear")
FULL = np.float32([[0, 0], [31, 23]])


def test_the_tensor_is_bit_for_bit_that_of_the_original_demo(rng):
    image = rng.integers(0, 256, (24, 32), dtype=np.uint8)
    image.flat[:256] = np.arange(256)
    tensor, original_from_tensor = STRETCH.apply(image)
    # demo_superpoint.py: grayim.astype('float32') / 255.
    assert np.array_equal(tensor[0, 0], image.astype("float32") / 255.0)
    assert tensor.shape == (1, 1, 24, 32)
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous
    assert original_from_tensor == PixelMap((1, 1), (0, 0))


def test_baked_leaves_grey_levels_to_the_graph(rng):
    image = rng.integers(0, 256, (100, 90, 3), dtype=np.uint8)
    levels, _ = replace(STRETCH, baked=True).apply(image)
    floats, _ = STRETCH.apply(image)
    assert levels.dtype == np.uint8
    assert levels.shape == floats.shape
    assert np.array_equal(levels.astype(np.float32) / 255, floats)


def test_mean_is_subtracted_before_scaling():
    tensor, _ = replace(STRETCH, mean=127.5, scale=2.0).apply(np.full((24, 32), 200, np.uint8))
    assert np.unique(tensor) == pytest.approx([145.0])


def test_grey_is_bt601(rng):
    image = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    blue, green, red = np.moveaxis(image.astype(np.float64), 2, 0)
    assert np.abs(grey_from_image(image) - (0.299 * red + 0.587 * green + 0.114 * blue)).max() <= 0.51
    assert np.array_equal(grey_from_image(np.full((1, 1, 3), (255, 0, 0), np.uint8)), [[29]])


def test_stretch_is_cv2_resize_of_the_grey_image(rng):
    image = rng.integers(0, 256, (57, 101, 3), dtype=np.uint8)
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    for interpolation, flag in (("linear", cv2.INTER_LINEAR), ("area", cv2.INTER_AREA)):
        tensor, _ = replace(STRETCH, interpolation=interpolation, baked=True).apply(image)
        assert np.array_equal(tensor[0, 0], cv2.resize(grey, (32, 24), interpolation=flag))


def test_area_is_linear_where_an_axis_grows(rng):
    image = rng.integers(0, 256, (12, 101), dtype=np.uint8)
    tensor, _ = replace(STRETCH, interpolation="area", baked=True).apply(image)
    assert np.array_equal(tensor[0, 0], cv2.resize(image, (32, 24), interpolation=cv2.INTER_LINEAR))


def test_crop_takes_the_centre():
    image = np.zeros((24, 64), np.uint8)
    image[:, 16:48] = 200
    tensor, original_from_tensor = replace(STRETCH, resize="crop", baked=True).apply(image)
    assert (tensor == 200).all()
    assert original_from_tensor(FULL).tolist() == [[16, 0], [47, 23]]


def test_letterbox_pads_what_is_missing():
    image = np.full((24, 64), 200, np.uint8)
    preprocess = replace(STRETCH, resize="letterbox", padding_value=7, baked=True)
    tensor, original_from_tensor = preprocess.apply(image)
    assert (tensor[0, 0, 6:18] == 200).all()
    assert (tensor[0, 0, :6] == 7).all()
    assert (tensor[0, 0, 18:] == 7).all()
    # Twice as large in the original; centres of edge pixels are half a tensor pixel from its edge, there a whole one.
    assert original_from_tensor(np.float32([[0, 6], [31, 17]])).tolist() == [[0.5, 0.5], [62.5, 22.5]]
    assert original_from_tensor(np.float32([[0, 0]]))[0, 1] < -0.5  # the border lies outside the image


def test_cut_takes_pixels_as_they_are(rng):
    image = rng.integers(0, 256, (30, 35), dtype=np.uint8)
    tensor, original_from_tensor = replace(STRETCH, resize="cut", baked=True).apply(image)
    assert np.array_equal(tensor[0, 0], image[:24, :32])
    assert original_from_tensor == PixelMap((1, 1), (0, 0))
    with pytest.raises(ImageError, match="at least 32×24 px to cut the tensor from, got 31×24"):
        replace(STRETCH, resize="cut").apply(image[:24, :31])


@pytest.mark.parametrize("resize", ["stretch", "crop", "letterbox"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40000), (40000, 2), (3, 5)])
def test_extreme_images_take_no_more_memory_than_the_tensor(resize, shape):
    preprocess = replace(STRETCH, resize=resize)
    tensor, original_from_tensor = preprocess.apply(np.full(shape, 255, np.uint8))
    assert tensor.shape == (1, 1, 24, 32)
    assert tensor.max() == 1
    assert np.isfinite(original_from_tensor(FULL)).all()


def test_the_image_is_not_changed_and_may_be_any_view_of_an_array(rng):
    image = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    before = image.copy()
    mirrored, _ = STRETCH.apply(image[:, ::-1])
    expected, _ = STRETCH.apply(image[:, ::-1].copy())
    tensor, _ = STRETCH.apply(image[..., 0])
    tensor[:] = 0
    assert np.array_equal(mirrored, expected)
    assert np.array_equal(image, before)


def test_the_tensor_of_an_image_that_fits_is_no_view_of_it():
    image = np.zeros((24, 32), np.uint8)
    tensor, _ = replace(STRETCH, baked=True).apply(image)
    assert not np.shares_memory(tensor, image)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 8), np.float32), r"expected uint8, 0 to 255, got float32 \(8, 8\); \(image \* 255\)"),
        (np.zeros((8, 8), np.uint16), "got uint16"),
        (np.zeros((8, 8), bool), "got bool"),
        (np.zeros((8, 8, 4), np.uint8), r"got \(8, 8, 4\)"),
        (np.zeros((8, 8, 1), np.uint8), r"got \(8, 8, 1\)"),
        (np.zeros((1, 8, 8, 3), np.uint8), r"got \(1, 8, 8, 3\)"),
        (np.zeros(8, np.uint8), r"got \(8,\)"),
        (np.zeros((0, 8), np.uint8), r"at least one pixel, got \(0, 8\)"),
        ([[1, 2]], "got a list of 1"),
        (None, "got None"),
    ],
)
def test_what_is_no_image_is_named(image, message):
    with pytest.raises(ImageError, match=message):
        STRETCH.apply(image)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": (3, -5)}, "positive number of pixels on both sides, got 3x-5"),
        ({"size": (0, 8)}, "positive number of pixels on both sides, got 0x8"),
        ({"size": (32.0, 24)}, "whole pixels"),
        ({"size": (32,)}, "whole pixels"),
        ({"size": (True, 8)}, "whole pixels"),
        ({"resize": "fill"}, "resize: expected one of stretch, crop, letterbox, cut, got 'fill'"),
        ({"interpolation": "cubic"}, "interpolation: expected one of area, linear"),
        ({"colour": "yuv"}, "colour: expected one of grey, bgr, rgb"),
        ({"layout": "chw"}, "layout: expected one of nchw, nhwc"),
        ({"mean": (1.0,)}, r"mean: expected one number \(colour grey\), got \(1.0,\)"),
        (
            {"colour": "rgb", "mean": (1.0, 2.0)},
            r"mean: expected one number, or one for each of r, g, b",
        ),
        ({"colour": "bgr", "scale": (1.0, 1.0, 0.0)}, "scale: expected a positive factor"),
        ({"colour": "bgr", "scale": ()}, "one for each of b, g, r"),
        ({"scale": 0.0}, "scale: expected a positive factor"),
        ({"scale": float("nan")}, "scale: expected a positive factor"),
        ({"mean": float("inf")}, "mean: expected a grey level"),
        ({"padding_value": 256}, "padding_value: expected a grey level from 0 to 255, got 256"),
    ],
)
def test_what_cannot_be_meant_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        replace(STRETCH, **change)


COLOURS = st.sampled_from(["grey", "bgr", "rgb"])
LEVELS = st.floats(-300, 300)
FACTORS = st.floats(1e-4, 10)


@st.composite
def preprocesses(draw):
    colour = draw(COLOURS)
    each = colour != "grey" and draw(st.booleans())
    mean, scale = (draw(st.tuples(v, v, v)) if each else draw(v) for v in (LEVELS, FACTORS))
    resize = draw(st.sampled_from(["stretch", "crop", "letterbox", "cut"]))
    return Preprocess(
        size=draw(st.tuples(st.integers(1, 20), st.integers(1, 20))),
        resize=resize,
        interpolation=draw(st.sampled_from(["area", "linear"])),
        colour=colour,
        mean=mean,
        scale=scale,
        padding_value=draw(st.integers(0, 255)),
        layout=draw(st.sampled_from(["nchw", "nhwc"])),
    )


@given(preprocesses(), st.integers(20, 40), st.integers(20, 40), st.booleans(), st.integers(0, 2**32 - 1))
@settings(max_examples=150)
def test_every_value_is_level_minus_mean_times_scale_rounded_once(preprocess, width, height, is_grey, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3)[: 2 if is_grey else 3], np.uint8)
    tensor, place = preprocess.apply(image)
    levels, same_place = replace(preprocess, baked=True).apply(image)
    assert tensor.shape == levels.shape == preprocess.tensor_shape
    assert (tensor.dtype, levels.dtype) == (np.float32, np.uint8)
    assert tensor.flags.c_contiguous
    assert levels.flags.c_contiguous
    assert place == same_place == preprocess.original_from_tensor((width, height))
    shape = (1, 1, 1, -1) if preprocess.layout == "nhwc" else (1, -1, 1, 1)
    mean, scale = (np.reshape(v, shape) for v in (preprocess.mean, preprocess.scale))
    assert np.array_equal(tensor, ((levels.astype(np.float64) - mean) * scale).astype(np.float32))


@given(preprocesses(), st.integers(0, 2**32 - 1))
def test_colours_layouts_and_grey_images_are_the_same_levels_elsewhere(preprocess, seed):
    image = np.random.default_rng(seed).integers(0, 256, (40, 30, 3), np.uint8)
    baked = replace(preprocess, baked=True, mean=0.0, scale=1.0, layout="nchw")
    bgr, rgb, grey = (replace(baked, colour=colour) for colour in ("bgr", "rgb", "grey"))
    assert np.array_equal(rgb.apply(image)[0], bgr.apply(image)[0][:, ::-1])
    for channel in range(3):  # each is resized as a grey image is
        assert np.array_equal(bgr.apply(image)[0][0, channel], grey.apply(image[..., channel])[0][0, 0])
    assert np.array_equal(rgb.apply(image[..., 0])[0], np.repeat(grey.apply(image[..., 0])[0], 3, axis=1))
    last = replace(baked, layout="nhwc").apply(image)[0]
    assert np.array_equal(last, np.moveaxis(baked.apply(image)[0], 1, -1))


def test_colour_is_what_torchvision_makes_of_it(rng):
    """ToTensor and Normalize with ImageNet's numbers, in torch's own float32 arithmetic."""
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    image = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    preprocess = replace(
        STRETCH, colour="rgb", mean=tuple(255 * m for m in mean), scale=tuple(1 / (255 * s) for s in std)
    )
    pixels = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1).float() / 255
    expected = (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    np.testing.assert_allclose(preprocess.apply(image)[0][0], expected, atol=1e-6)


def test_what_earlier_versions_wrote_reads_and_writes_unchanged():
    adapter = TypeAdapter(Preprocess)
    text = (
        b'{"size":[320,200],"resize":"stretch","interpolation":"area","colour":"grey","scale":0.00392156862745098,'
        b'"mean":0.0,"padding_value":0,"baked":true}'
    )
    read = adapter.validate_json(text)
    assert adapter.dump_json(read) == text
    assert read == Preprocess(size=(320, 200), resize="stretch", interpolation="area", baked=True)
    assert list(read.facts()) == list(json.loads(text))


@given(preprocesses())
def test_every_one_travels_through_json(preprocess):
    adapter = TypeAdapter(Preprocess)
    assert adapter.validate_json(adapter.dump_json(preprocess)) == preprocess


def test_it_travels_through_json_and_no_key_too_many():
    adapter = TypeAdapter(Preprocess)
    preprocess = replace(STRETCH, resize="letterbox", mean=3.5, padding_value=9, baked=True)
    text = adapter.dump_json(preprocess)
    assert adapter.validate_json(text) == preprocess
    assert json.loads(text)["size"] == [32, 24]
    with pytest.raises(ValidationError, match="gamma"):
        adapter.validate_python(json.loads(text) | {"gamma": 2.2})
    with pytest.raises(ValidationError, match="resize"):
        adapter.validate_python({"size": [32, 24], "interpolation": "linear"})
