"""What is asked of whatever shows one kind of result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from oakpoint.files import shown_name

R = TypeVar("R")
MarkKind = Literal["found", "missing", "extra"]

Column = NDArray[Any]
"""Values of one kind, one for each row."""

NO_TRACK = -1
"""The track of what was found in an image by itself; its age is 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowOptions:
    """How results of successive frames are followed.

    Attributes:
        max_length: how many positions of a track are remembered for drawing, 2 or more.
        max_distance: largest descriptor distance within a track of a keypoint, in [0, 2].
    """

    max_length: int = 20
    max_distance: float = 0.7


class Follower(Protocol):
    """Follows results from frame to frame."""

    def update(self, result: Any) -> Any:
        """Take the next frame's result; what is known of its tracks, in whichever form the kind has."""

    def snapshot(self) -> Follower:
        """A follower that goes on from here by itself."""


def track_columns(tracks: Any, count: int) -> dict[str, Column]:
    """The columns ``id`` and ``age``, int64 (N,) each.

    Args:
        tracks: with ``ids`` and ``ages``; None for an image by itself.
        count: N.
    """
    if tracks is None:
        return {"id": np.full(count, NO_TRACK, np.int64), "age": np.zeros(count, np.int64)}
    return {"id": tracks.ids, "age": tracks.ages}


def text_column(texts: Sequence[str]) -> Column:
    """A column of texts, of which none can break a line or a file."""
    column = np.empty(len(texts), object)
    column[:] = [shown_name(text) for text in texts]
    return column


class NoFollower:
    """For results that have nothing to follow."""

    def update(self, result: Any) -> None:
        """See ``Follower.update``."""
        del result

    def snapshot(self) -> NoFollower:
        """See ``Follower.snapshot``."""
        return self


class Summary(ABC, Generic[R]):
    """Figures over all frames of a run; holds no results."""

    @abstractmethod
    def add(self, result: R, tracks: Any) -> None:
        """Count one frame."""

    @abstractmethod
    def facts(self, frames: int) -> dict[str, Any]:
        """The figures, for as many frames as were counted."""


class TrackCounts:
    """Figures of tracks over all frames of a run; none where nothing was followed."""

    def __init__(self) -> None:
        self._tracked = self._tracks = self._oldest = 0
        self._followed = False

    def add(self, ages: NDArray[np.integer]) -> None:
        """Count one frame.

        Args:
            ages: of what was found in it, how many frames its track has, this one among them.
        """
        self._followed = True
        self._tracked += int((ages > 1).sum())
        self._tracks += int((ages == 2).sum())
        self._oldest = max(self._oldest, int(ages.max(initial=0)))

    def facts(self, frames: int) -> dict[str, Any]:
        """The figures, for as many frames as were counted."""
        if not self._followed:
            return {}
        return {
            "tracks": self._tracks,
            "tracks_mean_per_frame": self._tracked / max(frames - 1, 1),
            "oldest_track_frames": self._oldest,
        }


class ResultView(ABC, Generic[R]):
    """Shows one kind of result.

    Attributes:
        name: of what it shows.
        doing: what a frame's time was spent on, for the line below a picture.
        stackable: whether the marks of several models can be seen over each other.
    """

    name: ClassVar[str]
    stackable: ClassVar[bool] = True
    doing: ClassVar[str]

    def follower(self, options: FollowOptions) -> Follower:
        """What follows results from frame to frame.

        Raises:
            UsageError: an option out of range.
        """
        del options
        return NoFollower()

    @abstractmethod
    def summary(self) -> Summary[R]:
        """A fresh summary of a run."""

    @abstractmethod
    def still(self, image: NDArray[np.uint8], result: R) -> NDArray[np.uint8]:
        """Draw the result of an image by itself; uint8 (H, W, 3) BGR.

        Args:
            image: uint8 (H, W) or (H, W, 3) BGR, the original image of the result; it is left as it is.
            result: what was found in it.
        """

    def marks(self, result: R, kind: MarkKind) -> str:
        """What was found as SVG elements over the image, in its pixels; empty where results have no place in it.

        The elements have the class ``mark`` and that of their kind, by which a page gives them their look.

        Args:
            result: all of what was found, or the part of it that is missing or extra.
            kind: which of these.
        """
        del result, kind
        return ""

    def moving(self, image: NDArray[np.uint8], result: R, tracks: Any) -> NDArray[np.uint8]:
        """The same of a frame of a video, with what the follower knows."""
        del tracks
        return self.still(image, result)

    @abstractmethod
    def figures(self, result: R, tracks: Any) -> list[str]:
        """What was found, in short texts; ``tracks`` is None for an image by itself."""

    @abstractmethod
    def facts(self, result: R, tracks: Any) -> dict[str, Any]:
        """The same for machines."""

    @abstractmethod
    def columns(self, result: R, tracks: Any, *, descriptors: bool = False) -> dict[str, Column]:
        """What was found as rows of numbers and texts, the same columns for every frame; docs/data.md lists them.

        Args:
            result: what was found in a frame.
            tracks: what the follower knows of it; None for an image by itself.
            descriptors: with descriptors, where there are any.

        Returns:
            For each column its values: int64, float32, float64 or texts (N,), or float32 (N, D).
        """

    @abstractmethod
    def words(self, facts: Mapping[str, Any]) -> list[str]:
        """The summary's facts in short texts."""
