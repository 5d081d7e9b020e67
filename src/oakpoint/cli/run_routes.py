"""Which way ``oakpoint run`` goes, and which options count on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

import typer

from oakpoint.backends.registry import BACKENDS
from oakpoint.cli.options import parse_size
from oakpoint.errors import UsageError
from oakpoint.models.base import ModelOptions
from oakpoint.oak.options import OakOptions

OAK_SOURCE = "oak"
"""The source that is a camera; a file or folder of that name is reached as ``./oak``."""

CAMERA_BACKEND, REPLAY_BACKEND = "depthai", "depthai-replay"

Route = Literal["host", "camera", "chip", "replay"]
"""``host``: a runtime of this machine; ``camera``: sensor and network of an OAK camera; ``chip``: its network on frames
of this machine; ``replay``: DepthAI's runtime with no camera."""

_PANEL = "OAK camera"


def _option(text: str, name: str | None = None) -> typer.models.OptionInfo:
    names = () if name is None else (name,)
    option: typer.models.OptionInfo = typer.Option(*names, help=text, show_default=False, rich_help_panel=_PANEL)
    return option


Socket = Annotated[str | None, _option("Camera socket: CAM_A (default), CAM_B, CAM_C or CAM_D.")]
Fps = Annotated[float | None, _option("Frames per second of the sensor. Default: 30.")]
Preview = Annotated[
    str | None, _option("WIDTHxHEIGHT of the colour frames to show. Default: the network's own grey input.")
]
NnThreads = Annotated[
    int | None,
    _option("Inference threads, one neural compute engine each, for the camera's frames: 1 or 2 (default)."),
]
Shaves = Annotated[int | None, _option("SHAVEs, of the bundle's superblob. Default: the bundle's blob.")]
Camera = Annotated[str | None, _option("Id, USB name or IP address, where there are several cameras.")]
Usb2 = Annotated[bool, _option("Keep the connection at USB 2.", "--usb2")]
Reconnect = Annotated[bool, _option("Open a camera that was lost again, after 1, 2, 4, … 30 s.", "--reconnect")]
StandIn = Annotated[
    str | None, _option("Network of depthai-replay: openvino (default) or myriad_simulator (the blob, executed).")
]


def route_of(source: str, backend: str | None) -> Route:
    """The way that a source and a backend ask for.

    Raises:
        UsageError: an unknown backend, or one that a camera does not have.
    """
    known = (*BACKENDS, CAMERA_BACKEND, REPLAY_BACKEND)
    if backend is not None and backend not in known:
        raise UsageError(f"backend: expected one of {', '.join(known)}, got {backend!r}")
    if source == OAK_SOURCE:
        if backend not in (None, CAMERA_BACKEND):
            raise UsageError(
                f"source {OAK_SOURCE} runs the network on the camera (--backend {CAMERA_BACKEND}), not on {backend}; "
                f"a file or folder of that name is ./{OAK_SOURCE}"
            )
        return "camera"
    if backend == REPLAY_BACKEND:
        return "replay"
    return "chip" if backend == CAMERA_BACKEND else "host"


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraRequest:
    """The camera's options as they were given; None or False where they were not."""

    socket: str | None
    fps: float | None
    preview: str | None
    nn_threads: int | None
    shaves: int | None
    camera: str | None
    usb2: bool
    reconnect: bool
    stand_in: str | None

    def check(self, route: Route, words: Mapping[Route, str] | None = None) -> None:
        """Refuse an option that would have no effect.

        Args:
            route: the way that is gone.
            words: how to ask for each route that the command has. None: as ``oakpoint run`` is asked.

        Raises:
            UsageError: one was given.
        """
        words = words or _WORDS
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and value is not False and field.name not in _COUNTS[route]:
                option = field.name.replace("_", "-")
                where = [word for name, word in words.items() if field.name in _COUNTS[name]]
                raise UsageError(f"--{option}: counts with {' or '.join(where)} only")

    def options(self) -> OakOptions:
        """The same as options of the camera.

        Raises:
            UsageError: a value out of range.
        """
        given = {
            "device": self.camera,
            "socket": self.socket,
            "fps": self.fps,
            "threads": self.nn_threads,
            "shaves": self.shaves,
            "preview": parse_size(self.preview),
        }
        return OakOptions(**{name: value for name, value in given.items() if value is not None}, usb2=self.usb2)  # type: ignore[arg-type]


_CHIP = {"shaves", "camera", "usb2"}  # one frame at a time: a second inference thread would have nothing to do
_COUNTS: dict[Route, set[str]] = {
    "host": set(),
    "camera": _CHIP | {"nn_threads", "socket", "fps", "preview", "reconnect"},
    "chip": _CHIP,
    "replay": {"stand_in"},
}
_WORDS: dict[Route, str] = {
    "host": "a runtime of this machine",
    "camera": f"the source {OAK_SOURCE}",
    "chip": f"--backend {CAMERA_BACKEND}",
    "replay": f"--backend {REPLAY_BACKEND}",
}


def check_host_options(
    *,
    weights: Path | None,
    said: ModelOptions,
    size: str | None,
    max_side: int | None,
    max_memory: float | None,
    device: str,
    precision: str,
    threads: int | None,
    decoding: str,
) -> None:
    """Refuse options of the runtimes of this machine, for a network that runs as it was compiled.

    Raises:
        UsageError: one was given.
    """
    given = {
        "weights": weights is not None,
        "arg, output, shape, task or one of the image's options": said != ModelOptions(),
        "size": size is not None,
        "max-side": max_side is not None,
        "max-memory": max_memory is not None,
        "device": device != "CPU",
        "precision": precision != "f32",
        "threads": threads is not None,
        "decoding": decoding != "auto",
    }
    for name, was_given in given.items():
        if was_given:
            raise UsageError(f"--{name}: has no effect on a camera's network, which runs as it was converted")
