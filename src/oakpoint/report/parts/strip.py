"""What follows one another in time, as one strip of coloured pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from oakpoint.view.drawing import ticks

_WIDTH, _HEIGHT, _LEGEND = 960, 56, 30


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a strip: when it begins, how long it lasts, of which kind it is, and what its tooltip says."""

    start: float
    length: float
    kind: str
    title: str


def strip_svg(pieces: Sequence[Piece], colours: Mapping[str, str], *, unit: str) -> str:
    """An ``<svg>`` element: the pieces over an axis in ``unit``, and a legend of their kinds.

    Args:
        pieces: in any order.
        colours: kind → colour, as ``#rrggbb``.
        unit: of starts and lengths.
    """
    end = max((piece.start + piece.length for piece in pieces), default=0.0) or 1.0
    scale = _WIDTH / end
    parts = []
    for number, (kind, colour) in enumerate(colours.items()):
        x = 130 * number
        parts.append(f'<rect x="{x}" y="2" width="14" height="14" rx="3" fill="{colour}"/>')
        parts.append(f'<text x="{x + 20}" y="14" font-size="13">{escape(kind)}</text>')
    for piece in pieces:
        width = max(piece.length * scale - 0.6, 0.4)
        parts.append(
            f'<rect x="{piece.start * scale:.2f}" y="{_LEGEND}" width="{width:.2f}" height="{_HEIGHT}" '
            f'fill="{colours[piece.kind]}"><title>{escape(piece.title)}</title></rect>'
        )
    floor = _LEGEND + _HEIGHT
    for tick in ticks(end):
        place = min(tick * scale, _WIDTH - 0.5)
        anchor = "start" if tick == 0 else "middle" if place < _WIDTH - 20 else "end"
        parts.append(f'<path d="M{place:.1f} {floor}v6" stroke="currentColor"/>')
        parts.append(f'<text x="{place:.1f}" y="{floor + 20}" font-size="13" text-anchor="{anchor}">{tick:g}</text>')
    axis = f"estimated time / {escape(unit)}"
    parts.append(f'<text x="{_WIDTH / 2}" y="{floor + 40}" font-size="13" text-anchor="middle">{axis}</text>')
    return f'<svg class="strip" viewBox="0 0 {_WIDTH} {floor + 46}">{"".join(parts)}</svg>'
