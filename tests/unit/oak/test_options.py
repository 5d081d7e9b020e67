from __future__ import annotations

from typing import Any

import pytest

from oakpoint.errors import UsageError
from oakpoint.oak.options import OakOptions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"socket": "CAM_Z"}, "socket: expected one of CAM_A, CAM_B, CAM_C, CAM_D, got 'CAM_Z'"),
        ({"fps": 0.0}, "fps: expected more than 0 and at most 240"),
        ({"fps": float("nan")}, "fps: expected more than 0"),
        ({"threads": 3}, "nn-threads: expected 1 or 2"),
        ({"shaves": 0}, "shaves: expected 1 to 16, got 0"),
        ({"preview": (641, 400)}, "preview: expected even sides"),
    ],
)
def test_what_no_camera_has_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        OakOptions(**options)


def test_two_threads_and_the_networks_own_input_by_default() -> None:
    options = OakOptions()
    assert (options.threads, options.preview, options.shaves, options.usb2) == (2, None, None, False)
