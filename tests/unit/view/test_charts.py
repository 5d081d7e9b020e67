from __future__ import annotations

import cv2
import numpy as np
import pytest

from oakpoint.view.charts import Axis, Range, ScatterPoint, Stack, bars, scatter, stacks

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
    scatter(POINTS, x=Axis("time (ms)"), y=Axis("share", 0, 1), title="t").save(tmp_path / "s.png")
    assert coloured(tmp_path / "s.png").sum() > 500
    scatter(POINTS, x=Axis("time (ms)"), y=Axis("share", 0, 1), title="t").save(tmp_path / "s.svg")
    assert "<svg" in (tmp_path / "s.svg").read_text()


def test_a_scatter_without_any_time(tmp_path):
    scatter(POINTS[2:], x=Axis("time (ms)"), y=Axis("share"), title="t").save(tmp_path / "s.png")
    assert coloured(tmp_path / "s.png").sum() > 100


def test_longer_bars_are_longer(tmp_path):
    def area(values):
        series = {"a": values}
        bars(["s", "t"], series, value=Axis("share", 0, 1), group="sequence", title="t").save(tmp_path / "b.png")
        return coloured(tmp_path / "b.png").sum()

    assert area([0.9, 0.9]) > 1.5 * area([0.5, 0.5])
    assert area([0.5, NAN]) < area([0.5, 0.5])


def test_a_chart_for_a_page_is_the_same_twice_and_takes_the_colours_of_the_page():
    one, two = (scatter(POINTS, x=Axis("time (ms)"), y=Axis("share", 0, 1), title="t").svg() for _ in range(2))
    assert one == two
    assert one.startswith("<svg")
    assert one.endswith("</svg>")
    assert "currentColor" in one
    assert "var(--grid)" in one
    for nothing in ("#000000", "http", "<script", "<metadata", "<?xml", "DOCTYPE"):
        assert nothing not in one


def test_names_are_shown_as_they_are():
    points = [ScatterPoint("$x_1$ <b> & _y", Range(1.0, NAN, NAN), Range(0.5, NAN, NAN)),
              ScatterPoint("_hidden", Range(2.0, NAN, NAN), Range(0.5, NAN, NAN))]  # fmt: skip
    svg = scatter(points, x=Axis("x"), y=Axis("y", 0, 1), title="5 $ and 6 $ 漢字").svg()
    assert "$x_1$ &lt;b&gt; &amp; _y" in svg
    assert "_hidden" in svg
    assert "5 $ and 6 $ 漢字" in svg


def test_bars_of_parts_are_as_long_as_their_parts_and_stand_in_groups() -> None:
    whole = Range(3.0, 2.5, 3.5)
    found = [Stack(name=name, parts=[1.0, 2.0], whole=whole, text=f"{name}!", group=g) for name in "ab" for g in "xy"]
    chart = stacks(found, ["first", "second"], value=Axis("ms", 0.0), title="$t$")
    (axes,) = chart.figure.axes
    first, second = (container.patches for container in axes.containers if hasattr(container, "patches"))
    assert [bar.get_width() for bar in first] == [1.0] * 4
    assert [bar.get_x() for bar in second] == [1.0] * 4
    assert axes.get_xlim() == (0.0, pytest.approx(1.45 * 3.5))
    svg = chart.svg()
    assert all(word in svg for word in ("a!", "b!", "first", "second"))
