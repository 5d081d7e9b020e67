"""``oakpoint bench`` on this machine: ways of running a network side by side."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from rich.markup import escape
from rich.table import Table

from oakpoint.bench.host.benchmark import Measuring, Phase, run_benchmark
from oakpoint.bench.host.contenders import BACKENDS, PRECISIONS, contenders
from oakpoint.bench.host.results import Benchmark
from oakpoint.bench.host.rounds import Length
from oakpoint.bench.host.subject import subject_of
from oakpoint.bench.host.table import Grid, head_line, speed_grid, work_grid
from oakpoint.cli.bench_common import PhasePrinter, photographs_of
from oakpoint.cli.console import command_line, out, print_json, print_warning
from oakpoint.cli.notices import notice_for
from oakpoint.errors import UsageError
from oakpoint.models.base import ModelOptions
from oakpoint.report.folders import BENCHMARK
from oakpoint.report.pages.bench_host import benchmark_chart, benchmark_page, write_beside
from oakpoint.threads import cores

PICTURE_SUFFIXES: Final = (".png", ".svg")
NO_TUTORIAL: Final = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostBench:
    """What was asked for; None where it was not.

    Attributes:
        model: MODEL.
        said: what was said of it.
        size: WIDTHxHEIGHT.
        backends: names with commas.
        precisions: names with commas.
        threads: numbers with commas.
        tutorial: MODEL of the tutorial's way, or ``NO_TUTORIAL``.
        tutorial_weights: its weights file.
        against: the way that ratios are to.
        rounds: how many.
        seconds: how long, without ``rounds``.
        streams: models of each way for throughput.
        memory: whether each way is run in a process of its own as well.
        seed: of orders and bootstrap.
        images: folder of images.
        report: folder for the report.
        save: file for the picture.
        as_json: whether facts are printed as JSON.
    """

    model: str
    said: ModelOptions = field(default_factory=ModelOptions)
    size: str | None
    backends: str | None
    precisions: str | None
    threads: str | None
    tutorial: str | None
    tutorial_weights: Path | None
    against: str | None
    rounds: int | None
    seconds: float
    streams: int | None
    memory: bool
    seed: int | None
    images: Path | None
    report: Path | None
    save: Path | None
    as_json: bool


def bench_host(asked: HostBench) -> None:
    """Measure this machine, say what came of it, and write report and picture.

    Raises:
        OakpointError: options that make no sense, or nothing could be measured.
        KeyboardInterrupt: Ctrl-C; what there was by then has been told.
    """
    BENCHMARK.check(asked.report)
    if asked.save is not None and asked.save.suffix.lower() not in PICTURE_SUFFIXES:
        raise UsageError(f"--save {asked.save}: expected a name that ends in {' or '.join(PICTURE_SUFFIXES)}")
    if asked.rounds is not None and asked.rounds < 1:
        raise UsageError(f"--rounds: expected 1 or more, got {asked.rounds}")
    if asked.streams is not None and asked.streams < 0:
        raise UsageError(f"--streams: expected 0 or more, got {asked.streams}")
    chosen = contenders(
        _words(asked.backends) or BACKENDS,
        _words(asked.precisions) or PRECISIONS,
        _threads(asked.threads),
        tutorial=asked.tutorial != NO_TUTORIAL,
    )
    measuring = Measuring(
        length=Length(rounds=asked.rounds, seconds=asked.seconds),
        against=asked.against,
        seed=asked.seed or 0,
        streams=asked.streams,
        costs=asked.memory,
    )
    notice = notice_for(asked.model)
    subject = subject_of(
        asked.model, asked.said, asked.size, images=photographs_of(asked.images), tutorial=_tutorial(asked)
    )
    found = run_benchmark(subject, chosen, measuring, _Printer(quiet=asked.as_json))
    _tell(asked, found)
    if asked.save is not None:
        benchmark_chart(found).save(asked.save)
    if asked.report is not None:
        page = benchmark_page(found, notices=[f"{notice}."] if notice else [], line=command_line())
        BENCHMARK.write(asked.report, page, found.facts(), partial(write_beside, found))
    if found.interrupt is not None:
        raise found.interrupt


def _tutorial(asked: HostBench) -> tuple[str, ModelOptions] | None:
    """The network of the tutorial's way, and what was said of it: MODEL itself, unless there is another."""
    if asked.tutorial == NO_TUTORIAL:
        return None
    if asked.tutorial is None:
        if asked.tutorial_weights is not None:
            raise UsageError("--tutorial-weights: counts with --tutorial MODEL only")
        return asked.model, asked.said
    return asked.tutorial, ModelOptions(weights=asked.tutorial_weights)


def _words(text: str | None) -> tuple[str, ...]:
    return () if text is None else tuple(word.strip() for word in text.split(","))


def _threads(text: str | None) -> tuple[int, ...]:
    """Numbers with commas; one, and as many as there are cores, where nothing was said."""
    if text is None:
        return tuple(dict.fromkeys((1, cores())))
    numbers = [int(word) if word.isdecimal() else 0 for word in _words(text)]
    if 0 in numbers:
        raise UsageError(f"--threads: expected numbers of 1 or more such as 1,4, got {text!r}")
    return tuple(numbers)


def _tell(asked: HostBench, found: Benchmark) -> None:
    if asked.as_json:
        print_json(found.facts() | {"report": str(asked.report) if asked.report else None})
    else:
        out.print(f"\n[bold]{escape(head_line(found))}[/]")
        for grid in (speed_grid(found), work_grid(found)):
            out.print(f"\n[dim]{escape(grid.caption)}[/]")
            out.print(_table(grid))
    for note in found.notes():
        print_warning(note)
    places = {"picture": asked.save, "report": asked.report}
    for name, place in places.items():
        if place is not None and not asked.as_json:
            out.print(f"{name} in [bold]{escape(str(place))}[/]")


def _table(grid: Grid) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for index, heading in enumerate(grid.headings):
        table.add_column(escape(heading), justify="right" if index else "left", no_wrap=True)
    for row in grid.rows:
        table.add_row(*map(escape, row))
    return table


class _Printer(PhasePrinter):
    """See ``Listener``."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__(_DOING, quiet=quiet)

    def finished(self, phase: Phase, words: str) -> None:
        """See ``Listener``."""
        self.ended(phase, escape(words))


_DOING: dict[str, str] = {
    "opening": "opening {:g} ways of running it, and running each on every image",
    "latency": "measuring one image at a time",
    "throughput": "measuring several images at a time",
    "memory": "running {:g} ways in processes of their own",
}
