from __future__ import annotations

import cv2
import numpy as np
import pytest

import oakpoint
from oakpoint.backends.base import Backend
from oakpoint.backends.limit import MemoryLimit
from oakpoint.bundle.interface import TensorSpec
from oakpoint.errors import ImageError, UsageError
from oakpoint.extractor import Extractor
from oakpoint.features.types import DecodeOptions
from oakpoint.predictor import MAX_CACHED_SIZES
from oakpoint.tasks.keypoints.task import superpoint_preprocess

GB = 1_000_000_000


class Bright(Backend):
    """The heat map is the image, so that a keypoint lies where the image is brightest."""

    description = "bright"

    def __init__(self, size: tuple[int, int], opened: list[tuple[int, int]]) -> None:
        self.inputs = (TensorSpec("input", "float32", (1, 1, size[1], size[0])),)
        self.outputs = ()
        self._size = size
        self._opened = opened
        opened.append(size)

    def _run(self, tensors):
        height, width = tensors["input"].shape[2:]
        descriptors = np.ones((1, 4, height // 8, width // 8), np.float32)
        return {"heatmap": tensors["input"][0].copy(), "descriptors": descriptors}

    def close(self) -> None:
        self._opened.remove(self._size)


def bright_extractor(opened: list[tuple[int, int]] | None = None, **options) -> Extractor:
    kept = [] if opened is None else opened
    decode = DecodeOptions(
        threshold=0.3, nms_radius_px=4, border_px=0, max_keypoints=None, nms="greedy", sampling="cell_centres"
    )
    preprocess = superpoint_preprocess((64, 48))
    return Extractor(lambda size: Bright(size, kept), preprocess=preprocess, decode=decode, **options)


def spots(width: int, height: int, centres: list[tuple[float, float]], radius: float) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    image = sum(np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * radius**2)) for cx, cy in centres)
    return np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)


CENTRES = [(100.0, 60.0), (500.5, 300.0), (333.0, 420.0)]


@pytest.mark.parametrize(("width", "height"), [(640, 480), (643, 489), (600, 470)])
@pytest.mark.parametrize("max_side", [200, 333, 640])
def test_with_a_longest_side_keypoints_are_in_pixels_of_the_image(width, height, max_side):
    opened: list[tuple[int, int]] = []
    extractor = bright_extractor(opened, native=True, max_side=max_side)
    found = extractor(spots(width, height, CENTRES, 12))
    scale = min(1, max_side / width)
    assert opened == [(round(width * scale) // 8 * 8, round(height * scale) // 8 * 8)]
    assert found.image_size == (width, height)
    for centre in CENTRES:
        assert np.abs(found.keypoints - centre).max(axis=1).min() <= 0.5 / scale + 0.6


def test_an_image_no_longer_than_that_is_taken_as_it_is():
    image = spots(640, 480, CENTRES, 5)
    plain, limited = (bright_extractor(native=True, max_side=side)(image) for side in (None, 640))
    assert np.array_equal(plain.keypoints, limited.keypoints)
    assert np.array_equal(plain.scores, limited.scores)


def test_a_path_gives_what_its_image_gives(tmp_path):
    image = spots(160, 120, [(40, 50)], 4)
    assert cv2.imwrite(str(tmp_path / "a.png"), image)
    extractor = bright_extractor(native=True)
    for given in (image, tmp_path / "a.png", str(tmp_path / "a.png")):
        assert extractor(given).keypoints[0].tolist() == [40, 50]
        extractor.open_for(given)
        assert extractor.dense(given)[0].image_size == (160, 120)


@pytest.mark.parametrize("given", [None, [1, 2], np.zeros((3, 48, 64), np.uint8), np.zeros((48, 64))])
@pytest.mark.parametrize("native", [True, False])
def test_what_is_no_image_is_named_before_any_model_is_opened(given, native):
    opened: list[tuple[int, int]] = []
    extractor = bright_extractor(opened, native=native)
    for call in (extractor, extractor.dense, extractor.open_for):
        with pytest.raises(ImageError, match="image: expected"):
            call(given)
    assert opened == []


def bytes_of(size: tuple[int, int]) -> int:
    return 1000 * size[0] * size[1]


def test_what_would_take_too_much_memory_is_refused_and_the_rest_goes_on():
    extractor = bright_extractor(native=True, memory=MemoryLimit(bytes_of, 0.01))
    large, small = np.zeros((160, 160), np.uint8), np.zeros((80, 80), np.uint8)
    extractor(small)
    with pytest.raises(ImageError, match=r"image: 160×160 px take the network about 0\.026 GB .* --max-side 88"):
        extractor(large)
    extractor(small)
    fitting = bright_extractor(native=True, max_side=88, memory=MemoryLimit(bytes_of, 0.01))
    fitting(large)


def test_a_size_that_was_asked_for_is_a_mistake_of_the_call():
    extractor = bright_extractor(memory=MemoryLimit(bytes_of, 0.001))
    with pytest.raises(UsageError, match="size: 64×48 px take the network about"):
        extractor(np.zeros((80, 80), np.uint8))


def test_models_of_other_sizes_make_room(monkeypatch):
    """What is free grows again when a model is closed; the one unused longest goes first."""
    opened: list[tuple[int, int]] = []
    monkeypatch.setattr(
        "oakpoint.backends.limit.available_bytes", lambda: 30_000_000 - sum(bytes_of(size) for size in opened)
    )
    extractor = bright_extractor(opened, native=True, memory=MemoryLimit(bytes_of))
    for side in (80, 96, 104, 120):  # 6.4, 9.2, 10.8 and 14.4 MB
        extractor(np.zeros((side, side), np.uint8))
    assert opened == [(104, 104), (120, 120)]
    with pytest.raises(ImageError, match=r"and 0\.030 GB are free"):
        extractor(np.zeros((240, 240), np.uint8))


def test_so_many_sizes_are_kept():
    opened: list[tuple[int, int]] = []
    extractor = bright_extractor(opened, native=True)
    for side in range(8, 8 * (MAX_CACHED_SIZES + 4), 8):
        extractor(np.zeros((side, 8), np.uint8))
    assert len(opened) == MAX_CACHED_SIZES
    extractor.close()
    assert opened == []


@pytest.mark.parametrize("size", [(96, 64), [96, 64], np.array([96, 64]), "96x64"])
def test_every_way_to_say_a_size_is_the_same(small_onnx, small_bundle, size):
    for model in (small_onnx, small_bundle):
        with oakpoint.load(model, size=size, backend="onnxruntime") as extractor:
            assert extractor.preprocess.size == (96, 64)
            assert not extractor.native
            assert extractor.dense(np.zeros((200, 300), np.uint8))[0].image_size == (96, 64)


@pytest.mark.parametrize("model", ["small_onnx", "small_bundle"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 640}, r"size: expected \(width, height\) in whole pixels, such as \(320, 200\), got 640"),
        ({"size": "640"}, "size: expected WIDTHxHEIGHT in pixels, such as 320x200, got '640'"),
        ({"size": (320.0, 240.0)}, "in whole pixels"),
        ({"size": [320, 241]}, "positive multiples of 8, got 320x241"),
        ({"size": (320, 240), "max_side": 640}, "max_side: counts for images at their own size only, not at 320x240"),
        ({"max_side": 7}, "max_side: expected 8 or more whole pixels, got 7"),
        ({"max_side": 640.5}, "max_side: expected 8 or more whole pixels, got 640.5"),
        ({"max_memory_gb": 0}, "max_memory_gb: expected a positive number"),
    ],
)
def test_a_size_that_cannot_be_meant(request, model, options, message):
    with pytest.raises(UsageError, match=message):
        oakpoint.load(request.getfixturevalue(model), **options)


def test_the_size_of_a_bundle_unless_another_is_asked_for(small_bundle):
    own = oakpoint.load(small_bundle)
    assert (own.preprocess.size, own.native, own.max_side) == ((160, 120), False, None)
    assert oakpoint.load(small_bundle, size="native").native
    limited = oakpoint.load(small_bundle, max_side=96)
    assert (limited.native, limited.max_side) == (True, 96)
    with limited:
        assert limited.dense(np.zeros((100, 200), np.uint8))[0].image_size == (96, 48)


@pytest.mark.shared
def test_a_blob_has_one_size(shared):
    blob = shared / "blobs" / "superpoint_200x320_6shave.blob"
    for size in (None, (320, 200), "320x200"):
        assert oakpoint.load(blob, size=size, backend="myriad_simulator").preprocess.size == (320, 200)
    with pytest.raises(UsageError, match="compiled for 320x200, not for 640x480; a blob has one size"):
        oakpoint.load(blob, size=[640, 480], backend="myriad_simulator")
    with pytest.raises(UsageError, match="compiled for 320x200, not for a longest side of 640; a blob has one size"):
        oakpoint.load(blob, max_side=640, backend="myriad_simulator")


@pytest.mark.compiler
def test_nor_has_a_bundle_s_blob(small_blob_bundle):
    with pytest.raises(UsageError, match="compiled for 160x120, not for 96x64; a blob has one size"):
        oakpoint.load(small_blob_bundle, size=(96, 64), backend="myriad_simulator")
    assert oakpoint.load(small_blob_bundle, size=(96, 64)).preprocess.size == (96, 64)
