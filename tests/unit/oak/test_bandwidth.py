from __future__ import annotations

from oakpoint.bundle.interface import TensorSpec
from oakpoint.oak.bandwidth import bandwidth_note, bytes_per_frame

OUTPUTS = (TensorSpec("semi", "float16", (1, 65, 25, 40)), TensorSpec("desc", "float16", (1, 256, 25, 40)))
"""SuperPoint at 320×200: 65 and 256 channels of 2 bytes for each of 1000 cells."""


def test_bytes_of_a_frame() -> None:
    assert bytes_per_frame(OUTPUTS, (320, 200), colour=False) == 642_000 + 64_000
    assert bytes_per_frame(OUTPUTS, (640, 400), colour=True) == 642_000 + 384_000


def test_superpoint_fits_usb3_and_not_every_frame_fits_usb2() -> None:
    sent = bytes_per_frame(OUTPUTS, (1280, 800), colour=True)
    assert bandwidth_note(sent, 30, "SUPER") is None
    assert bandwidth_note(bytes_per_frame(OUTPUTS, (320, 200), colour=False), 30, "HIGH") is None
    note = bandwidth_note(sent, 30, "HIGH")
    assert note is not None
    assert "carries about 36 MB/s and 30 frames per second need 65" in note
    assert "--fps 16" in note


def test_the_rate_that_is_advised_fits() -> None:
    assert bandwidth_note(2e6, 18, "HIGH") is None
    assert "--fps 18" in str(bandwidth_note(2e6, 19, "HIGH"))


def test_a_connection_of_unknown_speed_is_not_warned_of() -> None:
    assert bandwidth_note(1e9, 30, "UNKNOWN") is None
