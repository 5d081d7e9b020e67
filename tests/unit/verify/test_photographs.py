from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from oakpoint.errors import ImageError
from oakpoint.verify.photographs import MAX_IMAGES, PHOTOGRAPHS, load_photographs, second_view


def test_the_photographs_come_with_the_wheel(photographs: dict[str, Any]) -> None:
    assert tuple(photographs) == PHOTOGRAPHS
    assert all(image.dtype == np.uint8 and min(image.shape[:2]) >= 250 for image in photographs.values())


def test_a_folder_of_the_users(tmp_path: Path) -> None:
    assert load_photographs(tmp_path) == {}
    for index in range(MAX_IMAGES + 3):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((8, 8), index, np.uint8))
    found = load_photographs(tmp_path)
    assert list(found) == [f"{index}.png" for index in range(MAX_IMAGES)]
    assert found["10.png"][0, 0] == 10


def test_a_folder_that_is_not_there_or_has_a_broken_image(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such folder"):
        load_photographs(tmp_path / "missing")
    (tmp_path / "broken.png").write_text("x")
    with pytest.raises(ImageError, match=r"broken.png: not an image"):
        load_photographs(tmp_path)


def test_a_broken_image_among_others_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "broken.png").write_text("x")
    cv2.imwrite(str(tmp_path / "good.png"), np.zeros((8, 8), np.uint8))
    assert list(load_photographs(tmp_path)) == ["good.png"]
    assert "broken.png: not an image" in caplog.text


def test_the_second_view_is_turned_about_the_middle(photographs: dict[str, Any]) -> None:
    image = photographs["camera"]
    view = second_view(image)
    assert view.shape == image.shape
    assert (view != image).mean() > 0.5
    middle = np.s_[250:262, 250:262]
    assert np.abs(view[middle].astype(int) - image[middle]).mean() < 15
