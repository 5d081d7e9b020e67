"""P3: how many of the matches are right?

Source: Mikolajczyk and Schmid 2005; as the field computes it, Dusmanu et al. 2019, «D2-Net», section 5.1, and its code
hpatches_sequences/HPatches-Sequences-Matching-Benchmark.ipynb of mihaidusmanu/d2-net.

The published reading, and where the exact one differs:

* sequences: without the eight of HPatches that have images of more than 1600×1200 px; exact: all.
* error: reprojection error in the second image; exact: the larger of that in the second and in the first.
* equal scores: in the order in which they came; exact: ordered by x and y.

Both: original size, the best 2048 keypoints, mutual nearest neighbours; MMA at t is the mean over pairs of the share of
matches with an error of at most t = 1, 3, 5 px. A pair without a match counts as 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import numpy as np
from numpy.typing import NDArray

from oakpoint.evaluate.figures import Figure
from oakpoint.evaluate.metrics import share_within
from oakpoint.evaluate.protocol import KEYPOINTS, TIME, MatchedPoints, Measured, Protocol, Reading
from oakpoint.evaluate.selection import best
from oakpoint.features.matching import match
from oakpoint.features.types import Features
from oakpoint.geometry import reprojection_errors, symmetric_errors

MAX_KEYPOINTS = 2048
THRESHOLDS_PX = (1, 3, 5)
CORRECT_PX = 3.0
D2_NET_LEFT_OUT = frozenset(
    ("i_contruction", "i_crownnight", "i_dc", "i_pencils", "i_whitebuilding", "v_artisans", "v_astronautis", "v_talent")
)
"""HPatches' names, as they are spelt there."""


@final
class MatchingProtocol(Protocol):
    """P3."""

    key = "p3"
    title = "P3 matching accuracy (MMA), original size, 2048 keypoints"
    size = None
    figures = (
        *(Figure(f"mma_{t}px", f"MMA {t} px", "", f"mma_{t}px", "mean", "higher") for t in THRESHOLDS_PX),
        KEYPOINTS,
        Figure("matches", "matches", "", "matches", "mean", None),
        TIME,
    )

    def __init__(self, reading: Reading = "published") -> None:
        """Choose the reading."""
        super().__init__(reading)
        if not self.exact:
            self.left_out = D2_NET_LEFT_OUT

    def measure(self, first: Features, second: Features, second_from_first: NDArray[np.float64]) -> Measured:
        """Match, and compare where the matches lie with the truth."""
        mine = best(first, MAX_KEYPOINTS, fixed_ties=self.exact)
        theirs = best(second, MAX_KEYPOINTS, fixed_ties=self.exact)
        matches = match(mine, theirs)
        points = mine.keypoints[matches.indices[:, 0]], theirs.keypoints[matches.indices[:, 1]]
        errors_of = symmetric_errors if self.exact else reprojection_errors
        errors = errors_of(*points, second_from_first)
        return Measured(
            {
                **{f"mma_{t}px": share_within(errors, t) for t in THRESHOLDS_PX},
                "keypoints": (len(mine) + len(theirs)) / 2,
                "matches": float(len(matches)),
            },
            MatchedPoints(*points, errors <= CORRECT_PX),
        )

    def parameters(self) -> Mapping[str, object]:
        """Number of keypoints and the sequences left out."""
        return {
            "reading": self.reading,
            "size": "original",
            "max_keypoints": MAX_KEYPOINTS,
            "left_out": ", ".join(sorted(self.left_out)) or "none",
        }
