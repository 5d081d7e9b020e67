"""Pictures on disk."""

import os

import cv2
import numpy as np
import pytest

from oakpoint.errors import OutputError
from oakpoint.files import shown_name
from oakpoint.view.picture import encoded, write_image

PICTURE = np.full((4, 6, 3), 90, np.uint8)


def test_a_name_that_is_not_utf8(tmp_path):
    """``cv2.imwrite`` crashes on one."""
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    write_image(path, PICTURE)
    (written,) = tmp_path.iterdir()
    assert shown_name(written.name) == "caf\\xe9.png"
    assert (cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED) == PICTURE).all()


def test_what_the_format_does_not_hold(tmp_path, capfd):
    with pytest.raises(OutputError, match=r"a picture of 70000×1 px cannot be written as \.jpg"):
        write_image(tmp_path / "a.jpg", np.zeros((1, 70_000, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OutputError, match=r"cannot be written as \.none"):
        encoded(PICTURE, ".none")
