"""How many values lie where on a logarithmic axis, as steps over each other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from markupsafe import escape
from numpy.typing import NDArray

from oakpoint.report.parts.plot import legend, plot_svg, ticks_along
from oakpoint.view.charts import COLOURS
from oakpoint.view.drawing import ticks

LEAST: Final = 1e-8
"""What is smaller is drawn in the first bin, with all that is nothing."""

_BINS_A_DECADE: Final = 4
_HEIGHT: Final = 200
_SUPERSCRIPTS: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def histogram(series: Mapping[str, NDArray[np.floating[Any]]], *, value: str, count: str) -> str:
    """A legend, and an ``<svg>`` element with a line of steps for each series.

    Args:
        series: by label values (N,), 0 or more; what is not finite is not counted.
        value: label of the axis along.
        count: label of the axis up.
    """
    logs = {label: np.log10(np.maximum(values[np.isfinite(values)], LEAST)) for label, values in series.items()}
    low = round(math.log10(LEAST))
    high = max([low + 2, *(math.ceil(float(log.max())) for log in logs.values() if len(log))])
    bins = (high - low) * _BINS_A_DECADE
    counts = {label: np.histogram(log, bins, (low, high))[0] for label, log in logs.items()}
    most = max(1, *(int(found.max()) for found in counts.values()), 1)
    colours = {label: COLOURS[number % len(COLOURS)] for number, label in enumerate(series)}
    lines = [_steps(found, most, colours[label]) for label, found in counts.items()]
    inner = f'<svg viewBox="0 0 {bins} 1" preserveAspectRatio="none" width="100%" height="{_HEIGHT}">'
    content = _grid(most) + inner + "".join(lines) + "</svg>"
    places = [((power - low) / (high - low), _power(power)) for power in range(low, high + 1)]
    places[0] = (0.0, f"≤ {places[0][1]}")
    content += ticks_along(places, value, top=_HEIGHT)
    return legend(colours) + f'<p class="above">{escape(count)}</p>' + plot_svg(content, _HEIGHT, kind="counts")


def _power(exponent: int) -> str:
    return "1" if exponent == 0 else f"10{str(exponent).translate(_SUPERSCRIPTS)}"


def _steps(counts: NDArray[np.int64], most: int, colour: str) -> str:
    heights = [1 - float(number) / most for number in counts]
    path = "M0 1" + "".join(f"V{height:.4f}h1" for height in heights) + "V1"
    return (
        f'<path d="{path}Z" fill="{colour}" fill-opacity=".14"/>'
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.6" vector-effect="non-scaling-stroke"/>'
    )


def _grid(most: int) -> str:
    """Lines across at round whole numbers, with what they are at their left ends."""
    round_ones = [int(tick) for tick in ticks(most) if tick == int(tick)]
    step = max(1, math.ceil(len(round_ones) / 6))
    parts = []
    for tick in round_ones[::step]:
        y = _HEIGHT * (1 - tick / most)
        parts.append(f'<rect width="100%" y="{y:.1f}" height="1" fill="var(--grid)"/>')
        parts.append(f'<text x="-8" y="{y + 5:.1f}" text-anchor="end">{tick:,}</text>')
    return "".join(parts)
