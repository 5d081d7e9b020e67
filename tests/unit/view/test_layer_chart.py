"""The picture of where the time goes by layer."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import pytest

from oakpoint.errors import OutputError
from oakpoint.view.layer_chart import COLOURS, LEFT_PX, MOST_ROWS, RIGHT_PX, WIDTH_PX, LayerBar, save_layer_chart

SVG = "{http://www.w3.org/2000/svg}"
BARS = [
    LayerBar("stem", (1.0, 0.0, 0.5, 0.5)),
    LayerBar("block <1>", (3.0, 0.5, 0.25, 0.25)),
    LayerBar("a/very/long/path/of/modules/that/does/not/fit/in/front/of/a/bar/conv", (0.0, 0.0, 0.5, 0.5)),
]


def drawn(bars: list[LayerBar], path: Path) -> ET.Element:
    save_layer_chart(bars, path, title="network & co: 7.0 ms")
    return ET.fromstring(path.read_text())


def test_bars_are_as_long_as_the_layers_take(tmp_path: Path) -> None:
    root = drawn(BARS, tmp_path / "layers.svg")
    lengths: dict[str, float] = {}
    for bar in root.iter(f"{SVG}rect"):
        if (title := bar.find(f"{SVG}title")) is not None:
            lengths[title.text or ""] = lengths.get(title.text or "", 0.0) + float(bar.get("width", "0"))
    widest = WIDTH_PX - LEFT_PX - RIGHT_PX
    assert list(lengths.values()) == pytest.approx([widest / 2, widest, widest / 4], abs=0.1)
    texts = [text.text or "" for text in root.iter(f"{SVG}text")]
    assert {"network & co: 7.0 ms", "stem", "block <1>", "2.00 ms  29%", *COLOURS} <= set(texts)
    assert any(text.startswith("...") and text.endswith("a/bar/conv") for text in texts)


def test_of_a_long_network_the_shortest_layers_share_a_line(tmp_path: Path) -> None:
    bars = [LayerBar(f"layer {place}", (1.0 + place % 7, 0.0, 0.0, 0.0)) for place in range(100)]
    root = drawn(bars, tmp_path / "layers.svg")
    texts = [text.text or "" for text in root.iter(f"{SVG}text")]
    names = [text for text in texts if text.startswith("layer ")]
    assert len(names) == MOST_ROWS - 1
    assert names == sorted(names, key=lambda name: int(name.split()[1])), "in the order of the network"
    assert f"{100 - MOST_ROWS + 1} shorter ones" in texts
    shown = sum(bars[int(name.split()[1])].total_ms for name in names)
    rest = sum(bar.total_ms for bar in bars) - shown
    assert any(text.startswith(f"{rest:.2f} ms  ") and text.endswith("together") for text in texts)


def test_png_shows_the_parts(tmp_path: Path) -> None:
    path = tmp_path / "layers.png"
    save_layer_chart(BARS, path, title="network")
    image = cv2.imread(str(path))
    assert image is not None
    for colour in COLOURS.values():
        bgr = [int(colour[i : i + 2], 16) for i in (5, 3, 1)]
        assert (np.abs(image.astype(int) - bgr).max(axis=2) <= 2).sum() > 300


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"\.svg or \.png"):
        save_layer_chart(BARS, tmp_path / "layers.pdf", title="")
