"""The map of ``Preprocess`` is invertible, and true: it says where the pixels of the image really went."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from oakpoint.images.preprocess import Preprocess, limited_image, limited_size

MODES = ("stretch", "crop", "letterbox", "cut")
sides = st.integers(1, 8000)
tensor_sizes = st.tuples(st.integers(1, 160), st.integers(1, 160)).map(lambda cells: (cells[0] * 8, cells[1] * 8))


def preprocess_of(resize: str, size: tuple[int, int]) -> Preprocess:
    return Preprocess(size=size, resize=resize, interpolation="linear", baked=True)


def corners(size: tuple[int, int]) -> np.ndarray:
    right, bottom = size[0] - 0.5, size[1] - 0.5
    return np.array([[-0.5, -0.5], [right, -0.5], [right, bottom], [-0.5, bottom]], np.float32)


@given(st.sampled_from(MODES), sides, sides, tensor_sizes)
def test_forth_and_back_is_the_identity(resize, width, height, size):
    assume(resize != "cut" or (width >= size[0] and height >= size[1]))
    original_from_tensor = preprocess_of(resize, size).original_from_tensor((width, height))
    tensor_from_original = original_from_tensor.inverse()
    for there, back, points in (
        (original_from_tensor, tensor_from_original, corners(size)),
        (tensor_from_original, original_from_tensor, corners((width, height))),
    ):
        assert np.abs(back(there(points).astype(np.float64)) - points).max() < 1e-3 * max(1, *back.scale)


@given(sides, sides, tensor_sizes)
def test_edges_go_where_the_mode_says(width, height, size):
    image = corners((width, height))
    stretched = preprocess_of("stretch", size).original_from_tensor((width, height))
    np.testing.assert_allclose(stretched(corners(size)), image, atol=2e-3)

    cropped = preprocess_of("crop", size).original_from_tensor((width, height))(corners(size))
    assert (cropped >= image[0] - 2e-3).all()
    assert (cropped <= image[2] + 2e-3).all()
    margins = np.array([cropped[0] - image[0], image[2] - cropped[2]])
    assert np.abs(margins[0] - margins[1]).max() <= 1 + 4e-3  # centred, to the odd pixel

    boxed = preprocess_of("letterbox", size).original_from_tensor((width, height)).inverse()(image)
    assert (boxed >= -0.5 - 2e-3).all()
    assert (boxed <= corners(size)[2] + 2e-3).all()
    margins = np.array([boxed[0] + 0.5, corners(size)[2] - boxed[2]])
    assert np.abs(margins[0] - margins[1]).max() <= 1 + 4e-3


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(MODES), st.integers(16, 64), st.integers(16, 600), st.data(), st.booleans())
def test_a_ramp_comes_out_where_the_map_says(resize, side, other_side, data, vertical):
    """Grey levels that rise along an axis tell, in every tensor pixel, from which coordinate it was read."""
    width, height = (other_side, side) if vertical else (side, other_side)
    largest = (width // 8, height // 8) if resize == "cut" else (60, 60)
    size = (8 * data.draw(st.integers(1, largest[0])), 8 * data.draw(st.integers(1, largest[1])))
    levels_per_px = 255 // (side - 1)  # a whole number, so that the ramp itself is exact
    ramp = np.arange(side, dtype=np.uint8) * np.uint8(levels_per_px)
    image = np.ascontiguousarray(np.broadcast_to(ramp[:, None] if vertical else ramp[None, :], (height, width)))
    tensor, original_from_tensor = preprocess_of(resize, size).apply(image)

    grid = np.stack(np.meshgrid(np.arange(size[0]), np.arange(size[1])), axis=2).reshape(-1, 2).astype(np.float32)
    place = original_from_tensor(grid)
    # cv2.INTER_LINEAR repeats the edge pixels, and a crop is cut out before it is resized: look at the inside only.
    used = original_from_tensor(corners(size))
    low, high = np.maximum(used[0], -0.5) + 0.5, np.minimum(used[2], [width - 0.5, height - 0.5]) - 0.5
    inside = ((place >= low) & (place <= high)).all(axis=1)
    error = tensor[0, 0].reshape(-1)[inside] / levels_per_px - place[inside][:, int(vertical)]
    assert np.abs(error).max(initial=0) <= 1 / levels_per_px  # cv2 rounds to whole levels


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(MODES), st.integers(64, 640), st.integers(64, 640), st.floats(0.35, 0.65), st.floats(0.35, 0.65))
def test_a_blob_is_found_where_it_was_drawn(resize, width, height, share_x, share_y):
    """An asymmetric error of half a pixel, the usual one, would show here."""
    size = (64, 48)
    whole = size if resize == "cut" else (width, height)
    x, y = whole[0] * share_x, whole[1] * share_y
    sigma = min(whole) / 16
    rows, columns = np.mgrid[:height, :width]
    blob = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    preprocess = Preprocess(size=size, resize=resize, interpolation="area")
    tensor, original_from_tensor = preprocess.apply(np.round(255 * blob).astype(np.uint8))

    used = original_from_tensor(corners(size))
    assume((np.abs(np.array([x, y]) - used.mean(axis=0)) < (used[2] - used[0]) / 2 - 4 * sigma).all())  # all in sight
    weight = tensor[0, 0].astype(np.float64)
    tensor_rows, tensor_columns = np.mgrid[: size[1], : size[0]]
    centroid = np.array([[(weight * tensor_columns).sum(), (weight * tensor_rows).sum()]]) / weight.sum()
    found = original_from_tensor(centroid)[0]
    assert abs(found[0] - x) < 0.08 * max(1, original_from_tensor.scale[0])
    assert abs(found[1] - y) < 0.08 * max(1, original_from_tensor.scale[1])


@given(sides, sides, st.integers(1, 700))
def test_a_longest_side_keeps_the_ratio_and_the_edges(width, height, max_side):
    limited, original_from_limited = limited_image(np.zeros((height, width), np.uint8), max_side)
    size = (limited.shape[1], limited.shape[0])
    assert size == limited_size((width, height), max_side)
    assert max(size) == min(max_side, max(width, height))
    scale = max(size) / max(width, height)
    assert np.abs(np.array(size) - np.maximum(np.array([width, height]) * scale, 1)).max() <= 0.5
    np.testing.assert_allclose(original_from_limited(corners(size)), corners((width, height)), atol=2e-3)
