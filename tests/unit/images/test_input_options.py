from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oakpoint.errors import UsageError
from oakpoint.images.input_options import (
    colour_from,
    numbers_from,
    resize_from,
)
from oakpoint.images.preprocess import Preprocess


@pytest.mark.parametrize(
    ("said", "mean", "scale"),
    [
        ({"mean": "0.5", "std": "0.5"}, 127.5, 1 / 127.5),
        ({"mean": "127.5", "std": "127.5"}, 127.5, 1 / 127.5),
        ({"mean": "127.5", "scale": "1/127.5"}, 127.5, 1 / 127.5),
        ({"mean": "0.5", "scale": "2"}, 127.5, 2 / 255),
        ({"std": "255"}, 0.0, 1 / 255),
        ({"scale": "1/255"}, 0.0, 1 / 255),
        ({"scale": "0.0039215686"}, 0.0, 0.0039215686),
        ({"mean": "103.94,116.78,123.68", "scale": "0.017"}, (103.94, 116.78, 123.68), 0.017),
        ({"mean": "104 117 123"}, (104.0, 117.0, 123.0), 1.0),
        ({"mean": "[0.1, 0.2, 0.3]"}, tuple(255 * m for m in (0.1, 0.2, 0.3)), 1 / 255),
        ({"std": "0.2,0.3,0.4"}, 0.0, tuple(1 / (255 * s) for s in (0.2, 0.3, 0.4))),
        ({"pixels": "0-1"}, 0.0, 1 / 255),
        ({"pixels": "0-255"}, 0.0, 1.0),
        ({"mean": "0", "std": "1", "pixels": "0-1"}, 0.0, 1 / 255),
        ({"mean": "1", "std": "1", "pixels": "0-255"}, 1.0, 1.0),
    ],
)
def test_numbers_in_the_networks_own_words(said: dict[str, str], mean: Any, scale: Any) -> None:
    numbers = numbers_from(**said)
    assert numbers is not None
    assert np.shape(numbers.mean) == np.shape(mean)
    np.testing.assert_allclose(numbers.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(numbers.scale, scale, rtol=1e-12)


@pytest.mark.parametrize("said", [{"normalize": "imagenet"}, {"mean": "ImageNet", "std": "imagenet"}])
@pytest.mark.parametrize("colour", [None, "rgb", "bgr"])
def test_imagenet_has_a_name_and_follows_the_colours(said: dict[str, str], colour: Any) -> None:
    numbers = numbers_from(**said, colour=colour)
    assert numbers is not None
    order = slice(None, None, -1) if colour == "bgr" else slice(None)
    np.testing.assert_allclose(numbers.mean, np.array([123.675, 116.28, 103.53])[order])
    np.testing.assert_allclose(numbers.scale, 1 / np.array([58.395, 57.12, 57.375])[order])


def test_nothing_said_is_nothing() -> None:
    assert numbers_from() is None


def test_the_note_says_what_black_and_white_become() -> None:
    numbers = numbers_from(mean="0.5", std="0.5")
    assert numbers is not None
    assert numbers.note == "mean and scale taken as of pixels from 0 to 1: black becomes -1, white 1"
    numbers = numbers_from(mean="104,117,123")
    assert numbers is not None
    assert numbers.note.endswith("from 0 to 255: black becomes -104, -117, -123, white 151, 138, 132")


values = st.floats(0.05, 0.95)


@given(st.lists(values, min_size=3, max_size=3), st.lists(st.floats(0.05, 0.9), min_size=3, max_size=3))
def test_both_ranges_say_the_same(means: list[float], deviations: list[float]) -> None:
    """(p − m) / s of 0–1 is (p − 255 m) / 255 s of 0–255, and both are told apart by themselves."""
    unit = numbers_from(mean=",".join(map(repr, means)), std=",".join(map(repr, deviations)))
    levels = numbers_from(mean=",".join(repr(255 * m) for m in means), std=",".join(repr(255 * s) for s in deviations))
    assert unit is not None
    assert levels is not None
    np.testing.assert_allclose(unit.mean, levels.mean, rtol=1e-9)
    np.testing.assert_allclose(unit.scale, levels.scale, rtol=1e-9)
    preprocess = Preprocess(
        size=(8, 8), resize="stretch", interpolation="area", colour="rgb", mean=unit.mean, scale=unit.scale
    )
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    expected = (image[..., ::-1] / 255 - means) / deviations
    np.testing.assert_allclose(preprocess.apply(image)[0][0].transpose(1, 2, 0), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"mean": "0", "std": "1"}, "fit pixels from 0 to 1 as well as from 0 to 255; say which, as --range 0-1 or"),
        ({"scale": "1"}, "say which, as --range"),
        ({"mean": "1"}, "say which, as --range"),
        ({"mean": "0.5", "std": "58"}, "say which, as --range"),
        ({"mean": "123", "std": "0.2"}, "say which, as --range"),
        ({"std": "2", "scale": "3"}, "the one divides and the other multiplies; give one of them"),
        ({"std": "0"}, "--std: expected positive numbers, got 0"),
        ({"scale": "-1/255"}, "--scale: expected positive numbers"),
        ({"mean": "1,2"}, "--mean: expected one number, or three in the order of the channels, got '1,2'"),
        ({"mean": ""}, "--mean: expected one number, or three"),
        ({"mean": "a"}, "--mean: expected numbers such as 0.485,0.456,0.406 or 1/255, or imagenet, got 'a'"),
        ({"mean": "nan"}, "--mean: expected numbers such as"),
        ({"scale": "1/0"}, "--scale: expected numbers such as"),
        ({"std": "1/2/3"}, "--std: expected numbers such as"),
        ({"scale": "imagenet"}, "--scale: ImageNet's numbers are deviations: --std imagenet"),
        ({"normalize": "coco"}, "--normalize: expected imagenet, or the numbers as --mean and --std, got 'coco'"),
        ({"normalize": "imagenet", "mean": "0"}, "stands for --mean and --std together"),
        ({"normalize": "imagenet", "pixels": "0-255"}, "ImageNet's numbers by name are of pixels from 0 to 1"),
        ({"normalize": "imagenet", "colour": "grey"}, "such as --mean 0.449 --std 0.226"),
        ({"pixels": "255"}, "--range: expected one of 0-1, 0-255, got '255'"),
    ],
)
def test_what_cannot_be_meant_is_one_line(said: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        numbers_from(**said)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "colour"), [("grey", "grey"), ("GRAY", "grey"), (" mono ", "grey"), ("BGR", "bgr"), ("rgb", "rgb")]
)
def test_colours(text: str, colour: str) -> None:
    assert colour_from(text) == colour


@pytest.mark.parametrize(
    ("text", "message"),
    [("cmyk", "expected one of grey, bgr, rgb, got 'cmyk'"), ("rgba", "no alpha"), ("nv12", "converts RGB itself")],
)
def test_other_colours(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        colour_from(text)


def test_resizing() -> None:
    assert resize_from("Stretch") == ("stretch", None)
    assert resize_from("letterbox") == ("letterbox", None)
    assert resize_from("letterbox:114") == ("letterbox", 114)
    for text in ("fill", "letterbox:256", "letterbox:-1", "crop:3", "letterbox:"):
        with pytest.raises(UsageError, match="--resize: expected"):
            resize_from(text)
