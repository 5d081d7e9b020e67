"""From a network's outputs to keypoints by operators: what ``features.decode`` does, in float32 throughout."""

from __future__ import annotations

import numpy as np

from oakpoint.errors import UsageError
from oakpoint.features.refinement import MAX_SHIFT_PX, SOFT_ARGMAX_RADIUS_PX
from oakpoint.features.sampling import cells_from_pixels
from oakpoint.features.types import CELL_PX, LOGIT_CHANNELS, DecodeOptions
from oakpoint.tasks.keypoints.fused import suppression
from oakpoint.tasks.keypoints.fused.arithmetic import Arithmetic

KEYPOINTS, SCORES, DESCRIPTORS = "keypoints", "scores", "descriptors"
OUTPUTS = (KEYPOINTS, SCORES, DESCRIPTORS)


def require_resolved(options: DecodeOptions) -> None:
    """Refuse what float32 does not resolve.

    Raises:
        UsageError: refinement ``quadratic``, which divides by differences of differences of logarithms.
    """
    if options.subpixel == "quadratic":
        raise UsageError(
            "decoding graph: subpixel quadratic needs float64, which OpenVINO does not compute in; use decoding numpy, "
            "or subpixel none or soft_argmax"
        )


def require_decodable(options: DecodeOptions, size: tuple[int, int]) -> None:
    """Refuse what a graph for images of (W, H) pixels cannot do.

    Raises:
        UsageError: see ``require_resolved``; or a border that leaves no pixel.
    """
    require_resolved(options)
    if 2 * options.border_px >= min(size):
        raise UsageError(
            f"decoding graph: a border of {options.border_px} px leaves nothing of an image of {size[0]}x{size[1]}"
        )


def heatmap_of_cells(graph: Arithmetic, logits: str, rows: int, columns: int) -> str:
    """(8·Hc, 8·Wc), see ``features.heatmap``, of logits (Hc, Wc, 65): channels last, where softmax is fast."""
    bad = graph.op("Not", graph.finite(logits))
    count = graph.op("ReduceSum", graph.as_number(bad), graph.whole([2]), keepdims=1)
    settled = graph.op("Where", bad, graph.number(0), logits)
    probabilities = graph.op("Softmax", settled, axis=2)
    usable = graph.op("Less", count, graph.number(0.5))
    cells = graph.cut(graph.zero_unless(usable, probabilities), 2, 0, LOGIT_CHANNELS - 1)
    spread = graph.op("Transpose", graph.reshaped(cells, rows, columns, CELL_PX, CELL_PX), perm=[0, 2, 1, 3])
    return graph.reshaped(spread, rows * CELL_PX, columns * CELL_PX)


def append_decoding(
    graph: Arithmetic, heatmap: str, descriptors: str, grid: tuple[int, int, int], stride: int, options: DecodeOptions
) -> None:
    """Append decoding, whose outputs are called ``OUTPUTS``.

    Args:
        graph: to append to.
        heatmap: finite, (H, W).
        descriptors: (D, Hc, Wc).
        grid: (D, Hc, Wc).
        stride: pixels from one descriptor to the next.
        options: how to decode.

    Raises:
        UsageError: see ``require_decodable``.
    """
    dimension, rows, columns = grid
    size = columns * stride, rows * stride
    require_decodable(options, size)
    maxima, scores = _maxima(graph, heatmap, size, options)
    graph.edit.op("Identity", scores, output=SCORES)
    keypoints = graph.as_number(maxima)
    if options.subpixel == "soft_argmax":
        keypoints = graph.op("Add", keypoints, _shift(graph, heatmap, maxima, size[0]))
    graph.edit.op("Identity", keypoints, output=KEYPOINTS)
    position = cells_from_pixels((columns, rows), options.sampling, stride)
    cells = graph.op("Add", graph.op("Mul", keypoints, graph.number(position.scale)), graph.number(position.offset))
    vectors = graph.op("Transpose", graph.reshaped(descriptors, dimension, rows * columns), perm=[1, 0])
    graph.edit.op("Identity", _sampled(graph, vectors, cells, rows, columns), output=DESCRIPTORS)


def _maxima(graph: Arithmetic, heatmap: str, size: tuple[int, int], options: DecodeOptions) -> tuple[str, str]:
    """Pixels (N, 2) int64 and scores (N,) of the keypoints, best first."""
    width, height = size
    threshold = graph.number(max(options.threshold, float(np.finfo(np.float32).tiny)))
    candidates = graph.zero_unless(graph.op("GreaterOrEqual", heatmap, threshold), heatmap)
    method = suppression.greedy if options.nms == "greedy" else suppression.maxpool
    kept = method(graph, candidates, size, options.nms_radius_px)
    border = options.border_px
    inner = graph.cut(graph.cut(graph.as_number(kept), 0, border, height - border), 1, border, width - border)
    places = graph.op("Add", graph.op("NonZero", inner), graph.whole(border))  # (2, N): rows, columns
    row, column = (graph.op("Gather", places, graph.whole(axis), axis=0) for axis in (0, 1))
    flat = graph.op("Add", graph.op("Mul", row, graph.whole(width)), column)
    scores = graph.op("Gather", graph.reshaped(heatmap, -1), flat, axis=0)
    order = _best_first(graph, scores)
    if options.max_keypoints is not None:
        order = graph.cut(order, 0, 0, options.max_keypoints)
    pixels = graph.op("Concat", *(graph.op("Unsqueeze", each, graph.whole([1])) for each in (column, row)), axis=1)
    return graph.op("Gather", pixels, order, axis=0), graph.op("Gather", scores, order, axis=0)


def _best_first(graph: Arithmetic, scores: str) -> str:
    """Indices of scores (N,) from the largest to the smallest, of equal ones the first first: int64 (N,).

    ONNX has ``TopK`` do that; OpenVINO does not keep to it. What it gives is sorted once more, by whole numbers
    of which no two are equal: how many larger scores there are, then the index. OpenVINO's whole numbers have 32 bits:
    with more than ``MOST_IN_ORDER`` keypoints the order of equal scores is the runtime's own.
    """
    count = graph.op("Shape", scores)
    values, index = graph.edit.split("TopK", scores, count, outputs=("sorted_scores", "sorted_index"), axis=0)
    before = graph.op("Concat", graph.cut(values, 0, 0, 1), graph.cut(values, 0, 0, -1), axis=0)
    smaller = graph.as_whole(graph.op("Less", values, before))
    group = graph.op("CumSum", smaller, graph.whole(0))
    fits = graph.op("LessOrEqual", count, graph.whole([MOST_IN_ORDER]))
    factor = graph.op("Where", fits, count, graph.whole([0]))
    place = graph.op(
        "CumSum", graph.op("Add", graph.op("Mul", index, graph.whole([0])), graph.whole([1])), graph.whole(0)
    )
    within = graph.op("Where", fits, index, place)
    keys = graph.op("Add", graph.op("Mul", group, factor), within)
    _, again = graph.edit.split("TopK", keys, count, outputs=("sorted_keys", "sorted_again"), axis=0, largest=0)
    return graph.op("Gather", index, again, axis=0)


MOST_IN_ORDER = 46_340
"""The square of a larger number takes more than 31 bits."""


def _shift(graph: Arithmetic, heatmap: str, maxima: str, width: int) -> str:
    """See ``features.refinement``: the mean of the 5×5 pixels around each maximum, from it; (N, 2)."""
    radius = SOFT_ARGMAX_RADIUS_PX
    steps = np.arange(2 * radius + 1)
    across = width + 2 * radius
    places = graph.op("ReduceSum", graph.op("Mul", maxima, graph.whole([1, across])), graph.whole([1]), keepdims=1)
    around = graph.op("Add", places, graph.whole((steps[:, None] * across + steps).reshape(1, -1)))
    padded = graph.reshaped(graph.padded(graph.op("Relu", heatmap), radius), -1)
    windows = graph.op("Gather", padded, around, axis=0)  # (N, 25)
    x, y = np.tile(steps - radius, len(steps)), np.repeat(steps - radius, len(steps))
    moments = graph.op("MatMul", windows, graph.number(np.stack([x, y, np.ones(len(x))], axis=1)))
    total = graph.cut(moments, 1, 2, 3)
    shift = graph.op(
        "Div", graph.cut(moments, 1, 0, 2), graph.op("Max", total, graph.number(np.finfo(np.float32).tiny))
    )
    return graph.op("Clip", shift, graph.number(-MAX_SHIFT_PX), graph.number(MAX_SHIFT_PX))


def _sampled(graph: Arithmetic, vectors: str, cells: str, rows: int, columns: int) -> str:
    """See ``features.sampling``: (N, D) of unit norm, of vectors (Hc·Wc, D) at positions (N, 2) on the grid."""
    last = graph.number([columns - 1, rows - 1])
    inside = graph.op("Min", graph.op("Max", cells, graph.number(0)), last)
    low = graph.op("Floor", inside)
    high = graph.op("Min", graph.op("Add", low, graph.number(1)), last)
    beyond = graph.op("Sub", inside, low)
    short = graph.op("Sub", graph.number(1), beyond)
    total = ""
    for y, wy in ((low, short), (high, beyond)):
        for x, wx in ((low, short), (high, beyond)):
            index = graph.op(
                "Add", graph.op("Mul", graph.cut(y, 1, 1, 2), graph.number(columns)), graph.cut(x, 1, 0, 1)
            )
            index = graph.op("Squeeze", graph.as_whole(index), graph.whole([1]))
            corner = graph.op("Gather", vectors, index, axis=0)
            weight = graph.op("Mul", graph.cut(wy, 1, 1, 2), graph.cut(wx, 1, 0, 1))
            part = graph.op("Mul", corner, graph.op("Mul", weight, _one_over_norm(graph, corner, otherwise=1)))
            total = graph.op("Add", total, part) if total else part
    usable = graph.op("Greater", _squared_norm(graph, total), graph.number(0))  # no: of what is no number, too
    found = graph.op("Mul", total, _one_over_norm(graph, total, otherwise=0))
    return graph.zero_unless(graph.op("And", usable, graph.finite(_squared_norm(graph, total))), found)


def _squared_norm(graph: Arithmetic, vectors: str) -> str:
    return graph.op("ReduceSum", graph.op("Mul", vectors, vectors), graph.whole([1]), keepdims=1)


def _one_over_norm(graph: Arithmetic, vectors: str, *, otherwise: float) -> str:
    square = _squared_norm(graph, vectors)
    positive = graph.op("Greater", square, graph.number(0))
    safe = graph.op("Where", positive, square, graph.number(1))
    inverse = graph.op("Div", graph.number(1), graph.op("Sqrt", safe))
    return graph.op("Where", positive, inverse, graph.number(otherwise))
