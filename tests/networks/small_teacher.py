"""Teachers that a user might have, by name in ``package.module:Class``."""

from __future__ import annotations

import torch
from torch import nn

from oakpoint.training.teachers.protocol import TeacherOutputs


class Brightness:
    """A teacher that is no torch module: what is bright is a keypoint."""

    name = "brightness"
    multiple = 1

    def __call__(self, images: torch.Tensor) -> TeacherOutputs:
        return TeacherOutputs(images, torch.cat([images, 1 - images], dim=1))


class LearntBrightness(nn.Module):
    """The same as a torch module with weights."""

    name = "learnt brightness"
    multiple = 1

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1, 1))

    def forward(self, images: torch.Tensor) -> TeacherOutputs:
        return TeacherOutputs((images * self.gain).clamp(0, 1), torch.cat([images, 1 - images], dim=1))


class OneOutput(nn.Module):
    """A network that is no keypoint network."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 65, 8, 8)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.convolution(images)
        return result
