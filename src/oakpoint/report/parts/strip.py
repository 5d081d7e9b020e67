"""What follows one another in time, as one strip of coloured pieces; it takes the width that there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import escape

from oakpoint.report.parts.plot import legend, plot_svg, ticks_along
from oakpoint.report.parts.texts import shown
from oakpoint.view.drawing import ticks

_HEIGHT: Final = 56
_LONGEST: Final = 200
_GAP, _LEAST = 0.06, 0.04
"""Between two pieces, and of the shortest piece, in hundredths of the width."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a strip: when it begins, how long it lasts, of which kind it is, and what its tooltip says."""

    start: float
    length: float
    kind: str
    title: str


def strip_svg(pieces: Sequence[Piece], colours: Mapping[str, str], *, unit: str) -> str:
    """A legend of kinds, and an ``<svg>`` element with the pieces over an axis in ``unit``.

    Args:
        pieces: in any order.
        colours: kind → colour, as ``#rrggbb``.
        unit: of starts and lengths.
    """
    end = max((piece.start + piece.length for piece in pieces), default=0.0) or 1.0
    parts = []
    for piece in pieces:
        width = max(100 * piece.length / end - _GAP, _LEAST)
        parts.append(
            f'<rect x="{100 * piece.start / end:.3f}%" width="{width:.3f}%" height="{_HEIGHT}" '
            f'fill="{colours[piece.kind]}"><title>{escape(shown(piece.title, _LONGEST))}</title></rect>'
        )
    places = [(tick / end, f"{tick:g}") for tick in ticks(end)]
    parts.append(ticks_along(places, f"estimated time / {unit}", top=_HEIGHT))
    return legend(colours) + plot_svg("".join(parts), _HEIGHT, kind="strip")
