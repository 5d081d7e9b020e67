"""What is fitted to matches, and how: the model, its threshold, the cameras, and every parameter of OpenCV's USAC."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import UsageError

GeometricModel = Literal["homography", "fundamental", "essential"]

SAMPLE = {"homography": 4, "fundamental": 7, "essential": 5}
"""Matches that fix a model, whatever they are. Source: Hartley and Zisserman 2004, 4.1.3 and 11.1.2; Nistér 2004."""

THRESHOLD_PX = {"homography": 3.0, "fundamental": 1.5, "essential": 1.5}
"""The homography's is that of the evaluation (``evaluate.homography``), the others' the default of UsacParams."""

LARGEST_SEED = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole camera without distortion.

    Attributes:
        fx: focal length along x in pixels.
        fy: along y.
        cx: x of the principal point in pixels, the origin at the **centre** of the top-left pixel: the middle of an
            image of width W is (W − 1) / 2. OpenCV's calibration counts so; COLMAP's cx is larger by 0.5.
        cy: y of it.

    Raises:
        UsageError: a focal length that is not positive, or a number that is not finite.
    """

    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        values = (self.fx, self.fy, self.cx, self.cy)
        if not all(map(math.isfinite, values)) or self.fx <= 0 or self.fy <= 0:
            raise UsageError(f"camera: expected fx,fy above 0 and finite cx,cy in pixels, got {values}")

    @property
    def matrix(self) -> NDArray[np.float64]:
        """K (3, 3): pixels from directions."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    @classmethod
    def from_text(cls, text: str) -> Camera:
        """``"600,600,319.5,239.5"``: fx, fy, cx, cy.

        Raises:
            UsageError: not four numbers, or see above.
        """
        try:
            fx, fy, cx, cy = (float(part) for part in text.split(","))
        except ValueError:
            raise UsageError(
                f"camera: expected fx,fy,cx,cy in pixels, such as 600,600,319.5,239.5, got {text!r}"
            ) from None
        return cls(fx, fy, cx, cy)


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOptions:
    """How a model is fitted.

    Attributes:
        model: ``homography``: a flat scene, or a camera that turns on the spot. ``fundamental``: a scene with depth.
            ``essential``: the same with known cameras, which gives the pose.
        threshold_px: largest error of an inlier in pixels (``estimation.errors``); None: ``THRESHOLD_PX``.
        confidence: the probability, in (0, 1), that a sample without an outlier was drawn when the search ends.
        max_iterations: samples drawn at most.
        seed: of the random numbers, 0 to 2^31 − 1; the same seed gives the same result to the bit.
        cameras: of the first and of the second image; needed for ``essential`` and refused for the others.

    Raises:
        UsageError: a value out of range, or cameras that are missing or too many.

    Source of ``confidence`` and ``max_iterations``: pycolmap's ``RANSACOptions`` (0.9999; 10,000).
    """

    model: GeometricModel = "homography"
    threshold_px: float | None = None
    confidence: float = 0.9999
    max_iterations: int = 10_000
    seed: int = 0
    cameras: tuple[Camera, Camera] | None = None

    def __post_init__(self) -> None:
        if self.model not in get_args(GeometricModel):
            raise UsageError(f"model: expected one of {', '.join(get_args(GeometricModel))}, got {self.model!r}")
        if self.threshold_px is not None and not (math.isfinite(self.threshold_px) and self.threshold_px > 0):
            raise UsageError(f"threshold-px: expected a positive number of pixels, got {self.threshold_px}")
        if not 0 < self.confidence < 1:
            raise UsageError(f"confidence: expected a probability above 0 and below 1, got {self.confidence}")
        if not 1 <= self.max_iterations <= 10_000_000:
            raise UsageError(f"iterations: expected 1 to 10,000,000, got {self.max_iterations}")
        if not 0 <= self.seed <= LARGEST_SEED:
            raise UsageError(f"seed: expected 0 to {LARGEST_SEED}, got {self.seed}")
        if self.model == "essential" and self.cameras is None:
            raise UsageError("essential: expected the cameras; give --camera fx,fy,cx,cy, or take --model fundamental")
        if self.model != "essential" and self.cameras is not None:
            raise UsageError(f"camera: counts for --model essential alone, got --model {self.model}; leave one out")

    @property
    def limit_px(self) -> float:
        """The threshold that counts."""
        return THRESHOLD_PX[self.model] if self.threshold_px is None else self.threshold_px

    def usac(self) -> cv2.UsacParams:
        """The parameters of OpenCV's estimators, every one of them written out.

        Samples are drawn uniformly, on one thread, and scored by MSAC; a model that is the best so far is fitted again
        to its inliers, in samples of 14 and iterated, and the last one to all of its inliers by least squares.

        Measured on random scenes (50 and 300 matches, 20 to 80 % outliers), MAGSAC with its local optimisation and its
        polisher is as accurate as this, and PROSAC is worse at 80 % outliers. Graph-cut optimisation is not an option:
        OpenCV 5.0 crashes with it on essential matrices.

        Source: ``UsacParams`` and ``SamplingMethod``, ``ScoreMethod``, ``LocalOptimMethod``, ``PolishingMethod`` of
        OpenCV's calib3d; Raguram et al. 2013, «USAC»; Torr and Zisserman 2000 (MSAC); Chum et al. 2003 (LO-RANSAC).
        """
        parameters = cv2.UsacParams()
        parameters.threshold = self.limit_px
        parameters.confidence = self.confidence
        parameters.maxIterations = self.max_iterations
        parameters.randomGeneratorState = self.seed
        parameters.isParallel = False
        parameters.sampler = cv2.SAMPLING_UNIFORM
        parameters.score = cv2.SCORE_METHOD_MSAC
        parameters.loMethod = cv2.LOCAL_OPTIM_INNER_AND_ITER_LO
        parameters.loIterations = 5
        parameters.loSampleSize = 14
        parameters.neighborsSearch = cv2.NEIGH_GRID  # of no effect without graph cut and NAPSAC
        parameters.final_polisher = cv2.LSQ_POLISHER
        parameters.final_polisher_iterations = 3
        return parameters

    def facts(self) -> dict[str, Any]:
        """All that decides what is fitted."""
        return {
            "model": self.model,
            "threshold_px": self.limit_px,
            "confidence": self.confidence,
            "iterations": self.max_iterations,
            "seed": self.seed,
            "cameras": None if self.cameras is None else [[c.fx, c.fy, c.cx, c.cy] for c in self.cameras],
            "estimator": {
                "library": f"OpenCV {cv2.__version__}", "score": "MSAC", "sampler": "uniform",
                "local_optimisation": "inner and iterated, 5 iterations, samples of 14",
                "polisher": "least squares, 3 iterations", "parallel": False,
            },
        }  # fmt: skip
