"""How true tracks are, where the motion between frames is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oakpoint.features.tracking import Tracks
from oakpoint.geometry import warped_by_homography


@dataclass(slots=True)
class TrackScore:
    """Counts the steps of tracks from one frame to the next, and how many of them follow the true motion.

    Attributes:
        tolerance_px: farthest that a true step may end from where the homography takes its start.
        steps: steps counted.
        true_steps: those of them that are true.
    """

    tolerance_px: float
    steps: int = 0
    true_steps: int = 0

    def add(self, tracks: Tracks, frame_from_previous: NDArray[np.float64]) -> None:
        """Count the steps into the present frame.

        Args:
            tracks: of the present frame.
            frame_from_previous: the true homography (3, 3) from pixels of the frame before.
        """
        moved = tracks.ages > 1
        if tracks.positions.shape[1] < 2 or not moved.any():
            return
        before, now = tracks.positions[moved, -2], tracks.positions[moved, -1]
        error_px = np.linalg.norm(warped_by_homography(frame_from_previous, before) - now, axis=1)
        self.steps += len(error_px)
        self.true_steps += int((error_px <= self.tolerance_px).sum())

    @property
    def share_true(self) -> float:
        """Share of true steps; NaN without any step."""
        return self.true_steps / self.steps if self.steps else float("nan")
