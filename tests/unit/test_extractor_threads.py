"""An extractor in several threads: models of sizes are opened once, never closed in use, and all of them in the end."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from oakpoint.backends import limit
from oakpoint.backends.base import Backend, Tensors
from oakpoint.backends.cache import BackendCache
from oakpoint.backends.limit import MemoryLimit
from oakpoint.bundle.interface import TensorSpec
from oakpoint.errors import BackendError, ImageError
from oakpoint.extractor import Extractor
from oakpoint.features.types import DecodeOptions
from oakpoint.predictor import MAX_CACHED_SIZES
from oakpoint.tasks.keypoints.task import INPUT, superpoint_preprocess

Size = tuple[int, int]


class Recorded(Backend):
    """Peaks at the brightest pixels; like an inference request it has one piece of memory that a run works in."""

    def __init__(self, size: Size) -> None:
        self.description = f"recorded {size}"
        self.inputs = (TensorSpec(INPUT, "float32", (1, 1, size[1], size[0])),)
        self.outputs = (TensorSpec("heatmap", "float32", ()), TensorSpec("descriptors", "float32", ()))
        self.size = size
        self.closed = 0
        self._memory = np.zeros((1, size[1], size[0]), np.float32)

    def _run(self, tensors: Any) -> Tensors:
        assert not self.closed, "closed in use"
        self._memory[...] = tensors[INPUT][0]
        pause()
        assert not self.closed, "closed in use"
        descriptors = np.ones((1, 4, self.size[1] // 8, self.size[0] // 8), np.float32)
        return {"heatmap": self._memory.copy(), "descriptors": descriptors}

    def close(self) -> None:
        self.closed += 1


def pause() -> None:
    threading.Event().wait(1e-4)  # another thread's turn


class Opened:
    """Opens backends and remembers them."""

    def __init__(self) -> None:
        self.backends: list[Recorded] = []

    def __call__(self, size: Size) -> Backend:
        pause()
        self.backends.append(Recorded(size))
        return self.backends[-1]

    def open_sizes(self) -> list[Size]:
        return [backend.size for backend in self.backends if not backend.closed]


def native(open_at: Callable[[Size], Backend], **options: Any) -> Extractor:
    decode = replace(DecodeOptions.preset("superpoint"), border_px=0, threshold=0.5)
    return Extractor(open_at, preprocess=superpoint_preprocess((8, 8)), decode=decode, native=True, **options)


def image_of(size: Size, seed: int) -> NDArray[np.uint8]:
    image = np.zeros((size[1], size[0]), np.uint8)
    rng = np.random.default_rng(seed)
    image[rng.integers(0, size[1], 9), rng.integers(0, size[0], 9)] = rng.integers(128, 256, 9)
    return image


def in_threads(count: int, work: Callable[[int], None]) -> None:
    together = threading.Barrier(count)

    def start(number: int) -> None:
        together.wait(60)
        work(number)

    with ThreadPoolExecutor(count) as pool:
        for _ in pool.map(start, range(count)):
            pass


def test_more_sizes_than_are_kept_in_many_threads() -> None:
    sizes = [(8 * k, 64) for k in range(4, 4 + MAX_CACHED_SIZES + 4)]
    images = [image_of(size, seed) for seed, size in enumerate(sizes * 2)]
    opened = Opened()
    with native(Opened()) as alone:
        expected = [alone(image) for image in images]
    extractor = native(opened)

    def work(number: int) -> None:
        for step in range(2 * len(images)):
            index = (step * (number + 1)) % len(images)
            got, want = extractor(images[index]), expected[index]
            np.testing.assert_array_equal(got.keypoints, want.keypoints)
            np.testing.assert_array_equal(got.scores, want.scores)

    in_threads(6, work)
    assert len(opened.open_sizes()) == len(set(opened.open_sizes())) == MAX_CACHED_SIZES
    extractor.close()
    assert {backend.closed for backend in opened.backends} == {1}


def test_closing_while_others_are_at_work() -> None:
    opened = Opened()
    extractor = native(opened)
    image = image_of((32, 32), 0)
    expected = extractor(image)

    def work(number: int) -> None:
        for _ in range(50):
            if number == 0:
                extractor.close()
                pause()
            else:
                np.testing.assert_array_equal(extractor(image).keypoints, expected.keypoints)

    in_threads(4, work)
    extractor.close()
    assert {backend.closed for backend in opened.backends} == {1}


def test_a_size_is_opened_once_however_many_wait_for_it() -> None:
    opened = Opened()
    extractor = native(opened)
    in_threads(8, lambda _: extractor.open_for(image_of((32, 32), 0)))
    assert opened.open_sizes() == [(32, 32)]
    assert extractor.description() == "recorded (32, 32)"


def test_what_is_in_use_stays_open_and_goes_afterwards() -> None:
    opened = Opened()
    cache = BackendCache(opened, kept=2)
    with cache.lent((8, 8)), cache.lent((16, 8)), cache.lent((24, 8)):
        assert len(opened.open_sizes()) == 3
        cache.close()
        assert len(opened.open_sizes()) == 3
        with cache.lent((8, 8)):  # anew: the one before goes with its borrower
            assert len(opened.open_sizes()) == 4
    assert opened.open_sizes() == [(8, 8)]
    cache.close()
    assert opened.open_sizes() == []


def test_the_one_unused_longest_goes_before_another_is_opened() -> None:
    opened = Opened()
    cache = BackendCache(opened, kept=2)
    for width in (8, 16, 8, 24):
        with cache.lent((width, 8)):
            assert len(opened.open_sizes()) <= 2
    assert opened.open_sizes() == [(8, 8), (24, 8)]
    assert cache.last_used() == (24, 8)


def test_what_cannot_be_opened_is_tried_again_and_leaves_nothing() -> None:
    tries: list[Size] = []

    def open_at(size: Size) -> Backend:
        tries.append(size)
        if len(tries) < 3:
            raise BackendError("no memory")
        return Recorded(size)

    cache = BackendCache(open_at, kept=2)
    for _ in range(2):
        with pytest.raises(BackendError, match="no memory"), cache.lent((8, 8)):
            pass
        assert cache.last_used() is None
    with cache.lent((8, 8)) as backend:
        assert backend.description == "recorded (8, 8)"


SIZES = [(8 * k, 64) for k in range(4, 4 + MAX_CACHED_SIZES + 2)]


@pytest.mark.parametrize("in_flight", [1, 4])
def test_many_images_in_flight_give_what_calls_give_in_order(in_flight: int) -> None:
    images = [image_of(size, seed) for seed, size in enumerate(SIZES * 3)]
    opened = Opened()
    with native(Opened()) as alone, native(opened, in_flight=in_flight) as extractor:
        for got, image in zip(extractor.map(images), images, strict=True):
            want = alone(image)
            np.testing.assert_array_equal(got.keypoints, want.keypoints)
            np.testing.assert_array_equal(got.scores, want.scores)
            assert got.image_size == want.image_size
        readings = list(extractor.readings(images))
        assert [reading.image_size for reading in readings] == [image.shape[::-1] for image in images]
    assert {backend.closed for backend in opened.backends} == {1}


def test_images_are_taken_ahead_by_so_many_and_no_more() -> None:
    taken = []

    def images() -> Iterator[NDArray[np.uint8]]:
        for seed in range(100):
            taken.append(seed)
            yield image_of((32, 32), seed)

    with contextlib.closing(native(Opened(), in_flight=3).map(images())) as results:
        for _ in range(5):
            next(results)
    assert len(taken) <= 5 + 2 * 3 + 4


def test_an_image_that_is_none_ends_them_at_its_place() -> None:
    images: list[Any] = [
        image_of((32, 32), 0),
        image_of((32, 32), 1),
        np.zeros((4, 4), np.uint8),
        image_of((32, 32), 2),
    ]
    got = []
    with pytest.raises(ImageError, match="at least 8×8 px, got 4×4"):
        got.extend(native(Opened(), in_flight=2).map(images))
    assert len(got) == 2


def test_where_memory_is_short_an_image_has_the_network_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit, "available_bytes", lambda: 100)
    memory = MemoryLimit(lambda size: 60 if size == (64, 64) else 20)
    at_work: list[Size] = []
    together: list[list[Size]] = []

    class Watched(Recorded):
        concurrent = True

        def _run(self, tensors: Any) -> Tensors:
            at_work.append(self.size)
            together.append(list(at_work))
            pause()
            at_work.remove(self.size)
            self._memory = np.zeros_like(self._memory)
            return super()._run(tensors)

    alone: list[Size] = []

    def open_alone(size: Size) -> Backend:
        alone.append(size)
        return Watched(size)

    sizes = [(64, 64) if seed % 5 == 2 else (32, 32) for seed in range(40)]
    extractor = native(Watched, in_flight=4, memory=memory, open_alone_at=open_alone)
    assert len(list(extractor.map(image_of(size, seed) for seed, size in enumerate(sizes)))) == len(sizes)
    assert alone == [(64, 64)]
    assert all(len(runs) == 1 for runs in together if (64, 64) in runs)
