"""What a teacher is: scores for every pixel and descriptors, of grey images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch


@dataclass(frozen=True, slots=True)
class TeacherOutputs:
    """What a teacher says of a batch of images.

    Attributes:
        scores: (N, 1, H, W), in [0, 1], how likely a keypoint is at each pixel.
        descriptors: (N, D, h, w), of any norm and scale, covering the image.
    """

    scores: torch.Tensor
    descriptors: torch.Tensor


class Teacher(Protocol):
    """A network that a student learns from.

    Attributes:
        name: of the network and its weights, for the record.
        multiple: the images' width and height are multiples of this.
    """

    name: str
    multiple: int

    def __call__(self, images: torch.Tensor) -> TeacherOutputs:
        """What it says of images (N, 1, H, W), grey in [0, 1]."""
        ...
