"""How good a network is while it is trained: the protocols of ``evaluate`` on synthetic pairs of images held back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from oakpoint.evaluate.protocols import protocols_by_name
from oakpoint.evaluate.selection import best
from oakpoint.evaluate.synthetic import SyntheticOptions, synthetic_sequence
from oakpoint.features.decode import decode
from oakpoint.features.matching import match
from oakpoint.features.types import DecodeOptions, DenseOutputs, Features
from oakpoint.geometry import reprojection_errors
from oakpoint.networks.student import DISTILLED_PRESET
from oakpoint.training.images import grey_tensor
from oakpoint.view.draw import draw_matches

DECODE = DecodeOptions.preset(DISTILLED_PRESET).with_changes(max_keypoints=1000)
SHOWN_KEYPOINTS = 200
RIGHT_PX = 3.0

Grey = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class ValidationPair:
    """Two views of one photograph.

    Attributes:
        first: uint8 (H, W).
        second: uint8 (H, W).
        second_from_first: homography (3, 3).
    """

    first: Grey
    second: Grey
    second_from_first: NDArray[np.float64]


_OPTIONS = SyntheticOptions(views=1, largest_view=(320, 240))


def check_size(size: tuple[int, int]) -> None:
    """Find out whether images of (W, H) pixels are large enough to validate on.

    Raises:
        ImageError: they are too small.
    """
    _pair("images", np.zeros((size[1], size[0]), np.uint8), _OPTIONS)


class Validation:
    """Figures and pictures of a network on pairs that stay the same through a run and over all runs."""

    def __init__(self, images: Sequence[Grey], *, seed: int = 0) -> None:
        """Draw a pair of each image (H, W); sides of views are rounded down to multiples of 8."""
        options = replace(_OPTIONS, seed=seed)
        self._pairs = [_pair(str(index), image, options) for index, image in enumerate(images)]
        self._protocols = protocols_by_name(("p1", "p3"), "published")

    def figures(self, network: nn.Module, device: torch.device) -> dict[str, float | None]:
        """Means over the pairs of repeatability, localisation error in pixels, and MMA within 1 and 3 px.

        None where no pair has one: a network that finds nothing has no localisation error.
        """
        values: dict[str, list[float]] = {}
        for pair in self._pairs:
            first, second = (network_features(network, image, device) for image in (pair.first, pair.second))
            for protocol in self._protocols:
                for name, value in protocol.measure(first, second, pair.second_from_first).values.items():
                    values.setdefault(name, []).append(value)
        wanted = ("repeatability", "localisation_px", "mma_1px", "mma_3px")
        return {name: _mean(values[name]) for name in wanted}

    def look(self, network: nn.Module, device: torch.device) -> NDArray[np.uint8]:
        """The first pair, its keypoints and their matches, wrong ones dashed: uint8 (H, W', 3) BGR."""
        pair = self._pairs[0]
        first, second = (
            best(network_features(network, image, device), SHOWN_KEYPOINTS, fixed_ties=False)
            for image in (pair.first, pair.second)
        )
        matches = match(first, second)
        starts, ends = (found.keypoints[matches.indices[:, i]] for i, found in enumerate((first, second)))
        right = reprojection_errors(starts, ends, pair.second_from_first) <= RIGHT_PX
        return draw_matches(pair.first, pair.second, first, second, matches, inliers=right)


def _mean(values: list[float]) -> float | None:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else None


@torch.inference_mode()
def network_features(network: nn.Module, image: Grey, device: torch.device) -> Features:
    """Features of a grey image (H, W), sides multiples of 8, from a network with outputs (semi, desc)."""
    semi, desc = network(grey_tensor(image, device))
    return decode(DenseOutputs(semi[0].float().cpu().numpy(), desc[0].float().cpu().numpy()), DECODE)


def _pair(name: str, image: Grey, options: SyntheticOptions) -> ValidationPair:
    sequence = synthetic_sequence(name, image, options)
    first, second = sequence.first.read(), sequence.others[0].read()
    height, width = (side // 8 * 8 for side in first.shape)
    return ValidationPair(first[:height, :width], second.image[:height, :width], second.other_from_first)
