"""The report of ``eval``: figures side by side, charts, and the worst pairs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from oakpoint.evaluate.evaluation import MATCHES_KEPT
from oakpoint.evaluate.intervals import Estimate
from oakpoint.evaluate.pairs import Dataset
from oakpoint.evaluate.protocol import Protocol
from oakpoint.evaluate.results import PairResult, Row, worst_pairs
from oakpoint.evaluate.summary import MAIN_FIGURE, Summary
from oakpoint.evaluate.tables import (
    cell_text,
    counted,
    difference_of,
    few_sequences,
    heading,
    is_better,
    pairs_csv,
    summary_csv,
    time_texts,
)
from oakpoint.features.types import Features, Matches
from oakpoint.report.folders import write_text
from oakpoint.report.parts.blocks import (
    Badge,
    Block,
    Cell,
    Column,
    Drawn,
    Page,
    Section,
    Still,
    Table,
    Words,
)
from oakpoint.report.parts.page import html_of
from oakpoint.report.parts.pictures import Picture
from oakpoint.report.sections.origin import MADE_BY, made_section
from oakpoint.view.chart import Chart
from oakpoint.view.charts import NARROW_WIDTH_IN, USUAL_WIDTH_IN, Axis, Range, ScatterPoint, bars, scatter
from oakpoint.view.draw import draw_matches, with_status
from oakpoint.view.picture import write_image

MOST_SEQUENCES: Final = 40
"""Sequences that have bars; of more the hardest. pairs.csv has all of them."""

MAX_LINES: Final = 200
"""Matches that are drawn of one pair, evenly chosen: with more, the images can no longer be seen."""

MAIN_LABEL: Final = {
    "p1": "repeatability at 3 px\n(share of keypoints)",
    "p2": "homographies within 3 px at the corners\n(share of pairs)",
    "p3": "matches within 3 px\n(share of matches)",
}


def evaluation_page(
    summary: Summary, dataset: Dataset, *, notices: dict[str, str], notes: dict[str, str], line: str
) -> str:
    """The page as HTML.

    Args:
        summary: all figures.
        dataset: where the pairs come from.
        notices: by extractor, what has to be known of it, such as random weights.
        notes: by extractor, how it was run.
        line: the command line.

    Raises:
        OutputError: the page would be too large.
    """
    skipped = summary.evaluation.skipped
    few = [words] if (words := few_sequences(summary)) is not None else []
    extractors, protocols = len(summary.labels), len(summary.protocols)
    page = Page(
        command="oakpoint eval",
        title=" · ".join(summary.labels),
        verdict=Badge("plain", f"{extractors} extractor{'s' if extractors > 1 else ''}"),
        summary=f"{summary.evaluation.dataset}; {protocols} protocol{'s' if protocols > 1 else ''}.",
        notices=[*(f"{label}: {text}" for label, text in notices.items()), *few],
        entries=[(f"best at {protocol.key.upper()}", _main(summary, protocol)) for protocol in summary.protocols],
        sections=[
            _overview(summary),
            *(_protocol(summary, protocol) for protocol in summary.protocols),
            *_worst_sections(summary, dataset),
            *([_skipped(summary)] if skipped else []),
            _origin(summary, notes, line),
        ],
        made_by=MADE_BY,
    )
    return html_of(page)


def write_beside(summary: Summary, dataset: Dataset, folder: Path) -> None:
    """Write all figures as CSV, and the charts and pictures of the page in full size.

    Raises:
        OutputError: one cannot be written.
    """
    write_text(folder / "summary.csv", summary_csv(summary))
    write_text(folder / "pairs.csv", pairs_csv(summary))
    _scatter(summary).save(folder / "accuracy_time.png")
    for protocol in summary.protocols:
        _bars(summary, protocol).save(folder / f"sequences_{protocol.key}.png")
    for index, (row, pairs) in enumerate(_worst(summary), start=1):
        place = folder / "worst" / f"{index}_{_named(row.label).strip('._') or 'extractor'}"
        place.mkdir(parents=True)
        for rank, pair in enumerate(pairs, start=1):
            stem = _named(f"{pair.sequence}_{Path(pair.first).stem}_{Path(pair.second).stem}")
            write_image(place / f"{rank}_{stem}.png", pair_picture(pair, row, dataset))


def _main(summary: Summary, protocol: Protocol) -> str:
    """The best extractor by a protocol's main figure."""
    figure = next(figure for figure in protocol.figures if figure.key == MAIN_FIGURE[protocol.key])
    found = {label: summary.estimate(protocol.key, label, figure.key) for label in summary.labels}
    best = max(found, key=lambda label: np.nan_to_num(found[label].value, nan=-1.0))
    return f"{best}: {figure.label} {cell_text(found[best], figure)}"


def _overview(summary: Summary) -> Section:
    title = _telling(summary).title
    label = f"{title}: accuracy over the median time for one image, with 95 % intervals; the tables have the figures."
    svg = _scatter(summary, width_in=NARROW_WIDTH_IN, titled=False).svg()
    chart = Drawn(svg=svg, label=label, caption=label, wide=False)
    return Section(key="overview", title="Accuracy and time", blocks=[chart])


def _protocol(summary: Summary, protocol: Protocol) -> Section:
    words = f"{protocol.reading} reading, {counted(summary, protocol)}; 95 % intervals over sequences."
    blocks: list[Block] = [Words(parts=[f"{words[:1].upper()}{words[1:]}"]), _figures(summary, protocol)]
    if len(summary.labels) > 1:
        blocks.append(_differences(summary, protocol))
    if any(row.times for row in summary.evaluation.rows_of(protocol.key)):
        blocks.append(_times(summary, protocol))
    _, which = _shown_sequences([_means(row) for row in summary.evaluation.rows_of(protocol.key)])
    label = f"{protocol.title}: the mean of {which}, for each extractor"
    svg = _bars(summary, protocol, width_in=NARROW_WIDTH_IN, titled=False).svg()
    blocks.append(Drawn(svg=svg, label=label, caption=label, wide=False))
    return Section(key=protocol.key, title=protocol.title, blocks=blocks)


def _figures(summary: Summary, protocol: Protocol) -> Table:
    rows: list[list[Cell]] = [
        [
            heading(figure),
            *(cell_text(summary.estimate(protocol.key, label, figure.key), figure) for label in summary.labels),
        ]
        for figure in protocol.figures
    ]
    columns = [Column("figure"), *(Column(label, number=True) for label in summary.labels)]
    return Table(caption=f"{protocol.title}: value and interval", columns=columns, rows=rows)


def _times(summary: Summary, protocol: Protocol) -> Table:
    rows: list[list[Cell]] = [
        [row.label, text] for row in summary.evaluation.rows_of(protocol.key) for text in time_texts(row)
    ]
    caption = (
        "Time for one image of each size, extraction alone: median, quartiles, number of images. "
        "The first image of each size is run once before it counts"
    )
    return Table(caption=caption, columns=[Column("extractor"), Column("size and time")], rows=rows)


def _differences(summary: Summary, protocol: Protocol) -> Table:
    rows: list[list[Cell]] = []
    for figure in protocol.figures:
        cells: list[Cell] = [heading(figure)]
        for label in summary.others:
            found = difference_of(summary, protocol, figure, label)
            text, better = cell_text(found, figure, signed=True), is_better(found, figure)
            cells.append(text if better is None else Badge("pass" if better else "fail", text))
        rows.append(cells)
    columns = [
        Column("difference"),
        *(Column(f"{label} − {summary.baseline}", number=True) for label in summary.others),
    ]
    caption = f"{protocol.title}: paired differences; those whose interval excludes 0 are marked"
    return Table(caption=caption, columns=columns, rows=rows)


def _worst_sections(summary: Summary, dataset: Dataset) -> list[Section]:
    found = [
        Section(
            key=f"worst-{number}",
            title=row.label,
            blocks=[
                Still(
                    picture=Picture(pair_picture(pair, row, dataset)),
                    label=f"{row.label}: {pair.first} and {pair.second} with their matches",
                    caption=f"{pair.first} and {pair.second}: matches within 3 px in green, others in red.",
                )
                for pair in pairs
            ],
        )
        for number, (row, pairs) in enumerate(_worst(summary))
        if pairs
    ]
    return [Section(key="worst", title="Worst pairs", sections=found)] if found else []


def _skipped(summary: Summary) -> Section:
    rows: list[list[Cell]] = [[item.sequence, item.reason] for item in summary.evaluation.skipped]
    columns = [Column("sequence"), Column("why")]
    table = Table(caption="What was left out", columns=columns, rows=rows)
    return Section(key="skipped", title="Skipped", blocks=[table])


def _origin(summary: Summary, notes: dict[str, str], line: str) -> Section:
    runtimes: dict[str, list[str]] = {}
    for row in summary.evaluation.rows:
        runtimes.setdefault(row.label, []).extend(row.runtimes)
    items: list[tuple[str, Cell]] = [
        (label, ", ".join(dict.fromkeys(names)) or "nothing extracted") for label, names in runtimes.items()
    ]
    items += [(f"note on {label}", note) for label, note in notes.items()]
    return made_section(line, [*items, ("bootstrap", f"{summary.resamples} draws, seed {summary.seed}")])


def _scatter(summary: Summary, *, width_in: float = USUAL_WIDTH_IN, titled: bool = True) -> Chart:
    """Accuracy over time by the most telling protocol that was measured: P2, P3, P1.

    On a page it is narrow, and its caption says what a title would.
    """
    protocol = _telling(summary)
    points = [
        ScatterPoint(
            label,
            _range(summary.estimate(protocol.key, label, "time_ms")),
            _range(summary.estimate(protocol.key, label, MAIN_FIGURE[protocol.key])),
        )
        for label in summary.labels
    ]
    return scatter(
        points,
        x=Axis("median time for one image, extraction only (ms)"),
        y=Axis(MAIN_LABEL[protocol.key], 0.0, 1.02),
        title=f"{protocol.title}\n{protocol.reading} reading, 95 % intervals over sequences" if titled else "",
        width_in=width_in,
    )


def _telling(summary: Summary) -> Protocol:
    return next(p for key in ("p2", "p3", "p1") for p in summary.protocols if p.key == key)


def _range(found: Estimate) -> Range:
    return Range(found.value, found.low, found.high)


def _bars(summary: Summary, protocol: Protocol, *, width_in: float = USUAL_WIDTH_IN, titled: bool = True) -> Chart:
    means = {row.label: _means(row) for row in summary.evaluation.rows_of(protocol.key)}
    sequences, which = _shown_sequences(list(means.values()))
    return bars(
        sequences,
        {label: [of_sequence[sequence] for sequence in sequences] for label, of_sequence in means.items()},
        value=Axis(MAIN_LABEL[protocol.key], 0.0, 1.08),
        group="sequence",
        title=f"{protocol.title}\n{protocol.reading} reading, mean over the pairs of {which}" if titled else "",
        width_in=width_in,
    )


def _shown_sequences(means: Sequence[Mapping[str, float]]) -> tuple[list[str], str]:
    """The sequences that have bars, and which these are; of many those that are hardest for all extractors together."""
    sequences = list(means[0])
    if len(sequences) <= MOST_SEQUENCES:
        return sequences, "each sequence"
    together = {sequence: sum(np.nan_to_num(one[sequence]) for one in means) for sequence in sequences}
    hardest = sorted(sequences, key=lambda sequence: together[sequence])[:MOST_SEQUENCES]
    return hardest, f"the {MOST_SEQUENCES} hardest of {len(sequences)} sequences"


def _means(row: Row) -> dict[str, float]:
    """The main figure's mean over the pairs of each sequence; NaN where none has one."""
    values: dict[str, list[float]] = {}
    for pair in row.pairs:
        value = pair.measured.values[MAIN_FIGURE[row.protocol.key]]
        values.setdefault(pair.sequence, []).extend([] if math.isnan(value) else [value])
    return {sequence: float(np.mean(known)) if known else math.nan for sequence, known in values.items()}


def _worst(summary: Summary) -> list[tuple[Row, list[PairResult]]]:
    """The worst pairs of each extractor by P2, or by P3; P1 alone makes no matches and has none."""
    keys = [protocol.key for protocol in summary.protocols]
    chosen = next((key for key in ("p2", "p3") if key in keys), None)
    rows = [] if chosen is None else summary.evaluation.rows_of(chosen)
    return [(row, worst_pairs(row.pairs, MATCHES_KEPT)) for row in rows]


def _named(text: str) -> str:
    """A text as a part of a file's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text)


def pair_picture(pair: PairResult, row: Row, dataset: Dataset) -> NDArray[np.uint8]:
    """Both prepared images with their matches, solid within 3 px of the truth, dashed beyond; uint8 (H, W, 3) BGR."""
    sequence = next(sequence for sequence in dataset.sequences if sequence.name == pair.sequence)
    view = next(other for other in sequence.others if other.name == pair.second).read()
    first, second = (row.protocol.prepare(image) for image in (sequence.first.read(), view.image))
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
