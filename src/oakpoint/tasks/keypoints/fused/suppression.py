"""Non-maximum suppression by operators; ``features.nms`` has the definitions.

Greedy suppression needs no ranks here: of equal neighbours the first in row-major order wins, so that a pixel is a peak
when it is larger than all neighbours before it and no smaller than all behind it. Windows along a row are maximum
pools with rows as channels, which both runtimes do several times as fast as those of one channel; windows along a
column are maxima of shifted maps, in steps that double.
"""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from oakpoint.convert.graph_edit import GraphEditor
from oakpoint.features.suppression import MAXPOOL_ROUNDS
from oakpoint.tasks.keypoints.fused.arithmetic import Arithmetic

MOST_ROUNDS = 1 << 30
"""A loop's bound that is never reached: each round settles one candidate at least."""


def maxpool(graph: Arithmetic, left: str, size: tuple[int, int], radius: int) -> str:
    """What ``nms_maxpool`` keeps of candidates ``left`` (H, W), which are 0 elsewhere: bool (H, W)."""
    kept = ""
    for _ in range(MAXPOOL_ROUNDS):
        largest = _around(graph, left, size, radius)
        zero = graph.number(0)
        peaks = graph.op("And", graph.op("Equal", left, largest), graph.op("Greater", left, zero))
        left = _less_near(graph, left, peaks, size, radius)
        kept = graph.op("Or", kept, peaks) if kept else peaks
    return kept


def greedy(graph: Arithmetic, left: str, size: tuple[int, int], radius: int) -> str:
    """What ``nms_greedy`` keeps of candidates ``left`` (H, W), which are 0 elsewhere: bool (H, W)."""
    zero = graph.number(0)
    if radius == 0:
        return graph.op("Greater", left, zero)
    width, height = size
    prefix = f"{graph.edit.prefix}_round"
    names = {name: f"{prefix}_{name}" for name in ("number", "go_on", "left", "kept", "next_left", "next_kept", "more")}
    body = onnx.GraphProto(name=prefix)
    inner = Arithmetic(GraphEditor(body, prefix))
    peaks = _first_peaks(inner, names["left"], size, radius)
    rest = _less_near(inner, names["left"], peaks, size, radius)
    inner.edit.op("Identity", rest, output=names["next_left"])
    together = inner.op("Or", inner.op("Cast", names["kept"], to=TensorProto.BOOL), peaks)
    inner.edit.op("Cast", together, output=names["next_kept"], to=TensorProto.FLOAT)
    largest = inner.op("ReduceMax", inner.reshaped(rest, -1), keepdims=0)
    inner.edit.op("Greater", largest, inner.number(0), output=names["more"])
    maps = [(names[name], TensorProto.FLOAT, [height, width]) for name in ("left", "kept")]
    body.input.extend(
        helper.make_tensor_value_info(*told)
        for told in ((names["number"], TensorProto.INT64, []), (names["go_on"], TensorProto.BOOL, []), *maps)
    )
    made = [(names[name], TensorProto.FLOAT, [height, width]) for name in ("next_left", "next_kept")]
    body.output.extend(helper.make_tensor_value_info(*told) for told in ((names["more"], TensorProto.BOOL, []), *made))
    most = graph.whole(MOST_ROUNDS)
    always = graph.op("Cast", graph.number(1), to=TensorProto.BOOL)
    nothing = graph.op("Mul", left, zero)
    outputs = (f"{prefix}_undecided", f"{prefix}_kept_at_last")
    graph.edit.split("Loop", most, always, left, nothing, outputs=outputs, body=body)
    return graph.op("Greater", outputs[1], zero)


def _first_peaks(graph: Arithmetic, left: str, size: tuple[int, int], radius: int) -> str:
    """Where a value is the largest around, and of equal ones the first."""
    width, height = size
    padded = graph.padded(left, radius)
    rows = _along_rows(graph, padded, height + 2 * radius, 2 * radius + 1)  # (H + 2r, W)
    above = _along_columns(graph, graph.cut(rows, 0, 0, height + radius - 1), height, radius)
    below = _along_columns(graph, graph.cut(rows, 0, radius + 1, height + 2 * radius), height, radius)
    middle = graph.cut(padded, 0, radius, radius + height)
    before = _along_rows(graph, graph.cut(middle, 1, 0, width + radius - 1), height, radius)
    behind = _along_rows(graph, graph.cut(middle, 1, radius + 1, width + 2 * radius), height, radius)
    first = graph.op("Greater", left, graph.op("Max", above, before))  # and so above 0
    return graph.op("And", first, graph.op("GreaterOrEqual", left, graph.op("Max", below, behind)))


def _less_near(graph: Arithmetic, left: str, peaks: str, size: tuple[int, int], radius: int) -> str:
    near = graph.op("Greater", _around(graph, graph.as_number(peaks), size, radius), graph.number(0))
    return graph.zero_unless(graph.op("Not", near), left)


def _around(graph: Arithmetic, values: str, size: tuple[int, int], radius: int) -> str:
    """The largest value of each pixel's neighbourhood, (H, W); values are 0 or more."""
    if radius == 0:
        return values
    (_, height), window = size, 2 * radius + 1
    padded = graph.padded(values, radius)
    return _along_columns(graph, _along_rows(graph, padded, height + 2 * radius, window), height, window)


def _along_rows(graph: Arithmetic, values: str, height: int, window: int) -> str:
    """The largest of each ``window`` values in a row: (H, W) to (H, W − window + 1)."""
    if window == 1:
        return values
    as_channels = graph.op("Unsqueeze", values, graph.whole([0, 2]))
    pooled = graph.op("MaxPool", as_channels, kernel_shape=[1, window])
    return graph.reshaped(pooled, height, -1)


def _along_columns(graph: Arithmetic, values: str, height: int, window: int) -> str:
    """The largest of each ``window`` values in a column: (H + window − 1, W) to (H, W)."""
    reach = 1  # rows that each row of ``values`` is the maximum of
    rows = height + window - 1
    while 2 * reach <= window:
        rows -= reach
        values = graph.op("Max", graph.cut(values, 0, 0, rows), graph.cut(values, 0, reach, reach + rows))
        reach *= 2
    if reach < window:
        last = window - reach
        values = graph.op("Max", graph.cut(values, 0, 0, height), graph.cut(values, 0, last, last + height))
    return values
