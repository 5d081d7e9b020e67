from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from oakpoint.errors import ImageError, UsageError
from oakpoint.estimation.options import FitOptions
from oakpoint.features.types import Features
from oakpoint.image_matching import (
    LeftOut,
    MatchedPair,
    MatchOptions,
    features_of_first,
    images_to_match,
    match_features,
    match_images,
    ranked,
)
from oakpoint.images.origin import ImageOrigin

NO_MODEL = MatchOptions(fit=None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("q.png", "db/1.png", "db/2.png", "db/deep/10.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def features(keypoints: np.ndarray, descriptors: np.ndarray) -> Features:
    n = len(keypoints)
    return Features(np.float32(keypoints), np.ones(n, np.float32), np.float32(descriptors), (400, 300))


def scattered(rng: np.random.Generator, count: int) -> Features:
    descriptors = rng.normal(size=(count, 32))
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    return features(rng.uniform(0, 300, (count, 2)), descriptors)


def test_names_begin_at_the_deepest_common_folder(folder: Path) -> None:
    images = images_to_match(folder / "q.png", folder / "db")
    assert images.first.name == "q.png"
    assert [image.name for image in images.others] == ["db/1.png", "db/2.png", "db/deep/10.png"]
    images = images_to_match(folder / "db" / "1.png", folder / "db" / "deep" / "10.png")
    assert (images.first.name, images.others[0].name) == ("1.png", "deep/10.png")
    assert images.others[0].path == folder / "db" / "deep" / "10.png"


def test_names_begin_at_the_root_that_is_given(folder: Path) -> None:
    images = images_to_match(folder / "db" / "1.png", folder / "db" / "2.png", root=folder)
    assert (images.first.name, images.others[0].name) == ("db/1.png", "db/2.png")
    with pytest.raises(UsageError, match=r"q\.png is not in it"):
        images_to_match(folder / "q.png", folder / "db", root=folder / "db")


def test_the_first_image_is_not_matched_with_itself(folder: Path) -> None:
    (folder / "db" / "link.png").symlink_to("1.png")
    images = images_to_match(folder / "db" / "1.png", folder / "db")
    assert [image.name for image in images.others] == ["2.png", "deep/10.png"]
    alone = folder / "alone"
    alone.mkdir()
    (alone / "a.png").write_bytes(b"")
    with pytest.raises(ImageError, match=r"no image in this folder but a\.png"):
        images_to_match(alone / "a.png", alone)


def test_an_image_without_features_is_left_out(rng: np.random.Generator) -> None:
    there = scattered(rng, 20)

    def features_of(image: ImageOrigin) -> Features:
        if image.name == "bad":
            raise ImageError("bad: cut short")
        return there

    found = list(match_images(there, [ImageOrigin(Path(), name) for name in ("bad", "good")], features_of, NO_MODEL))
    assert found[0] == LeftOut("bad", "bad: cut short")
    assert isinstance(found[1], MatchedPair)
    assert len(found[1].matches) == 20
    assert found[1].found
    assert found[1].features.descriptors.shape == (20, 0)


def test_the_most_inliers_come_first(rng: np.random.Generator) -> None:
    first = scattered(rng, 60)
    shares = {"a": 20, "b": 60, "c": 0, "d": 40}
    pairs = []
    for name, moved in shares.items():
        places = rng.uniform(0, 300, (60, 2))
        places[:moved] = first.keypoints[:moved] + 7
        options = MatchOptions(fit=FitOptions())
        pairs.append(match_features(ImageOrigin(Path(), name), first, features(places, first.descriptors), options))
    assert [pair.image.name for pair in ranked(pairs)] == ["b", "d", "a", "c"]
    assert [pair.found for pair in ranked(pairs)] == [True, True, True, False]
    counts = [pair.inliers for pair in ranked(pairs)]
    np.testing.assert_allclose(counts, [60, 40, 20, 0], atol=1)


@pytest.mark.parametrize(("said", "told"), [("too small", "q.png: too small"), ("a/q.png: bad", "a/q.png: bad")])
def test_an_error_of_the_first_image_names_it(said: str, told: str) -> None:
    def features_of(image: ImageOrigin) -> Features:
        raise ImageError(said)

    with pytest.raises(ImageError) as error:
        features_of_first(ImageOrigin(Path(), "q.png"), features_of)
    assert str(error.value) == told
