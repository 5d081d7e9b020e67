"""P1: does the detector find the same points again?

Source: DeTone, Malisiewicz, Rabinovich 2018, arXiv 1712.07629, section 7.2 and appendix A; rpautrat/SuperPoint,
superpoint/evaluations/detector_evaluation.py with configs/superpoint_hpatches.yaml. Published for SuperPoint v1 on
HPatches: 0.641 (illumination), 0.621 (viewpoint).

The published reading, and where the exact one differs:

* shared area: 0 ≤ x < W once warped; exact: the whole of the image, −0.5 ≤ x < W − 0.5.
* distances: in the second image, and several keypoints may share their nearest one; exact: the larger of both images',
  and each keypoint answers for one other at most.
* equal scores: in the order in which they came; exact: ordered by x and y.
* no keypoints in the shared area of either image: the pair is left out; exact: it counts as 0.

Both: 240×320 px, NMS of 4 px for every extractor, the best 300 keypoints in the shared area, ε = 3 px.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import numpy as np
from numpy.typing import NDArray

from oakpoint.evaluate.figures import Figure
from oakpoint.evaluate.metrics import repeatability, repeatability_one_to_one
from oakpoint.evaluate.protocol import KEYPOINTS, TIME, Measured, Protocol
from oakpoint.evaluate.selection import best, in_shared_area, thinned
from oakpoint.features.types import Features
from oakpoint.geometry import inverse

SIZE = (320, 240)
MAX_KEYPOINTS = 300
NMS_RADIUS_PX = 4
THRESHOLD_PX = 3.0


@final
class RepeatabilityProtocol(Protocol):
    """P1."""

    key = "p1"
    title = "P1 repeatability, 320×240, 300 keypoints, ε = 3 px"
    size = SIZE
    figures = (
        Figure("repeatability", "repeatability", "", "repeatability", "mean", "higher"),
        Figure("localisation_px", "localisation", "px", "localisation_px", "mean", "lower"),
        KEYPOINTS,
        TIME,
    )

    def measure(self, first: Features, second: Features, second_from_first: NDArray[np.float64]) -> Measured:
        """Repeatability and localisation error of the best keypoints in the shared area."""
        first_from_second = inverse(second_from_first)
        mine = self._counted(first, second_from_first, second.image_size)
        theirs = self._counted(second, first_from_second, first.image_size)
        measure = repeatability_one_to_one if self.exact else repeatability
        found = measure(mine.keypoints, theirs.keypoints, second_from_first, threshold_px=THRESHOLD_PX)
        share = 0.0 if self.exact and np.isnan(found.share) else found.share
        return Measured(
            {
                "repeatability": share,
                "localisation_px": found.localisation_px,
                "keypoints": (len(mine) + len(theirs)) / 2,
            }
        )

    def _counted(
        self, features: Features, other_from_own: NDArray[np.float64], other_size: tuple[int, int]
    ) -> Features:
        spread = thinned(features, NMS_RADIUS_PX)
        shared = spread.subset(in_shared_area(spread, other_from_own, other_size, to_edges=self.exact))
        return best(shared, MAX_KEYPOINTS, fixed_ties=self.exact)

    def parameters(self) -> Mapping[str, object]:
        """Size, number of keypoints, NMS radius and ε."""
        return {
            "reading": self.reading,
            "size": f"{SIZE[0]}x{SIZE[1]}",
            "max_keypoints": MAX_KEYPOINTS,
            "nms_radius_px": NMS_RADIUS_PX,
            "threshold_px": THRESHOLD_PX,
        }
