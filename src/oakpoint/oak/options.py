"""How the camera is opened and what it is asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass

from oakpoint.errors import UsageError

SOCKETS = ("CAM_A", "CAM_B", "CAM_C", "CAM_D")
"""Camera sockets of RVC2 boards: on an OAK-D and OAK-D Lite A is the colour camera, B the left and C the right one."""

MAX_THREADS = 2
"""The Myriad X has two neural compute engines, and every inference thread takes one."""

MAX_FPS = 240.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OakOptions:
    """Options of an OAK camera.

    Attributes:
        device: its id, USB name or IP address; None takes the only or first one.
        socket: one of ``SOCKETS``.
        fps: frames per second that the sensor is asked for.
        threads: inference threads, 1 or 2, with one neural compute engine each.
        shaves: SHAVE cores that the network is compiled for; None takes the bundle's blob, other numbers the superblob.
        preview: (W, H) in pixels of the colour frames to show; None shows the network's own grey input.
        usb2: keep the connection at USB 2, for cables and hubs that fail at USB 3.

    Raises:
        UsageError: a value out of range.
    """

    device: str | None = None
    socket: str = "CAM_A"
    fps: float = 30.0
    threads: int = MAX_THREADS
    shaves: int | None = None
    preview: tuple[int, int] | None = None
    usb2: bool = False

    def __post_init__(self) -> None:
        if self.socket not in SOCKETS:
            raise UsageError(f"socket: expected one of {', '.join(SOCKETS)}, got {self.socket!r}")
        if not (math.isfinite(self.fps) and 0 < self.fps <= MAX_FPS):
            raise UsageError(f"fps: expected more than 0 and at most {MAX_FPS:g} frames per second, got {self.fps:g}")
        if not 1 <= self.threads <= MAX_THREADS:
            raise UsageError(
                f"nn-threads: expected 1 or {MAX_THREADS}, one for each neural compute engine, got {self.threads}"
            )
        if self.shaves is not None and not 1 <= self.shaves <= 16:
            raise UsageError(f"shaves: expected 1 to 16, got {self.shaves}")
        if self.preview is not None and any(side < 8 or side % 2 for side in self.preview):
            raise UsageError(
                f"preview: expected even sides of 8 px or more (NV12), got {self.preview[0]}x{self.preview[1]}"
            )
