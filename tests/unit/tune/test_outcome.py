"""What a search came to, in words."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from oakpoint.tune.chosen import Wish, choose
from oakpoint.tune.outcome import Outcome
from oakpoint.tune.subject import Tuned
from oakpoint.tune.trial import Interval, Point
from oakpoint.tune.tuning import Found, TuneOptions


@pytest.mark.parametrize(
    ("accuracy", "words"),
    [
        (Interval(0.6, 0.55, 0.65), "frames/s"),
        (Interval(0.6, 0.4, 0.8), "not for certain, as its intervals reach below that"),
        (Interval(0.6, math.nan, math.nan), "not for certain, as its accuracy has no interval, which takes two images"),
    ],
)
def test_a_point_that_is_not_certain_says_why(accuracy: Interval, words: str) -> None:
    rate = Interval(30.0, 29.0, 31.0)
    point = Point(
        number=1, configuration={}, accuracy=accuracy, time_ms=rate.inverse().times(1e3), rate_fps=rate, memory_mb=None
    )
    wish = Wish(min_accuracy=0.5)
    setup: Any = SimpleNamespace(judge=SimpleNamespace(name="AUC"))
    found = Found(setup=setup, trials=(), points=(point,), choice=choose([point], wish))
    options = TuneOptions(tuned=Tuned(model="m.onnx", images=Path("i")), target="cpu", folder=Path("f"), wish=wish)
    verdict = Outcome(options=options, found=found, front=(point,)).verdict()
    assert verdict.startswith("point 1 has AUC of 0.5 or more: accuracy 0.600")
    assert words in verdict
    assert ("certain" in verdict) == ("certain" in words)
