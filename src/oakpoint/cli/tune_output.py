"""A search on the console: its progress, its frontier, the point that was chosen."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.markup import escape
from rich.progress import TaskID
from rich.table import Table

from oakpoint.cli.console import err, out, print_progress, print_warning, progress_bar
from oakpoint.cli.eval_output import print_wide
from oakpoint.tune.outcome import (
    SHORT,
    Outcome,
    alike_text,
    configuration_words,
    rate_text,
    searched,
    share_text,
    time_basis,
)
from oakpoint.tune.trial import Failed, Trial, reasons_of
from oakpoint.tune.tuning import Setup, TuneOptions

REASONS_SHOWN = 3
WIDE_FROM = 150
"""Columns of a terminal from which on each parameter has one of the table."""


class TuneProgress:
    """A bar with the time to go on a terminal; a line for each trial elsewhere. All on standard error."""

    def __init__(self, options: TuneOptions, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._options, self._clock = options, clock
        self._progress = progress_bar()
        self._task = TaskID(0)
        self._former = self._total = 0
        self._began_s = 0.0

    def preparing(self, what: str) -> None:
        """See ``tuning.Listener``."""
        if err.is_terminal:
            self._progress.start()
            self._task = self._task if self._progress.tasks else self._progress.add_task(what, total=None)
            self._progress.update(self._task, description=what)

    def started(self, setup: Setup) -> None:
        """See ``tuning.Listener``."""
        for note in setup.notes:
            print_warning(note)
        self._former = len(setup.former)
        self._total = min(self._options.trials, setup.space.points)
        limit = "" if self._options.minutes is None else f", at most {self._options.minutes:g} minutes"
        going_on = f", {self._former} of them kept in {self._options.folder}" if self._former else ""
        print_progress(
            f"{self._total} of {setup.space.points:,} configurations{going_on}{limit}; accuracy: {setup.judge.name} of "
            f"{setup.judge.basis}"
        )
        self._began_s = self._clock()
        if err.is_terminal:
            self._progress.update(self._task, total=self._total, completed=self._former, description="trials")

    def answered(self, trial: Trial) -> None:
        """See ``tuning.Listener``."""
        if err.is_terminal:
            self._progress.update(self._task, completed=trial.number, description=_shortly(trial))
            return
        print_progress(f"{trial.number} of {self._total}: {_in_words(trial)}{self._left(trial)}")

    def _left(self, trial: Trial) -> str:
        """How long the rest will take if it goes on like this, and at most what the limit leaves."""
        elapsed_s = self._clock() - self._began_s
        left_s = elapsed_s / max(trial.number - self._former, 1) * (self._total - trial.number)
        if self._options.minutes is not None:
            left_s = min(left_s, max(60 * self._options.minutes - elapsed_s, 0.0))
        return f"; {duration(left_s)} left" if left_s else ""

    def stop(self) -> None:
        """Take the bar away."""
        self._progress.stop()


def duration(seconds: float) -> str:
    """A duration as a clock shows it: 0:42, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _shortly(trial: Trial) -> str:
    if isinstance(trial.outcome, Failed):
        return "failed"
    return f"{trial.configuration['size']}: {trial.outcome.accuracy.value:.3f}"


def _in_words(trial: Trial) -> str:
    words = configuration_words(trial.configuration)
    if isinstance(trial.outcome, Failed):
        return f"{words}: {trial.outcome.reason}"
    time_text = rate_text(trial.outcome.time)
    unit = "ms" if trial.outcome.reference_ms is None else "times the smallest"
    return f"{words}: accuracy {share_text(trial.outcome.accuracy)}, {time_text} {unit}"


def print_outcome(outcome: Outcome) -> None:
    """The frontier, what failed, and the point that was chosen with the commands that build it."""
    found = outcome.found
    out.print(f"accuracy: {escape(found.setup.judge.name)}, {escape(found.setup.judge.basis)}")
    out.print(f"[dim]{escape(time_basis(outcome))}[/]")
    if outcome.front:
        print_wide(_table(outcome))
    for reason, count in list(reasons_of(found.trials).items())[:REASONS_SHOWN]:
        print_warning(f"{count} of {len(found.trials)} could not be had: {reason}")
    point = found.choice.point
    if point is None:
        return
    text = outcome.verdict()
    out.print(f"[bold]{escape(text[:1].upper() + text[1:])}[/]")
    if fresh := outcome.fresh_words():
        out.print(f"accuracy {escape(fresh)}")
    if beside := outcome.alike().get(point.number):
        out.print(f"[dim]neither accuracy nor speed tells it from {alike_text(beside)}[/]")
    for line in outcome.commands_of(point):
        out.print(f"  {escape(line)}")


def _table(outcome: Outcome) -> Table:
    """The frontier; on a narrow terminal what was tried stands in one cell, where figures would be cut."""
    narrow = out.is_terminal and out.width < WIDE_FROM
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("point", "accuracy", "frames/s", *(() if narrow else ("ms",))):
        table.add_column(heading, justify="right", no_wrap=True)
    names = [p.name for p in outcome.found.setup.space.parameters if len(p.values) > 1]
    for heading in ("settings",) if narrow else (*(SHORT.get(name, name) for name in names), "not told apart from"):
        table.add_column(heading)
    chosen, like = outcome.found.choice.point, outcome.alike()
    for point in outcome.shown:
        cells = [str(point.number), share_text(point.accuracy), rate_text(point.rate_fps)]
        if narrow:
            beside = f"; not told apart from {alike_text(like[point.number])}" if like[point.number] else ""
            cells.append(configuration_words(searched(outcome, point)) + beside)
        else:
            cells.append(rate_text(point.time_ms))
            cells += [*(str(point.configuration[name]) for name in names), alike_text(like[point.number])]
        table.add_row(*map(escape, cells), style="bold" if chosen is not None and chosen.number == point.number else "")
    return table
