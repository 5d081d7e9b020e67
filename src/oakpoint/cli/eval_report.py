"""The report folder of an evaluation: figures as files, charts, and the worst pairs drawn."""

from __future__ import annotations

import json
import math
import re
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.cli.eval_output import cell_text, pairs_csv, summary_csv, write_text
from oakpoint.errors import OutputError
from oakpoint.evaluate.evaluation import PairResult, Row
from oakpoint.evaluate.intervals import Estimate
from oakpoint.evaluate.pairs import Dataset
from oakpoint.evaluate.protocol import Protocol
from oakpoint.evaluate.summary import MAIN_FIGURE, Summary, worst_pairs
from oakpoint.features.types import Features, Matches
from oakpoint.result_folders import FolderKind, check_place, replacing_result
from oakpoint.view.charts import Axis, Range, ScatterPoint, save_bars, save_scatter
from oakpoint.view.draw import draw_matches, with_status

FACTS_FILE, INDEX_FILE = "evaluation.json", "index.html"
REPORT = FolderKind(name="an evaluation's report", option="--report")
WORST = 5
MAX_LINES = 200
"""Matches that are drawn of one pair, evenly chosen: with more, the images can no longer be seen."""

MAIN_LABEL = {
    "p1": "repeatability at 3 px\n(share of keypoints)",
    "p2": "homographies within 3 px at the corners\n(share of pairs)",
    "p3": "matches within 3 px\n(share of matches)",
}


def check_report_folder(folder: Path) -> None:
    """Refuse to replace what is not an earlier report alone.

    Raises:
        OutputError: a file of that name, or a folder with other things in it.
    """
    check_place(folder, REPORT)


def write_report(folder: Path, summary: Summary, facts: dict[str, Any], dataset: Dataset) -> None:
    """Write everything to a folder, which appears with all of it.

    Raises:
        OutputError: see ``check_report_folder``.
        MissingExtraError: matplotlib is not installed.
    """
    with replacing_result(folder, REPORT) as place:
        write_text(place / FACTS_FILE, json.dumps(facts, indent=2, allow_nan=False, default=str) + "\n")
        write_text(place / "summary.csv", summary_csv(summary))
        write_text(place / "pairs.csv", pairs_csv(summary))
        pictures = [_scatter(place, summary)]
        pictures += [_bars(place, summary, protocol) for protocol in summary.protocols]
        pictures += _worst(place, summary, dataset)
        write_text(place / INDEX_FILE, _index(summary, pictures))


def _scatter(place: Path, summary: Summary) -> str:
    """Accuracy over time by the most telling protocol that was measured: P2, P3, P1."""
    protocol = next(p for key in ("p2", "p3", "p1") for p in summary.protocols if p.key == key)
    points = [
        ScatterPoint(
            label,
            _range(summary.estimate(protocol.key, label, "time_ms")),
            _range(summary.estimate(protocol.key, label, MAIN_FIGURE[protocol.key])),
        )
        for label in summary.labels
    ]
    save_scatter(
        place / "accuracy_time.png",
        points,
        x=Axis("median time for one image, extraction only (ms)"),
        y=Axis(MAIN_LABEL[protocol.key], 0.0, 1.02),
        title=f"{protocol.title}\n{protocol.reading} reading, 95 % intervals over pairs",
    )
    return "accuracy_time.png"


def _range(found: Estimate) -> Range:
    return Range(found.value, found.low, found.high)


def _bars(place: Path, summary: Summary, protocol: Protocol) -> str:
    name = f"sequences_{protocol.key}.png"
    rows = summary.evaluation.rows_of(protocol.key)
    sequences = list(dict.fromkeys(pair.sequence for pair in rows[0].pairs))
    save_bars(
        place / name,
        sequences,
        {row.label: [_mean_of(row, sequence) for sequence in sequences] for row in rows},
        value=Axis(MAIN_LABEL[protocol.key], 0.0, 1.08),
        group="sequence",
        title=f"{protocol.title}\n{protocol.reading} reading, mean over the pairs of each sequence",
    )
    return name


def _mean_of(row: Row, sequence: str) -> float:
    values = [p.measured.values[MAIN_FIGURE[row.protocol.key]] for p in row.pairs if p.sequence == sequence]
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def _worst(place: Path, summary: Summary, dataset: Dataset) -> list[str]:
    """The worst pairs of each extractor by P2, or by P3; P1 alone makes no matches and has none."""
    keys = [protocol.key for protocol in summary.protocols]
    chosen = next((key for key in ("p2", "p3") if key in keys), None)
    if chosen is None:
        return []
    names = []
    for index, row in enumerate(summary.evaluation.rows_of(chosen), start=1):
        label = re.sub(r"[^A-Za-z0-9._-]+", "_", row.label).strip("._") or "extractor"
        folder = place / "worst" / f"{index}_{label}"
        folder.mkdir(parents=True)
        for rank, pair in enumerate(worst_pairs(row, WORST), start=1):
            stem = re.sub(r"[^A-Za-z0-9._-]+", "_", f"{pair.sequence}_{Path(pair.first).stem}_{Path(pair.second).stem}")
            path = folder / f"{rank}_{stem}.png"
            if not cv2.imwrite(str(path), pair_picture(pair, row, dataset)):
                raise OutputError(f"{path}: the picture could not be written")
            names.append(path.relative_to(place).as_posix())
    return names


def pair_picture(pair: PairResult, row: Row, dataset: Dataset) -> NDArray[np.uint8]:
    """Both prepared images with their matches, solid within 3 px of the truth, dashed beyond; uint8 (H, W, 3) BGR."""
    sequence = next(sequence for sequence in dataset.sequences if sequence.name == pair.sequence)
    by_name = {image.name: image for image in (sequence.first, *sequence.others)}
    first, second = (row.protocol.prepare(by_name[name].read()) for name in (pair.first, pair.second))
    matches = pair.measured.matches
    assert matches is not None
    count = len(matches.first)
    drawn = np.linspace(0, count - 1, min(count, MAX_LINES)).round().astype(np.int64)
    picture = draw_matches(
        first.image,
        second.image,
        _bare(matches.first, first.size),
        _bare(matches.second, second.size),
        Matches(np.stack([drawn] * 2, axis=1), np.zeros(len(drawn), np.float32)),
        inliers=matches.correct[drawn],
    )
    values = pair.measured.values
    figures = [f"{row.label}: {pair.first} - {pair.second}", f"{int(matches.correct.sum())} of {count} within 3 px"]
    figures += [f"{len(drawn)} drawn"] if len(drawn) < count else []
    if "corner_error_px" in values:
        error = values["corner_error_px"]
        figures.append(f"corner error {error:.1f} px" if math.isfinite(error) else "no homography found")
    return with_status(picture, [figure.encode("ascii", "replace").decode() for figure in figures])


def _bare(points: NDArray[np.float32], size: tuple[int, int]) -> Features:
    n = len(points)
    return Features(points, np.zeros(n, np.float32), np.zeros((n, 1), np.float32), size)


def _index(summary: Summary, pictures: list[str]) -> str:
    """A page that shows it all."""
    parts = [
        "<!doctype html><meta charset=utf-8><title>oakpoint eval</title>",
        "<style>body{font-family:sans-serif;margin:2em;max-width:75em}td,th{text-align:left;padding:.2em 1.2em .2em 0}"
        "img{max-width:100%}</style>",
        f"<h1>oakpoint eval</h1><p>{escape(summary.evaluation.dataset)}</p>",
    ]
    parts += [f"<p>skipped {escape(s.sequence)}: {escape(s.reason)}</p>" for s in summary.evaluation.skipped]
    for protocol in summary.protocols:
        head = "".join(f"<th>{escape(label)}</th>" for label in summary.labels)
        parts.append(f"<h2>{escape(protocol.title)}</h2><p>{protocol.reading} reading; 95 % intervals over pairs</p>")
        parts.append(f"<table><tr><th></th>{head}</tr>")
        for figure in protocol.figures:
            cells = [cell_text(summary.estimate(protocol.key, label, figure.key), figure) for label in summary.labels]
            unit = f" / {figure.unit}" if figure.unit else ""
            row = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
            parts.append(f"<tr><th>{escape(figure.label)}{unit}</th>{row}</tr>")
        parts.append("</table>")
    parts += [f'<h3>{escape(name)}</h3><img src="{escape(name)}" alt="{escape(name)}">' for name in pictures]
    return "\n".join(parts) + "\n"
