"""The picture of a blob's stages over time."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import pytest

from oakpoint.errors import OutputError
from oakpoint.myriad.blob import read_blob
from oakpoint.myriad.cost import CostEstimate, estimate
from oakpoint.view.timeline import COLOURS, save_timeline

TINY = Path(__file__).resolve().parents[2] / "data" / "myriad" / "tiny.blob"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def costs() -> CostEstimate:
    return estimate(read_blob(TINY))


def test_svg_has_a_bar_for_each_stage_over_its_time(costs: CostEstimate, tmp_path: Path) -> None:
    path = tmp_path / "timeline.svg"
    save_timeline(costs, path, title="<tiny> & co")
    root = ET.fromstring(path.read_text())
    bars = [r for r in root.iter(f"{SVG}rect") if r.find(f"{SVG}title") is not None]
    assert len(bars) == len(costs.stages)
    shares = [float(bar.get("width", "0")) for bar in bars]
    assert sum(shares) == pytest.approx(1200 - 80 - 30, rel=0.02)
    texts = [text.text or "" for text in root.iter(f"{SVG}text")]
    assert any("<tiny> & co: " in text and "ms estimated" in text for text in texts)
    assert "estimated time / ms" in texts
    assert {"NCE", "SHAVE", "DMA", "0"} <= set(texts)


def test_png_shows_the_same_colours(costs: CostEstimate, tmp_path: Path) -> None:
    path = tmp_path / "timeline.png"
    save_timeline(costs, path)
    image = cv2.imread(str(path))
    assert image is not None
    for colour in COLOURS.values():
        bgr = [int(colour[i : i + 2], 16) for i in (5, 3, 1)]
        assert (np.abs(image.astype(int) - bgr).max(axis=2) <= 2).sum() > 100


def test_other_suffix_and_missing_folder(costs: CostEstimate, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"\.svg or \.png"):
        save_timeline(costs, tmp_path / "timeline.pdf")
    with pytest.raises(OutputError):
        save_timeline(costs, tmp_path / "missing" / "timeline.svg")
