"""What a run sends over USB, and what USB carries."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from oakpoint.bundle.interface import TensorSpec

CARRIED_MB_PER_S = {"LOW": 0.1, "FULL": 1.0, "HIGH": 36.0, "SUPER": 350.0, "SUPER_PLUS": 700.0}
"""Payload in MB/s by DepthAI's name of the connection's speed.

Signalling rates of the USB 2.0 (480 Mbit/s, section 5.8.4: at most 53 MB/s of bulk data) and USB 3.2 specifications,
less what protocols and hubs take; round figures to warn by, not measured with a camera.
"""

NV12_BYTES_PER_PIXEL = 1.5


def bytes_per_frame(
    outputs: Sequence[TensorSpec], shown_size: tuple[int, int], *, colour: bool, channels: int = 1
) -> float:
    """Bytes that one frame sends to the host: the network's outputs, and the frame to show.

    Args:
        outputs: of the network.
        shown_size: (W, H) of the frame to show, in pixels.
        colour: it is NV12; False: it is the network's own input.
        channels: of the network's own input, of one byte each.
    """
    tensors = sum(math.prod(int(side) for side in spec.shape) * np.dtype(spec.dtype).itemsize for spec in outputs)
    return tensors + shown_size[0] * shown_size[1] * (NV12_BYTES_PER_PIXEL if colour else channels)


def bandwidth_note(frame_bytes: float, fps: float, speed: str) -> str | None:
    """What to tell the user when the connection is too slow for every frame; None when it is fast enough or unknown.

    Args:
        frame_bytes: see ``bytes_per_frame``.
        fps: frames per second that were asked for.
        speed: DepthAI's name of the connection's speed: ``HIGH`` is USB 2, ``SUPER`` USB 3.
    """
    carried, needed = CARRIED_MB_PER_S.get(speed, math.inf), frame_bytes * fps / 1e6
    if needed <= carried:
        return None
    fitting_fps = max(math.floor(carried * 1e6 / frame_bytes), 1)
    return (
        f"USB at speed {speed} carries about {carried:g} MB/s and {fps:g} frames per second need {needed:.0f}: frames "
        f"will be dropped and counted; use a USB 3 cable and port, or --fps {fitting_fps}, or a smaller --preview"
    )
