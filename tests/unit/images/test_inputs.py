from __future__ import annotations

import logging

import cv2
import numpy as np
import pytest
import torch

from oakpoint.errors import ImageError
from oakpoint.images.inputs import check_image, image_from
from oakpoint.images.reading import read_image

COLOUR = np.arange(16 * 24 * 3, dtype=np.uint8).reshape(16, 24, 3)
GREY = np.ascontiguousarray(COLOUR[..., 0])


@pytest.mark.parametrize("image", [COLOUR, GREY, COLOUR[::-1, ::2], np.full((4, 3), 7, np.uint8)])
def test_an_array_is_taken_as_it_is(image):
    assert image_from(image) is image
    assert check_image(image) is image


def test_a_path_is_read(tmp_path):
    path = tmp_path / "a.png"
    assert cv2.imwrite(str(path), COLOUR)
    assert np.array_equal(image_from(path), COLOUR)
    assert np.array_equal(image_from(str(path)), COLOUR)
    with pytest.raises(ImageError, match=r"nosuch\.png: no such file"):
        image_from("nosuch.png")


REFUSED = {
    "None": (None, "got None; cv2.imread returns None for a file that it cannot read"),
    "number": (3, "got int"),
    "list": ([[1, 2], [3, 4]], r"got a list of 2; one image at a time, made an array by np.array\(…, np.uint8\)"),
    "tensor": (torch.zeros(3, 8, 8), r"got a torch.Tensor \(3, 8, 8\); tensor.permute\(1, 2, 0\).numpy\(\)"),
    "grey tensor": (torch.zeros(8, 8), r"got a torch.Tensor \(8, 8\); tensor.numpy\(\)"),
    "float": (COLOUR.astype(np.float32) / 255, r"got float32 \(16, 24, 3\); \(image \* 255\).round\(\)"),
    "float levels": (COLOUR.astype(float), r"got float64 \(16, 24, 3\); \(image\).round\(\).clip\(0, 255\)"),
    "16 bit": (
        GREY.astype(np.uint16),
        r"got uint16 \(16, 24\); oakpoint.images.levels.uint8_from_levels\(image\)\[0\]",
    ),
    "signed": (GREY.astype(np.int64), "got int64"),
    "bool": (GREY > 9, r"got bool \(16, 24\); np.uint8\(255\) \* image"),
    "text": (np.array(["a"]), "make grey levels of it"),
    "channels first": (
        np.moveaxis(COLOUR, -1, 0),
        r"got \(3, 16, 24\); channels come last: np.moveaxis\(image, 0, -1\)",
    ),
    "alpha": (np.dstack([COLOUR, GREY]), r"got \(16, 24, 4\); image\[:, :, :3\] is without alpha"),
    "one channel": (GREY[..., None], r"got \(16, 24, 1\); image\[:, :, 0\] is grey"),
    "two channels": (COLOUR[..., :2], r"got \(16, 24, 2\)$"),
    "batch": (COLOUR[None], r"got \(1, 16, 24, 3\); one image at a time"),
    "line": (GREY[0], r"got \(24,\)$"),
    "nothing": (GREY[:0], r"expected at least one pixel, got \(0, 24\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_anything_else_is_named_with_what_is_expected(name):
    image, message = REFUSED[name]
    for function in (image_from, check_image):
        with pytest.raises(ImageError, match=message) as raised:
            function(image)
        assert str(raised.value).startswith("image: expected ")
        assert "\n" not in str(raised.value)


def test_pictures_are_drawn_on_images_only():
    from oakpoint.view.draw import with_status

    for image in (None, COLOUR.astype(float), COLOUR[..., :2], GREY[:0]):
        with pytest.raises(ImageError, match="image: expected"):
            with_status(image, ["1 fps"])


MODES = ("1", "L", "LA", "P", "RGB", "RGBA")


@pytest.mark.parametrize("mode", MODES)
def test_a_pillow_image_is_what_its_file_is(tmp_path, mode):
    pillow = pytest.importorskip("PIL.Image")
    picture = pillow.fromarray(COLOUR[:, :, ::-1])
    if "A" in mode:
        picture.putalpha(pillow.fromarray(GREY))
    path = tmp_path / "a.png"
    (picture.quantize(16) if mode == "P" else picture.convert(mode)).save(path)
    with pillow.open(path) as opened:
        assert opened.mode == mode
        image = image_from(opened)
    from_file = read_image(path)
    if mode == "LA":  # which OpenCV reads as colour, of three channels that are the same
        from_file = from_file[..., 0]
    assert image.dtype == np.uint8
    assert np.array_equal(image, from_file)
    assert image.flags.c_contiguous


def test_red_stays_red():
    pillow = pytest.importorskip("PIL.Image")
    assert image_from(pillow.new("RGB", (8, 8), (255, 10, 3)))[0, 0].tolist() == [3, 10, 255]
    assert image_from(pillow.new("CMYK", (8, 8), (0, 255, 255, 0)))[0, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize(("mode", "dtype"), [("I;16", np.uint16), ("I", np.int32), ("F", np.float32)])
def test_a_pillow_image_of_more_than_8_bits_is_scaled_as_a_file_is(tmp_path, caplog, mode, dtype):
    pillow = pytest.importorskip("PIL.Image")
    counts = np.linspace(7000, 8000, 64 * 64).reshape(64, 64).astype(dtype)
    picture = pillow.fromarray(counts)
    assert picture.mode == mode
    with caplog.at_level(logging.WARNING):
        image = image_from(picture)
    assert (image.min(), image.max()) == (0, 255)
    assert "scaled to 0–255" in caplog.text


def test_a_pillow_image_cut_short_is_an_error_of_ours(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    path = tmp_path / "a.png"
    pillow.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:3000])
    with pillow.open(path) as opened, pytest.raises(ImageError, match="a Pillow image of mode RGB cannot be used"):
        image_from(opened)
