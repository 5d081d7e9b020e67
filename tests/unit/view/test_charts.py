from __future__ import annotations

import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from oakpoint.errors import MissingExtraError
from oakpoint.view.charts import Axis, Range, ScatterPoint, save_bars, save_scatter

NAN = float("nan")
POINTS = [
    ScatterPoint("small", Range(12.0, 10.0, 15.0), Range(0.6, 0.5, 0.7)),
    ScatterPoint("one pair", Range(240.0, NAN, NAN), Range(0.8, NAN, NAN)),
    ScatterPoint("from a file", Range(NAN, NAN, NAN), Range(0.7, 0.6, 0.8)),
]


def coloured(path) -> np.ndarray:
    image = cv2.imread(str(path)).astype(int)
    return (image.max(axis=2) - image.min(axis=2)) > 60


def test_a_scatter_has_its_points(tmp_path):
    save_scatter(tmp_path / "s.png", POINTS, x=Axis("time (ms)"), y=Axis("share", 0, 1), title="t")
    assert coloured(tmp_path / "s.png").sum() > 500
    save_scatter(tmp_path / "s.svg", POINTS, x=Axis("time (ms)"), y=Axis("share", 0, 1), title="t")
    assert "<svg" in (tmp_path / "s.svg").read_text()


def test_a_scatter_without_any_time(tmp_path):
    save_scatter(tmp_path / "s.png", POINTS[2:], x=Axis("time (ms)"), y=Axis("share"), title="t")
    assert coloured(tmp_path / "s.png").sum() > 100


def test_longer_bars_are_longer(tmp_path):
    def area(values):
        series = {"a": values}
        save_bars(tmp_path / "b.png", ["s", "t"], series, value=Axis("share", 0, 1), group="sequence", title="t")
        return coloured(tmp_path / "b.png").sum()

    assert area([0.9, 0.9]) > 1.5 * area([0.5, 0.5])
    assert area([0.5, NAN]) < area([0.5, 0.5])


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    def find_spec(name, *_):
        if name == "matplotlib":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [SimpleNamespace(find_spec=find_spec), *sys.meta_path])
    with pytest.raises(MissingExtraError, match=r"oakpoint\[eval\]"):
        save_bars(tmp_path / "b.png", ["s"], {"a": [1.0]}, value=Axis("v"), group="g", title="t")
    assert not list(tmp_path.iterdir())
