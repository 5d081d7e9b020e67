from __future__ import annotations

import cv2

from oakpoint.view.charts import Axis, Range
from oakpoint.view.frontier_chart import FrontierPoint, frontier_chart

NAN, INF = float("nan"), float("inf")
POINTS = [
    FrontierPoint("1", Range(20, 18, 22), Range(0.8, 0.7, 0.9), on_frontier=True),
    FrontierPoint("2", Range(40, NAN, NAN), Range(0.6, NAN, NAN), on_frontier=True, chosen=True),
    FrontierPoint("3", Range(15, 14, 16), Range(0.4, 0.3, 0.5)),
]


def drawn(points, **options) -> str:
    return frontier_chart(points, x=Axis("frames/s"), y=Axis("accuracy"), title="t", **options).svg()


def test_the_frontier_is_named_and_what_was_chosen_and_asked_for_is_told():
    svg = drawn(POINTS, least_x=30.0, least_y=0.5)
    for text in ("frontier", "tried", "chosen: 2", "asked for", "frames/s", "accuracy"):
        assert text in svg
    assert svg.count(">1</text>") == 1
    assert ">3</text>" not in svg  # what the frontier beats has no number
    assert "asked for" not in drawn(POINTS)
    assert svg == drawn(POINTS, least_x=30.0, least_y=0.5)


def test_one_point_alone_is_drawn(tmp_path):
    frontier_chart(POINTS[:1], x=Axis("x"), y=Axis("y"), title="t").save(tmp_path / "one.png")
    assert min(cv2.imread(str(tmp_path / "one.png")).shape[:2]) > 300
