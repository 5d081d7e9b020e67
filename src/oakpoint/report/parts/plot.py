"""Drawings with an axis that take the width that there is: places along it are shares, words keep their size.

They are drawn here, not by matplotlib, whose drawings shrink with their words and take two seconds to begin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from markupsafe import escape

from oakpoint.report.parts.texts import shown

LONGEST: Final = 60
"""Characters of a word in a drawing."""

_BELOW: Final = 46
"""Pixels for the ticks of the axis along and its label."""


def plot_svg(content: str, height_px: int, *, kind: str) -> str:
    """An ``<svg>`` element as wide as its place.

    Args:
        content: elements, with shares of the width in per cent along, and pixels down.
        height_px: of what is above the axis.
        kind: its class.
    """
    return f'<svg class="plot {kind}" style="height:{height_px + _BELOW}px">{content}</svg>'


def legend(colours: Mapping[str, str]) -> str:
    """What each colour, as ``#rrggbb``, stands for."""
    items = [f'<li style="--hue:{colour}">{escape(shown(name, LONGEST))}</li>' for name, colour in colours.items()]
    return f'<ul class="legend">{"".join(items)}</ul>'


def ticks_along(places: Sequence[tuple[float, str]], label: str, *, top: int) -> str:
    """The axis along: ticks, of which a narrow screen shows every other one, and a label.

    Args:
        places: the share of the width at which each tick stands, in [0, 1], and what it says.
        label: of the axis, with its unit.
        top: where it is, in pixels.
    """
    parts = []
    for number, (share, text) in enumerate(places):
        anchor = "start" if share < 0.02 else "end" if share > 0.98 else "middle"
        kind = ' class="between"' if number % 2 else ""
        parts.append(
            f'<g{kind}><rect x="{100 * share:.3f}%" y="{top}" width="1" height="6" fill="currentColor"/>'
            f'<text x="{100 * share:.3f}%" y="{top + 20}" text-anchor="{anchor}">{escape(text)}</text></g>'
        )
    parts.append(f'<text x="50%" y="{top + 40}" text-anchor="middle">{escape(shown(label, LONGEST))}</text>')
    return "".join(parts)
