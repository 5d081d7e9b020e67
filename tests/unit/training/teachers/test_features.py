"""Keypoints of a teacher."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from oakpoint.errors import ImageError
from oakpoint.evaluate.candidates import MAX_KEYPOINTS
from oakpoint.evaluate.protocols import protocols_by_name
from oakpoint.training.teachers.candidate import TeacherCandidate
from oakpoint.training.teachers.features import DECODE_PRESETS, TeacherDecode, teacher_features
from oakpoint.training.teachers.protocol import TeacherOutputs

DECODE = TeacherDecode(min_score=0.3, nms_radius_px=2, nms_rounds=1, border_px=4, max_keypoints=None, subpixel="none")


class Dots:
    """Scores of dots with a known place between pixels; descriptors of a cell are where its centre lies."""

    name = "dots"

    def __init__(self, dots: list[tuple[float, float, float]], multiple: int = 1, cell: int = 4) -> None:
        self.multiple, self._dots, self._cell = multiple, dots, cell

    def __call__(self, images: torch.Tensor) -> TeacherOutputs:
        height, width = images.shape[2:]
        y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
        scores = torch.zeros(height, width)
        for at_x, at_y, score in self._dots:
            scores = torch.maximum(scores, score * torch.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / 8))
        cells = [torch.arange(side // self._cell) * self._cell + (self._cell - 1) / 2 for side in (height, width)]
        row, column = torch.meshgrid(*cells, indexing="ij")
        # The angle of a unit vector grows with x, so that descriptors tell where they were sampled.
        descriptors = torch.stack([torch.cos(column / 200), torch.sin(column / 200), 0 * row])
        return TeacherOutputs(scores[None, None], 7 * descriptors[None])


GREY = np.zeros((64, 96), np.uint8)


def test_maxima_best_first() -> None:
    found = teacher_features(Dots([(20, 20, 0.5), (50, 30, 0.9), (70, 40, 0.2), (2, 30, 0.8)]), GREY, DECODE)
    np.testing.assert_allclose(found.keypoints, [[50, 30], [20, 20]])
    np.testing.assert_allclose(found.scores, [0.9, 0.5])
    assert found.image_size == (96, 64)
    best = teacher_features(Dots([(20, 20, 0.5), (50, 30, 0.9)]), GREY, replace(DECODE, max_keypoints=1))
    np.testing.assert_allclose(best.keypoints, [[50, 30]])


def test_descriptors_are_those_at_the_keypoint() -> None:
    for cell in (1, 4, 8):
        found = teacher_features(Dots([(50, 30, 0.9)], cell=cell), GREY, DECODE)
        np.testing.assert_allclose(found.descriptors, [[np.cos(0.25), np.sin(0.25), 0]], atol=1e-3)
        np.testing.assert_allclose(np.linalg.norm(found.descriptors, axis=1), 1, rtol=1e-5)


def test_refinement_goes_towards_the_top() -> None:
    teacher = Dots([(50.3, 29.8, 0.9)])
    top = teacher_features(teacher, GREY, replace(DECODE, subpixel="quadratic")).keypoints
    np.testing.assert_allclose(top, [[50.3, 29.8]], atol=1e-3)
    mean = teacher_features(teacher, GREY, replace(DECODE, subpixel="soft_argmax")).keypoints[0]
    sharp = teacher_features(teacher, GREY, replace(DECODE, subpixel="soft_argmax", temperature=0.1)).keypoints[0]
    assert 50 < mean[0] < sharp[0] < 50.5
    assert 29.5 < sharp[1] < mean[1] < 30


def test_keypoints_come_back_from_a_smaller_image() -> None:
    found = teacher_features(Dots([(31.5, 15.5, 0.9)], multiple=32), np.zeros((63, 95), np.uint8), DECODE)
    at = found.keypoints[0]
    assert found.image_size == (95, 63)
    expected = ((31.5 + 0.5) * 95 / 64 - 0.5, (15.5 + 0.5) * 63 / 32 - 0.5)
    assert np.abs(at - expected).max() < 1.01
    with pytest.raises(ImageError, match="at least 32×32 px, got 95×31"):
        teacher_features(Dots([], multiple=32), np.zeros((31, 95), np.uint8), DECODE)


def test_nothing_found() -> None:
    for preset in DECODE_PRESETS.values():
        found = teacher_features(Dots([]), GREY, preset)
        assert (len(found), found.descriptors.shape) == (0, (0, 3))


def test_as_a_candidate() -> None:
    (p1,) = protocols_by_name(["p1"], "published")
    decode = replace(DECODE, max_keypoints=10**6)
    candidate = TeacherCandidate("dots", Dots([(50, 30, 0.9)]), decode, device=torch.device("cpu"))
    timed = candidate.features("x", p1.prepare(GREY))
    assert timed.features.image_size == (320, 240)
    assert len(timed.features) == 1 <= MAX_KEYPOINTS
    assert np.isnan(timed.milliseconds)
    assert timed.runtime.startswith("torch")
    assert candidate.note == "dots"
