"""The types that carry keypoints: dense network outputs, decoding options, features, matches."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import FeaturesError, UsageError

CELL_PX = 8
"""Side of a detector cell: SuperPoint's encoder halves the image three times (DeTone et al. 2018, section 3)."""

LOGIT_CHANNELS = CELL_PX * CELL_PX + 1
"""One channel for each pixel of a cell, and one, the last, for «no keypoint here» (the dustbin)."""

NmsMethod = Literal["greedy", "maxpool"]
DescriptorSampling = Literal["original", "superglue", "cell_centres"]
Subpixel = Literal["none", "soft_argmax", "quadratic"]


@dataclass(frozen=True, slots=True)
class DenseOutputs:
    """What the network puts out for one image.

    Attributes:
        logits: float32 (65, Hc, Wc), detector logits for each cell of 8×8 px, the dustbin last.
        descriptors: float32 (D, Hc, Wc), coarse descriptors, one for each cell, of any norm.

    Raises:
        FeaturesError: a wrong rank, channel count or type, or two grids of different size.
    """

    logits: NDArray[np.float32]
    descriptors: NDArray[np.float32]

    def __post_init__(self) -> None:
        for name, array in (("logits", self.logits), ("descriptors", self.descriptors)):
            if array.ndim != 3 or array.dtype != np.float32:
                raise FeaturesError(
                    f"{name}: expected float32 of rank 3 (channels, rows, columns), got {array.dtype} {array.shape}"
                )
        if self.logits.shape[0] != LOGIT_CHANNELS:
            raise FeaturesError(f"logits: expected {LOGIT_CHANNELS} channels, got {self.logits.shape[0]}")
        if self.logits.shape[1:] != self.descriptors.shape[1:]:
            raise FeaturesError(
                f"logits and descriptors: expected the same grid, got {self.logits.shape[1:]} and "
                f"{self.descriptors.shape[1:]}"
            )

    @property
    def stride_px(self) -> int:
        """Pixels of the tensor from one descriptor to the next."""
        return CELL_PX

    @property
    def image_size(self) -> tuple[int, int]:
        """(W, H) in pixels of the tensor that gave these outputs."""
        rows, columns = self.logits.shape[1:]
        return columns * CELL_PX, rows * CELL_PX


@dataclass(frozen=True, slots=True)
class HeatmapOutputs:
    """What a network puts out for one image when softmax and the spreading of cells are done inside the graph.

    Attributes:
        heatmap: float32 (s·Hc, s·Wc), the probability of a keypoint at each pixel of the tensor; s is 8 for cells.
        descriptors: float32 (D, Hc, Wc), one for each s×s pixels, of any norm.

    Raises:
        FeaturesError: a wrong rank or type, or sizes that do not belong together.
    """

    heatmap: NDArray[np.float32]
    descriptors: NDArray[np.float32]

    def __post_init__(self) -> None:
        for name, array, rank in (("heatmap", self.heatmap, 2), ("descriptors", self.descriptors, 3)):
            if array.ndim != rank or array.dtype != np.float32:
                raise FeaturesError(f"{name}: expected float32 of rank {rank}, got {array.dtype} {array.shape}")
        (height, width), (rows, columns) = self.heatmap.shape, self.descriptors.shape[1:]
        if not rows or not columns or (rows * self.stride_px, columns * self.stride_px) != (height, width):
            raise FeaturesError(
                f"heatmap: expected a whole multiple of the descriptors' grid {(rows, columns)}, the same along both "
                f"axes, got {self.heatmap.shape}"
            )

    @property
    def stride_px(self) -> int:
        """Pixels of the tensor from one descriptor to the next."""
        return int(self.heatmap.shape[0] // self.descriptors.shape[1])

    @property
    def image_size(self) -> tuple[int, int]:
        """(W, H) in pixels of the tensor that gave these outputs."""
        height, width = self.heatmap.shape
        return width, height


Outputs = DenseOutputs | HeatmapOutputs
"""What ``decode`` takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeOptions:
    """How dense outputs become keypoints. Take a preset (``DecodeOptions.preset``) and replace.

    Only ``subpixel`` has a default: a manifest from before there was any refinement means ``none``.

    Attributes:
        threshold: lowest probability of a keypoint, in [0, 1]; a score equal to it is kept.
        nms_radius_px: no two keypoints are within this of each other along both axes; 0 switches NMS off.
        border_px: keypoints nearer to the image border than this are dropped.
        max_keypoints: the highest-scoring ones that are kept; None keeps all.
        nms: ``greedy`` (the original demo's: highest score first, exact) or ``maxpool`` (SuperGlue's: local maxima and
            two more rounds of them, which can lose keypoints that greedy keeps, and keeps neighbours of equal score).
        sampling: where the coarse descriptors are taken to lie: ``original`` (the original demo's), ``superglue``
            (SuperGlue's and Transformers'), ``cell_centres`` (the geometrically right place).
        subpixel: where in the heat map a keypoint lies: ``none`` (at its maximum's pixel, as all presets have it),
            ``soft_argmax`` or ``quadratic`` (between pixels; see ``refinement.refined_keypoints``). Threshold, NMS and
            border judge the pixel of the maximum, from which a refined keypoint is at most half a pixel away along each
            axis; descriptors are sampled at the refined position.

    Raises:
        UsageError: a value out of range or an unknown name.
    """

    threshold: float
    nms_radius_px: int
    border_px: int
    max_keypoints: int | None
    nms: NmsMethod
    sampling: DescriptorSampling
    subpixel: Subpixel = "none"

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise UsageError(f"threshold: expected a probability from 0 to 1, got {self.threshold}")
        for name in ("nms_radius_px", "border_px"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name}: expected 0 or more pixels, got {getattr(self, name)}")
        if self.max_keypoints is not None and self.max_keypoints < 1:
            raise UsageError(f"max_keypoints: expected 1 or more, or none for all, got {self.max_keypoints}")
        if self.nms not in get_args(NmsMethod):
            raise UsageError(f"nms: expected one of {', '.join(get_args(NmsMethod))}, got {self.nms!r}")
        if self.sampling not in get_args(DescriptorSampling):
            raise UsageError(
                f"sampling: expected one of {', '.join(get_args(DescriptorSampling))}, got {self.sampling!r}"
            )
        if self.subpixel not in get_args(Subpixel):
            raise UsageError(f"subpixel: expected one of {', '.join(get_args(Subpixel))}, got {self.subpixel!r}")

    @classmethod
    def preset(cls, name: str) -> DecodeOptions:
        """Options by name: see ``PRESETS``.

        Raises:
            UsageError: no preset of that name.
        """
        try:
            return PRESETS[name]
        except KeyError:
            raise UsageError(f"decode preset: expected one of {', '.join(PRESETS)}, got {name!r}") from None

    def with_changes(self, **changes: Any) -> DecodeOptions:
        """The same options but for those given; an option given as None stays as it is."""
        return replace(self, **{name: value for name, value in changes.items() if value is not None})


_OURS = DecodeOptions(
    threshold=0.02,
    nms_radius_px=4,
    border_px=4,
    max_keypoints=None,
    nms="greedy",
    sampling="cell_centres",
    subpixel="soft_argmax",
)
"""What networks of ours are trained for: descriptors at the centres of their cells, keypoints between pixels."""

PRESETS = {
    # Defaults of the original demo_superpoint.py (--conf_thresh 0.015, --nms_dist 4; border 4 in SuperPointFrontend).
    "superpoint": DecodeOptions(
        threshold=0.015, nms_radius_px=4, border_px=4, max_keypoints=None, nms="greedy", sampling="original"
    ),
    # Defaults of Transformers' SuperPointConfig (keypoint_threshold 0.005, nms_radius 4, border_removal_distance 4).
    "transformers": DecodeOptions(
        threshold=0.005, nms_radius_px=4, border_px=4, max_keypoints=None, nms="maxpool", sampling="superglue"
    ),
    # See docs/acorn.md for how the threshold was chosen.
    "acorn": _OURS,
    # For whatever else distill and train make. The threshold is that of a run's validation and of a teacher's labels
    # (training.labels.LabelOptions).
    "distilled": replace(_OURS, threshold=0.005),
    # Their authors' thresholds, NMS radii and borders (training.teachers.features has the rest of their decoding): a
    # score of −5 before the sigmoid, 1/(1 + e^5); 0.2.
    "edgepoint2": DecodeOptions(
        threshold=0.006692850924284856,
        nms_radius_px=2,
        border_px=4,
        max_keypoints=None,
        nms="greedy",
        sampling="cell_centres",
    ),
    "alike": DecodeOptions(
        threshold=0.2, nms_radius_px=2, border_px=3, max_keypoints=None, nms="maxpool", sampling="cell_centres"
    ),
    # What RTAB-Map's depthai driver does on the host: NMS radius 4, threshold 0.01.
    "rtabmap": DecodeOptions(
        threshold=0.01, nms_radius_px=4, border_px=4, max_keypoints=None, nms="greedy", sampling="original"
    ),
}


@dataclass(frozen=True, slots=True)
class Features:
    """Keypoints of one image with scores and descriptors, highest score first. N may be 0; dtypes and ranks stay.

    Attributes:
        keypoints: float32 (N, 2), (x, y) in pixels of the *original* image, origin at the centre of its top-left pixel.
        scores: float32 (N,) in [0, 1], descending.
        descriptors: float32 (N, D), each of unit L2 norm (all zero where the network gave none).
        image_size: (W, H) of the original image in pixels.

    Raises:
        FeaturesError: a wrong shape or type, or lengths that differ.
    """

    keypoints: NDArray[np.float32]
    scores: NDArray[np.float32]
    descriptors: NDArray[np.float32]
    image_size: tuple[int, int]

    def __post_init__(self) -> None:
        n = len(self.keypoints)
        if self.keypoints.shape != (n, 2) or self.scores.shape != (n,) or self.descriptors.shape[:-1] != (n,):
            raise FeaturesError(
                "features: expected keypoints (N, 2), scores (N,), descriptors (N, D), got "
                f"{self.keypoints.shape}, {self.scores.shape}, {self.descriptors.shape}"
            )
        for field in fields(self)[:3]:
            dtype = getattr(self, field.name).dtype
            if dtype != np.float32:
                raise FeaturesError(f"features: expected float32 {field.name}, got {dtype}")

    def __len__(self) -> int:
        return len(self.keypoints)

    def facts(self) -> dict[str, Any]:
        """Keypoints in pixels of the original image and scores, as lists."""
        return {"keypoints": self.keypoints.tolist(), "scores": self.scores.tolist()}

    def figure(self) -> str:
        """How many there are, in words."""
        return f"{len(self)} keypoints"

    def subset(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Features:
        """Some of the keypoints, by index (in the order given) or mask (N,)."""
        return replace(
            self, keypoints=self.keypoints[rows], scores=self.scores[rows], descriptors=self.descriptors[rows]
        )


@dataclass(frozen=True, slots=True)
class Matches:
    """Pairs of keypoints of two images.

    Attributes:
        indices: int64 (M, 2), the keypoint's index in the first and in the second image.
        distances: float32 (M,), L2 distance of the unit descriptors, in [0, 2].

    Raises:
        FeaturesError: a wrong shape or type.
    """

    indices: NDArray[np.int64]
    distances: NDArray[np.float32]

    def __post_init__(self) -> None:
        m = len(self.indices)
        if self.indices.shape != (m, 2) or self.indices.dtype != np.int64:
            raise FeaturesError(
                f"matches: expected int64 indices (M, 2), got {self.indices.dtype} {self.indices.shape}"
            )
        if self.distances.shape != (m,) or self.distances.dtype != np.float32:
            raise FeaturesError(
                f"matches: expected float32 distances ({m},), got {self.distances.dtype} {self.distances.shape}"
            )

    def __len__(self) -> int:
        return len(self.indices)
