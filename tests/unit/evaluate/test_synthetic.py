from __future__ import annotations

import cv2
import numpy as np
import pytest

from oakpoint.errors import ImageError, UsageError
from oakpoint.evaluate.synthetic import SyntheticOptions, synthetic_dataset, synthetic_sequence

CALM = {"contrast": 0.0, "brightness": 0.0, "blur_px": 0.0, "noise": 0.0}


def smooth(rng: np.random.Generator, height=400, width=500) -> np.ndarray:
    return cv2.GaussianBlur(rng.integers(0, 256, (height, width), np.uint8), (0, 0), 4) * 2


def test_a_view_is_the_first_image_under_its_homography(rng):
    """Warping the first image by the homography that is given out must give the view."""
    found = synthetic_sequence("p", smooth(rng), SyntheticOptions(views=4, **CALM))
    first = found.first.read()
    for other, homography in zip(found.others, found.other_from_first, strict=True):
        view = other.read()
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
        return np.stack([image.read() for image in made.others])

    assert np.array_equal(views("a", 0), views("a", 0))
    assert not np.array_equal(views("a", 0), views("a", 1))
    assert not np.array_equal(views("a", 0), views("b", 0))


def test_noise_changes_the_light(rng):
    calm, noisy = (
        synthetic_sequence("p", smooth(np.random.default_rng(1)), SyntheticOptions(views=1, **options))
        for options in (CALM, {})
    )
    assert np.array_equal(calm.other_from_first[0], noisy.other_from_first[0])
    assert np.abs(calm.others[0].read().astype(int) - noisy.others[0].read()).mean() > 1


def test_large_photographs_are_scaled_down(rng):
    found = synthetic_sequence("p", smooth(rng, 1500, 2000), SyntheticOptions(views=1))
    assert found.first.read().shape == (480, 640)


def test_a_folder_with_a_small_and_a_broken_image(tmp_path, rng):
    cv2.imwrite(str(tmp_path / "good.png"), smooth(rng))
    cv2.imwrite(str(tmp_path / "small.png"), smooth(rng, 40, 40))
    (tmp_path / "broken.png").write_bytes(b"no image")
    dataset = synthetic_dataset(tmp_path, SyntheticOptions(views=2))
    assert [s.name for s in dataset.sequences] == ["good.png"]
    assert sorted(s.sequence for s in dataset.skipped) == ["broken.png", "small.png"]
    (tmp_path / "good.png").unlink()
    with pytest.raises(ImageError, match="no usable photograph"):
        synthetic_dataset(tmp_path, SyntheticOptions())


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
