from __future__ import annotations

import hashlib
import tracemalloc

import cv2
import numpy as np
import pytest

from oakpoint.errors import ImageError, UsageError
from oakpoint.evaluate import synthetic
from oakpoint.evaluate.synthetic import SyntheticOptions, random_homography, synthetic_dataset, synthetic_sequence
from oakpoint.images.reading import read_image

CALM = {"contrast": 0.0, "brightness": 0.0, "blur_px": 0.0, "noise": 0.0}


def smooth(rng: np.random.Generator, height=400, width=500) -> np.ndarray:
    return cv2.GaussianBlur(rng.integers(0, 256, (height, width), np.uint8), (0, 0), 4) * 2


def test_a_view_is_the_first_image_under_its_homography(rng):
    """Warping the first image by the homography that is given out must give the view."""
    found = synthetic_sequence("p", smooth(rng), SyntheticOptions(views=4, **CALM))
    first = found.first.read()
    for other in found.others:
        view, homography = other.read().image, other.read().other_from_first
        size = (view.shape[1], view.shape[0])
        expected = cv2.warpPerspective(first, homography, size)
        inside = cv2.warpPerspective(np.full_like(first, 255), homography, size) == 255
        inside = cv2.erode(inside.astype(np.uint8), np.ones((5, 5))) > 0
        assert inside.mean() > 0.3
        assert np.abs(view[inside].astype(int) - expected[inside]).max() <= 2
        assert np.abs(homography - np.eye(3)).max() > 0.05


def test_the_seed_and_the_name_decide(rng):
    photograph = smooth(rng)

    def views(name, seed):
        made = synthetic_sequence(name, photograph, SyntheticOptions(views=2, seed=seed))
        return np.stack([other.read().image for other in made.others])

    assert np.array_equal(views("a", 0), views("a", 0))
    assert not np.array_equal(views("a", 0), views("a", 1))
    assert not np.array_equal(views("a", 0), views("b", 0))


def test_noise_changes_the_light(rng):
    calm, noisy = (
        synthetic_sequence("p", smooth(np.random.default_rng(1)), SyntheticOptions(views=1, **options))
        for options in (CALM, {})
    )
    calm, noisy = calm.others[0].read(), noisy.others[0].read()
    assert np.array_equal(calm.other_from_first, noisy.other_from_first)
    assert np.abs(calm.image.astype(int) - noisy.image).mean() > 1


def test_large_photographs_are_scaled_down(rng):
    found = synthetic_sequence("p", smooth(rng, 1500, 2000), SyntheticOptions(views=1))
    assert found.first.read().shape == (480, 640)


def views_in_turn(photograph, name, options):
    """All views of one photograph from one stream of random numbers, as they were first made for published figures."""
    height, width = photograph.shape
    size = (int(0.7 * width), int(0.7 * height))
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    rng = np.random.default_rng([options.seed, int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")])
    for _ in range(options.views):
        homography = random_homography(size, rng, options)
        view = cv2.warpPerspective(
            photograph,
            homography @ np.array([[1.0, 0, -left], [0, 1, -top], [0, 0, 1]]),
            size,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        contrast, brightness = 1 + rng.uniform(-0.4, 0.4), rng.uniform(-30, 30)
        blur_px, sigma = rng.uniform(0, 1), rng.uniform(0, 8)
        values = view.astype(np.float32)
        values = cv2.GaussianBlur(values, (0, 0), blur_px) if blur_px > 0.1 else values
        values = (values - 127.5) * contrast + 127.5 + brightness + rng.normal(0, sigma, view.shape)
        yield np.clip(np.rint(values), 0, 255).astype(np.uint8), homography


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2,), (1, 3, 1)])
def test_a_view_alone_is_the_same_as_one_in_turn(order):
    photograph, options = smooth(np.random.default_rng(3), 200, 260), SyntheticOptions(views=4, seed=5)
    expected = list(views_in_turn(photograph, "p", options))
    made = synthetic_sequence("p", photograph, options)
    for index in order:
        view = made.others[index].read()
        np.testing.assert_array_equal(view.image, expected[index][0])
        np.testing.assert_array_equal(view.other_from_first, expected[index][1])


@pytest.fixture
def read_photographs(monkeypatch):
    """The names of files that are decoded, in turn."""
    read = []

    def reading(path):
        read.append(path.name)
        return read_image(path)

    monkeypatch.setattr(synthetic, "read_image", reading)
    return read


def test_no_photograph_is_read_before_its_turn_and_none_twice_in_turn(tmp_path, rng, read_photographs):
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), smooth(rng, 100, 120))
    dataset = synthetic_dataset(tmp_path, SyntheticOptions(views=2))
    assert dataset.pairs == 4
    assert read_photographs == []
    first, second = dataset.sequences
    for image in (first.first, *first.others, second.first, *second.others):
        image.read()
    assert read_photographs == ["a.png", "b.png"]
    again = first.others[1].read().image  # out of turn: read anew, and the same
    assert read_photographs == ["a.png", "b.png", "a.png"]
    one = synthetic_sequence("a.png", read_image(tmp_path / "a.png"), SyntheticOptions(views=2))
    np.testing.assert_array_equal(again, one.others[1].read().image)


def test_only_the_photograph_in_turn_is_held(tmp_path, rng):
    for index in range(20):
        cv2.imwrite(str(tmp_path / f"{index}.png"), smooth(rng, 300, 400))
    tracemalloc.start()
    try:
        dataset = synthetic_dataset(tmp_path, SyntheticOptions(views=3))
        for sequence in dataset.sequences:
            for image in (sequence.first, *sequence.others):
                image.read()
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    pixels = 300 * 400
    assert held < 4 * pixels  # the last photograph; all twenty with their views have 50 times as many pixels
    assert peak < 30 * pixels  # a view in the making: float32 and float64


def test_a_small_and_a_broken_photograph_are_found_when_their_turn_comes(tmp_path, rng):
    cv2.imwrite(str(tmp_path / "good.png"), smooth(rng))
    cv2.imwrite(str(tmp_path / "small.png"), smooth(rng, 40, 40))
    (tmp_path / "broken.png").write_bytes(b"no image")
    dataset = synthetic_dataset(tmp_path, SyntheticOptions(views=2))
    assert [s.name for s in dataset.sequences] == ["broken.png", "good.png", "small.png"]
    broken, good, small = dataset.sequences
    assert good.first.read().shape == (280, 350)
    with pytest.raises(ImageError, match="not an image"):
        broken.first.read()
    with pytest.raises(ImageError, match=r"small.png: 40×40 px is too small"):
        small.others[1].read()
    with pytest.raises(ImageError, match="too small"):
        synthetic_sequence("p", smooth(rng, 40, 40), SyntheticOptions())


def test_the_wheels_hold_photographs():
    dataset = synthetic_dataset(None, SyntheticOptions(views=1))
    names = [s.name for s in dataset.sequences]
    assert "astronaut" in names
    assert "china" in names  # scikit-learn's
    assert dataset.skipped == ()


@pytest.mark.parametrize("options", [{"views": 0}, {"seed": -1}])
def test_impossible_options(options):
    with pytest.raises(UsageError):
        SyntheticOptions(**options)
