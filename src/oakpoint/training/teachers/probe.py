"""A teacher tried out on a small image, before hours are spent on what it says."""

from __future__ import annotations

import torch

from oakpoint.errors import OakpointError, UsageError, first_line
from oakpoint.training.teachers.protocol import Teacher, TeacherOutputs

PROBE_SIZE = (96, 64)
"""(W, H) in pixels of the image, rounded up to the teacher's multiple."""

ROUNDING = 1e-3
"""How far beyond [0, 1] scores may lie."""


def probe_teacher(teacher: Teacher, device: torch.device | str = "cpu") -> int:
    """Width D of a teacher's descriptors, found by asking it about an image of noise.

    Raises:
        UsageError: it cannot be run, or what it says is no ``TeacherOutputs`` of such an image.
    """
    try:
        width, height = (-(-side // teacher.multiple) * teacher.multiple for side in PROBE_SIZE)
        image = torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            outputs = teacher(image.to(device))
    except OakpointError:
        raise
    except Exception as error:  # whatever the user's own code raises
        raise UsageError(
            f"teacher {teacher.name}: cannot be run ({type(error).__name__}: {first_line(error)})"
        ) from error
    if fault := _fault(outputs, (width, height)):
        raise UsageError(f"teacher {teacher.name}: of an image of {width}×{height} px {fault}")
    return outputs.descriptors.shape[1]


def _fault(outputs: object, size: tuple[int, int]) -> str:
    """What is wrong with outputs of an image of (W, H) pixels; empty where nothing is."""
    if not isinstance(outputs, TeacherOutputs):
        return f"expected TeacherOutputs, got {type(outputs).__name__}"
    scores, descriptors = outputs.scores, outputs.descriptors
    width, height = size
    for name, value, right, expected in (
        ("scores", scores, _shape(scores) == (1, 1, height, width), f"(1, 1, {height}, {width})"),
        ("descriptors", descriptors, len(_shape(descriptors)) == 4 and _shape(descriptors)[0] == 1, "(1, D, h, w)"),
    ):
        if not right:
            return f"expected {name} {expected}, got {_shape(value) or type(value).__name__}"
        if not bool(torch.isfinite(value).all()):
            return f"expected finite {name}, got others"
    low, high = float(scores.min()), float(scores.max())
    if low < -ROUNDING or high > 1 + ROUNDING:
        return f"expected scores from 0 to 1, got {low:.3g} to {high:.3g}"
    return ""


def _shape(value: object) -> tuple[int, ...]:
    return tuple(value.shape) if isinstance(value, torch.Tensor) else ()
