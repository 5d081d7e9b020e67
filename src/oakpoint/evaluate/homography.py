"""P2: is the homography right that the matches give?

Source: DeTone, Malisiewicz, Rabinovich 2018, arXiv 1712.07629, section 7.3 and appendix B; rpautrat/SuperPoint,
superpoint/evaluations/descriptor_evaluation.py. Published for SuperPoint v1 on HPatches at 1, 3, 5 px: 0.310 / 0.684 /
0.829; for SIFT 0.424 / 0.676 / 0.759. The area under the curve is SuperGlue's (Sarlin et al. 2020).

The published reading, and where the exact one differs:

* shared area: only keypoints in it are matched (0 ≤ x < W once warped), which takes the truth; exact: all keypoints are
  matched, since whoever matches does not know the truth.
* RANSAC: OpenCV's defaults, at most 2000 rounds at confidence 0.995; exact: until it has settled, at most 20,000 rounds
  at confidence 0.99999.
* correct matches (for the matching score): reprojection error in the second image; exact: the larger of both images'.
* equal scores: in the order in which they came; exact: ordered by x and y.

Both: 480×640 px, the best 1000 keypoints, mutual nearest neighbours, ``cv2.findHomography(…, cv2.RANSAC)`` at 3 px
(its default) with a fixed seed, mean error of the four corners. No homography found is an infinite error. The matching
score is that of SuperPoint's appendix B at 3 px.

Other papers differ: glue-factory (gluefactory/eval/hpatches.py, for LightGlue) scales the shorter side to 480 px and
takes PoseLib's LO-RANSAC at 1 px, or the best of several thresholds; LoFTR takes ``cv2.RANSAC`` at 3 px on an image
whose shorter side is 480 px. A threshold other than 3 px is ``--ransac-px``; their figures are not comparable with
these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import UsageError
from oakpoint.estimation.homography import ransac_homography
from oakpoint.evaluate.figures import Figure
from oakpoint.evaluate.metrics import corner_error_px, matching_score
from oakpoint.evaluate.protocol import KEYPOINTS, TIME, MatchedPoints, Measured, Protocol, Reading
from oakpoint.evaluate.selection import best, in_shared_area
from oakpoint.features.matching import match
from oakpoint.features.types import Features
from oakpoint.geometry import inverse, reprojection_errors, symmetric_errors

SIZE = (640, 480)
MAX_KEYPOINTS = 1000
RANSAC_PX = 3.0
RANSAC_ROUNDS = {"published": 2000, "exact": 20_000}
RANSAC_CONFIDENCE = {"published": 0.995, "exact": 0.99999}
THRESHOLDS_PX = (1, 3, 5)
CORRECT_PX = 3.0


@final
class HomographyProtocol(Protocol):
    """P2.

    Attributes:
        ransac_px: reprojection error up to which RANSAC counts a match as an inlier.
    """

    key = "p2"
    title = "P2 homography, 640×480, 1000 keypoints, corner error"
    size = SIZE
    figures = (
        *(Figure(f"correct_{t}px", f"H ≤ {t} px", "", f"correct_{t}px", "mean", "higher") for t in THRESHOLDS_PX),
        *(Figure(f"auc_{t}px", f"AUC {t} px", "", "corner_error_px", "auc", "higher", float(t)) for t in THRESHOLDS_PX),
        Figure("matching_score", "matching score", "", "matching_score", "mean", "higher"),
        KEYPOINTS,
        Figure("matches", "matches", "", "matches", "mean", None),
        TIME,
    )

    def __init__(self, reading: Reading = "published", *, ransac_px: float = RANSAC_PX) -> None:
        """Choose the reading and RANSAC's threshold in pixels."""
        super().__init__(reading)
        if not (np.isfinite(ransac_px) and ransac_px > 0):
            raise UsageError(f"ransac-px: expected a positive number of pixels, got {ransac_px}")
        self.ransac_px = ransac_px

    def measure(self, first: Features, second: Features, second_from_first: NDArray[np.float64]) -> Measured:
        """Match, estimate the homography, and compare its corners with the truth."""
        first_from_second = inverse(second_from_first)
        mine, mine_shared = self._counted(first, second_from_first, second.image_size)
        theirs, theirs_shared = self._counted(second, first_from_second, first.image_size)
        matches = match(mine, theirs)
        points = mine.keypoints[matches.indices[:, 0]], theirs.keypoints[matches.indices[:, 1]]
        estimated = ransac_homography(
            *points,
            threshold_px=self.ransac_px,
            max_iterations=RANSAC_ROUNDS[self.reading],
            confidence=RANSAC_CONFIDENCE[self.reading],
        )
        error_px = corner_error_px(estimated, second_from_first, first.image_size)
        errors_of = symmetric_errors if self.exact else reprojection_errors
        correct = errors_of(*points, second_from_first) <= CORRECT_PX
        return Measured(
            {
                "corner_error_px": error_px,
                **{f"correct_{t}px": float(error_px <= t) for t in THRESHOLDS_PX},
                "matching_score": matching_score(int(correct.sum()), mine_shared, theirs_shared),
                "keypoints": (len(mine) + len(theirs)) / 2,
                "matches": float(len(matches)),
            },
            MatchedPoints(*points, correct),
        )

    def _counted(
        self, features: Features, other_from_own: NDArray[np.float64], other_size: tuple[int, int]
    ) -> tuple[Features, int]:
        """The keypoints that are matched, and how many of them lie in the shared area."""
        if self.exact:
            chosen = best(features, MAX_KEYPOINTS, fixed_ties=True)
            return chosen, int(in_shared_area(chosen, other_from_own, other_size, to_edges=True).sum())
        shared = features.subset(in_shared_area(features, other_from_own, other_size, to_edges=False))
        chosen = best(shared, MAX_KEYPOINTS, fixed_ties=False)
        return chosen, len(chosen)

    def parameters(self) -> Mapping[str, object]:
        """Size, number of keypoints and RANSAC's settings."""
        return {
            "reading": self.reading,
            "size": f"{SIZE[0]}x{SIZE[1]}",
            "max_keypoints": MAX_KEYPOINTS,
            "ransac_px": self.ransac_px,
            "ransac_rounds": RANSAC_ROUNDS[self.reading],
            "ransac_confidence": RANSAC_CONFIDENCE[self.reading],
        }
