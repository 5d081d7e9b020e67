"""Teachers tried out before anything rests on them."""

from __future__ import annotations

import pytest
import small_teacher

from oakpoint.errors import UsageError
from oakpoint.training.teachers.probe import probe_teacher
from oakpoint.training.teachers.registry import open_teacher


def test_the_width_of_descriptors_is_found() -> None:
    assert probe_teacher(small_teacher.Brightness()) == 2
    assert probe_teacher(open_teacher("acorn", None)) == 64


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Raises", r"cannot be run \(ValueError: moon\)"),
        ("NoMultiple", "cannot be run"),
        ("Tuple", "of an image of 96×64 px expected TeacherOutputs, got tuple"),
        ("HalfScores", r"expected scores \(1, 1, 64, 96\), got \(1, 1, 32, 48\)"),
        ("FlatDescriptors", r"expected descriptors \(1, D, h, w\), got \(1, 64, 96\)"),
        ("Logits", "expected scores from 0 to 1, got -5 to 15"),
        ("NotFinite", "expected finite descriptors, got others"),
    ],
)
def test_a_teacher_that_says_something_else_is_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"^teacher brightness: .*{message}") as caught:
        probe_teacher(getattr(small_teacher, name)())
    assert "\n" not in str(caught.value)
