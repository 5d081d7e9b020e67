"""One chart, drawn by matplotlib, as a file or as the text of an SVG: the one import of matplotlib."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from oakpoint.files import replacing_file
from oakpoint.runtimes import importing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 150
_PX_PER_IN = 98
"""On a page: a little more than the nominal 96, at which words of 10 points are as large as the page's."""
_INK = "#000000"
GRID = "#dddddd"

_SETTINGS: Any = {
    "svg.fonttype": "none",  # words stay words: they can be searched, read aloud, and take the page's font
    "svg.hashsalt": "oakpoint",  # the same chart has the same ids
}


@final
@dataclass(frozen=True, slots=True)
class Chart:
    """A chart that was drawn. Make one with the functions of ``charts``.

    Attributes:
        figure: matplotlib's.
    """

    figure: Figure

    def save(self, path: Path) -> None:
        """Write it to a ``.png`` or ``.svg`` file.

        Raises:
            OutputError: the file cannot be written.
        """
        with replacing_file(path) as temporary, _drawing():
            self.figure.savefig(temporary, dpi=_DPI)

    def svg(self) -> str:
        """An ``<svg>`` element for a page, the same for the same data.

        What is black takes the colour of the page's text, and grid lines the page's ``--grid``, so that it can be read
        on light and on dark ground. Its ids are unique within the chart alone.
        """
        stream = io.StringIO()
        with _drawing():
            nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
            self.figure.savefig(stream, format="svg", transparent=True, metadata=nothing)
        text = stream.getvalue()
        text = text[text.index("<svg") :].strip()
        text = re.sub(r"<metadata>.*?</metadata>|<style type=.*?</style>", "", text, flags=re.DOTALL)
        width_px = _PX_PER_IN * self.figure.get_figwidth()
        text = re.sub(r'\s(?:width|height)="[\d.]+pt"', "", text, count=2)
        text = text.replace("<svg", f'<svg style="max-width:{width_px:.0f}px"', 1)
        text = re.sub(r"(font: )([\d.]+px) [^;\"]*", r"font-size: \2", text)
        text = re.sub(r" xmlns(?::xlink)?=\"[^\"]*\"", "", text).replace("xlink:href", "href")
        return text.replace(_INK, "currentColor").replace(GRID, "var(--grid)")


def new_figure(width_in: float, height_in: float) -> Figure:
    """An empty figure of this size in inches, its parts arranged so that none hides another."""
    with importing("matplotlib"):
        from matplotlib.figure import Figure as MatplotlibFigure
    with _drawing():
        return MatplotlibFigure(figsize=(width_in, height_in), layout="constrained")


def plain(text: str) -> str:
    """A text for matplotlib, whatever is in it: dollars make no formula, and «_» hides nothing from a legend."""
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


@contextmanager
def _drawing() -> Iterator[None]:
    """A block that draws with the settings above, and without warnings of letters that matplotlib's font has not."""
    with importing("matplotlib"):
        from matplotlib import rc_context
    with rc_context(_SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield
