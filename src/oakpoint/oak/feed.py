"""What a camera, or its stand-in, delivers: the seam that tests replace. Knows nothing of depthai."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.tasks.reading import Reading

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class ShownFrame:
    """A frame to show.

    Attributes:
        sequence: its number.
        image: gives the picture, uint8 (H, W) or (H, W, 3) BGR; called for frames that have a result only.
        origin: what the feed made it from.
    """

    sequence: int
    image: Callable[[], Image]
    origin: object = None


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What the network found in one frame.

    Attributes:
        sequence: the frame's number.
        reading_in: gives the network's outputs, to be read in pixels of a frame's picture; the model's own task has
            read them already.
        latency_s: seconds from the capture to the end of reading.
        captured_s: when the frame was captured, by ``time.monotonic``.
        serial: 0, 1, 2, … in the order in which results were read; a gap was left out for a later one.
        dropped: results left out before reading, so far.
    """

    sequence: int
    reading_in: Callable[[ShownFrame], Reading[Any]]
    latency_s: float
    captured_s: float
    serial: int
    dropped: int


class Feed(ABC):
    """Results and frames of a running pipeline; a context manager that ends it.

    Attributes:
        description: camera or stand-in, for people.
        notes: what the user is to be told once: a connection that is too slow, for instance.
        facts: what is known of the camera, for ``--json``.
    """

    description: str
    notes: tuple[str, ...] = ()
    facts: dict[str, object]

    @abstractmethod
    def next_result(self, timeout_s: float) -> Result | None:
        """The next result, waited for up to ``timeout_s`` seconds; None when none came.

        Raises:
            DeviceLostError: the camera is gone.
            OakpointError: a node failed.
        """

    @abstractmethod
    def new_frames(self, timeout_s: float) -> list[ShownFrame]:
        """The frames that came since the last call; when there are none, the first one within ``timeout_s`` seconds.

        Raises:
            DeviceLostError: the camera is gone.
        """

    @property
    @abstractmethod
    def finished(self) -> bool:
        """Whether no more results will come: the end of a video. A camera never is."""

    @abstractmethod
    def close(self) -> None:
        """Stop the pipeline and give the camera back."""

    def __enter__(self) -> Feed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
