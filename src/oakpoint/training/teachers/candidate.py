"""A teacher as a row of an evaluation."""

from __future__ import annotations

from dataclasses import replace
from typing import final

import numpy as np
import torch

from oakpoint.evaluate.candidates import MAX_KEYPOINTS, Candidate
from oakpoint.evaluate.protocol import Prepared
from oakpoint.evaluate.timing import Timed
from oakpoint.training.teachers.features import TeacherDecode, teacher_features
from oakpoint.training.teachers.protocol import Teacher


@final
class TeacherCandidate(Candidate):
    """A teacher in torch at each image's own size. It has no time: torch's is no runtime to compare others with."""

    def __init__(self, label: str, teacher: Teacher, decode: TeacherDecode, *, device: torch.device) -> None:
        self.label = label
        self.note = teacher.name
        self._teacher = teacher
        self._decode = replace(decode, max_keypoints=min(decode.max_keypoints or MAX_KEYPOINTS, MAX_KEYPOINTS))
        self._device = device

    def features(self, name: str, prepared: Prepared) -> Timed:
        """See ``Candidate.features``."""
        del name
        found = teacher_features(self._teacher, prepared.image, self._decode, device=self._device)
        return Timed(found, np.nan, f"torch {torch.__version__} {self._device}")
