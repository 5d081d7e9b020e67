"""Frames as a network's archive asks for them: its colours arrive as they left."""

from __future__ import annotations

import numpy as np
import pytest

from oakpoint.images.preprocess import Colour, Preprocess, limited_image

pytest.importorskip("depthai")

from oakpoint.oak.bandwidth import bytes_per_frame
from oakpoint.oak.frames import frame_of_network, image_from_frame


@pytest.mark.parametrize(("colour", "kind"), [("grey", "GRAY8"), ("rgb", "RGB888p"), ("bgr", "BGR888p")])
def test_a_networks_input_goes_through_depthai_unchanged(rng: np.random.Generator, colour: Colour, kind: str) -> None:
    image = rng.integers(0, 256, (48, 64, 3), np.uint8)
    preprocess = Preprocess(size=(64, 48), resize="stretch", interpolation="linear", colour=colour, baked=True)
    tensor, _ = preprocess.apply(image)
    frame = frame_of_network(np.asarray(tensor, np.uint8), colour)
    assert frame.getType().name == kind
    assert (frame.getWidth(), frame.getHeight()) == (64, 48)
    assert tuple(frame.getTransformation().getSize()) == (64, 48)
    again, _ = preprocess.apply(image_from_frame(frame))
    np.testing.assert_array_equal(again, tensor)
    if colour != "grey":
        np.testing.assert_array_equal(image_from_frame(frame), image)


def test_an_image_that_is_scaled_down_first_keeps_its_colours(rng: np.random.Generator) -> None:
    image = np.repeat(rng.integers(0, 256, (1, 1, 3), np.uint8), 64, axis=1).repeat(48, axis=0)
    limited, _ = limited_image(image, 32, "rgb")
    np.testing.assert_array_equal(limited, image[:24, :32])
    assert limited_image(image, 32)[0].shape == (24, 32)


def test_a_networks_own_input_in_colour_takes_three_bytes_a_pixel() -> None:
    assert bytes_per_frame((), (100, 10), colour=False, channels=3) == 3000
    assert bytes_per_frame((), (100, 10), colour=False) == 1000
    assert bytes_per_frame((), (100, 10), colour=True, channels=3) == 1500
