"""A whole measurement: open, one image at a time, several at a time, each by itself in a process."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, TypeVar, final

import numpy as np

from oakpoint.bench.host.contenders import TUTORIAL, Contender
from oakpoint.bench.host.costs import Cost, cost_of
from oakpoint.bench.host.latency import Turn, latency_turn
from oakpoint.bench.host.machine import machine_facts
from oakpoint.bench.host.opening import STAGES, Clock, Opened, open_contender
from oakpoint.bench.host.results import Benchmark, LeftOut, Row, Throughput
from oakpoint.bench.host.rounds import Length, Rounds, in_rounds
from oakpoint.bench.host.subject import Image, Named, Subject
from oakpoint.bench.host.throughput import Flow, Flowing, flow_of
from oakpoint.bench.statistics import spread_of, times_as_fast
from oakpoint.errors import BackendError, OakpointError, UsageError
from oakpoint.evaluate.intervals import Estimate
from oakpoint.tasks.base import Result
from oakpoint.threads import cores

T = TypeVar("T")

Phase = Literal["opening", "latency", "throughput", "memory"]

Open = Callable[[Named, Contender, Image], Opened]
CostOf = Callable[[Named, Contender, Image], Cost | str]

COUNTED: Final = ("keypoints", "boxes")
"""Tasks whose results are counted, so that nobody compares different work."""


class Listener(Protocol):
    """Is told how the measurement gets on."""

    def started(self, phase: Phase, total: float) -> None:
        """A phase begins; ``total`` is how far it will go, in whatever it counts."""

    def advanced(self, done: float) -> None:
        """How far of ``total`` it has come."""

    def finished(self, phase: Phase, words: str) -> None:
        """What came of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring:
    """How to measure.

    Attributes:
        length: of the rounds with one image at a time; those with several take as many rounds, or half as long.
        against: the way that ratios are to; None: the tutorial's, or else the first that there is.
        seed: of orders and bootstrap.
        streams: models of each contender, for throughput; None: as many as there are cores for; 0: no throughput.
        costs: whether each is run in a process of its own as well.
        cores: that there are.
        clock: seconds, monotonic.
        open: opens a contender.
        cost_of: measures one by itself.
    """

    length: Length
    against: str | None = None
    seed: int = 0
    streams: int | None = None
    costs: bool = True
    cores: int = field(default_factory=cores)
    clock: Clock = time.perf_counter
    open: Open = open_contender
    cost_of: CostOf = cost_of


def run_benchmark(
    subject: Subject, contenders: Sequence[Contender], measuring: Measuring, listener: Listener
) -> Benchmark:
    """Measure all contenders.

    What one of them cannot do (a precision that this machine has not, a runtime that is not installed) leaves it out,
    with its reason. Ctrl-C after the first round leaves what there is.

    Args:
        subject: what is measured.
        contenders: see ``contenders.contenders``.
        measuring: how.
        listener: is told how it gets on.

    Raises:
        BackendError: not one contender could be measured; the message has the first one's reason.
        UsageError: ``against`` is none of those that could be opened.
        KeyboardInterrupt: Ctrl-C before the first round was over.
    """
    machine = machine_facts()  # before the load of the measurement itself
    with contextlib.ExitStack() as stack:
        run = _Run(subject, contenders, measuring, listener, stack)
        run.open_all()
        run.measure_latency()
        run.measure_throughput()
    run.measure_costs()
    return Benchmark(
        subject=subject,
        base=run.base,
        rows=tuple(run.row(contender) for contender in contenders if contender.label in run.latency.turns),
        left_out=tuple(
            LeftOut(contender=c, reason=run.left_out[c.label]) for c in contenders if c.label in run.left_out
        ),
        rounds=max(map(len, run.latency.turns.values())),
        length=measuring.length,
        seed=measuring.seed,
        machine=machine,
        interrupt=run.interrupt,
    )


@final
class _Run:
    """What is known so far; all by the contenders' labels."""

    def __init__(
        self,
        subject: Subject,
        contenders: Sequence[Contender],
        measuring: Measuring,
        listener: Listener,
        stack: contextlib.ExitStack,
    ) -> None:
        self._subject, self._measuring, self._listener, self._stack = subject, measuring, listener, stack
        self._contenders = {contender.label: contender for contender in contenders}
        self._images = list(subject.images.values())
        self._opened: dict[str, Opened] = {}
        self._found: dict[str, tuple[float | None, str]] = {}
        self._flows: dict[str, Flow] = {}
        self._costs: dict[str, Cost | str] = {}
        self._rates: Rounds[float] = Rounds()
        self.latency: Rounds[Turn] = Rounds()
        self.left_out: dict[str, str] = {}
        self.base = ""
        self.interrupt: KeyboardInterrupt | None = None

    def open_all(self) -> None:
        """Open every contender and run it on all images once, which warms it up and tells what it finds."""
        self._listener.started("opening", len(self._contenders))
        for number, (label, contender) in enumerate(self._contenders.items(), start=1):
            try:
                opened = self._open(contender)
                results = [opened.run(image) for image in self._images]
            except OakpointError as error:
                self.left_out[label] = str(error)
            else:
                self._opened[label] = opened
                self._found[label] = self._count(results), results[0].figure()
            self._listener.advanced(number)
        left = f", {len(self.left_out)} left out" if self.left_out else ""
        self._listener.finished("opening", f"{len(self._opened)} of {len(self._contenders)}{left}")
        if not self._opened:
            raise BackendError(f"nothing could be measured: {next(iter(self.left_out.values()))}")
        self.base = self._base()

    def _open(self, contender: Contender) -> Opened:
        opened = self._measuring.open(self._subject.of(contender), contender, self._images[0])
        self._stack.callback(opened.close)
        return opened

    def _count(self, results: Sequence[Result]) -> float | None:
        if self._subject.task.name not in COUNTED:
            return None
        return float(np.mean([len(result) for result in results if isinstance(result, Sized)]))

    def _base(self) -> str:
        names = list(dict.fromkeys(self._contenders[label].way.name for label in self._opened))
        asked = self._measuring.against
        if asked is None:
            return TUTORIAL if TUTORIAL in names else names[0]
        if asked not in names:
            raise UsageError(f"--against: expected one of {', '.join(names)}, which can be measured, got {asked!r}")
        return asked

    def measure_latency(self) -> None:
        """One image at a time."""
        clock, length = self._measuring.clock, self._measuring.length
        turns = {label: latency_turn(opened, self._images, clock) for label, opened in self._opened.items()}
        self._listener.started("latency", length.total)
        self.latency = self._in_rounds(turns, length)
        self.left_out |= self.latency.failed
        if not any(self.latency.turns.values()):
            self._listener.finished("latency", "nothing")
            raise self.latency.interrupt or BackendError(
                f"nothing could be measured: {next(iter(self.left_out.values()))}"
            )
        self._listener.finished("latency", f"{max(map(len, self.latency.turns.values()))} rounds")

    def measure_throughput(self) -> None:
        """Several images at a time; every contender with all its models open, so that they can take turns."""
        measuring = self._measuring
        if measuring.streams == 0 or self.interrupt is not None:
            return
        length = Length(rounds=measuring.length.rounds, seconds=measuring.length.seconds / 2)
        self._listener.started("throughput", length.total)
        turns = {}
        try:
            for label, timed in self.latency.turns.items():
                flowing, flow = self._flowing(label)
                self._flows[label] = flow
                one_s = spread_of([turn.total_s for turn in timed]).median
                turns[label] = flowing.turn(self._images, one_s, measuring.clock)
        except KeyboardInterrupt as interrupt:
            self.interrupt = interrupt
        except OakpointError as error:  # the same has been opened before: memory
            self._listener.finished("throughput", f"not measured: {error}")
            return
        if self.interrupt is None:
            self._rates = self._in_rounds(turns, length)
        self._listener.finished("throughput", f"{max(map(len, self._rates.turns.values()), default=0)} rounds")

    def _flowing(self, label: str) -> tuple[Flowing, Flow]:
        contender, first = self._contenders[label], self._opened[label]
        flow = flow_of(first, contender.threads, self._measuring.cores, self._measuring.streams)
        models = [first]
        for _ in range(flow.streams - 1):
            further = self._open(contender)
            further.run(self._images[0])
            models.append(further)
        return self._stack.enter_context(Flowing(models, flow.in_flight)), flow

    def _in_rounds(self, turns: Mapping[str, Callable[[int], T]], length: Length) -> Rounds[T]:
        measuring = self._measuring
        rng = np.random.default_rng(measuring.seed)
        found = in_rounds(turns, length, rng=rng, clock=measuring.clock, progress=self._listener.advanced)
        self.interrupt = found.interrupt
        return found

    def measure_costs(self) -> None:
        """Each contender in a process of its own, when all models here are closed."""
        if not self._measuring.costs or self.interrupt is not None:
            return
        labels = list(self.latency.turns)
        self._listener.started("memory", len(labels))
        try:
            for number, label in enumerate(labels, start=1):
                contender = self._contenders[label]
                named = self._subject.of(contender)
                self._costs[label] = self._measuring.cost_of(named, contender, self._images[0])
                self._listener.advanced(number)
        except KeyboardInterrupt as interrupt:
            self.interrupt = interrupt
        self._listener.finished("memory", f"{len(self._costs)} processes, one after the other")

    def row(self, contender: Contender) -> Row:
        """The figures of a contender that was measured."""
        label, turns = contender.label, self.latency.turns[contender.label]
        total_ms = [1e3 * turn.total_s for turn in turns]
        mean, example = self._found[label]
        return Row(
            contender=contender,
            model=self._subject.of(contender).model,
            runtime=self._opened[label].description,
            latency_ms=spread_of(total_ms),
            rounds_ms=tuple(total_ms),
            stages_ms={name: spread_of([1e3 * turn.stages_s[name] for turn in turns]) for name in STAGES},
            times=self._times(contender, {name: [t.total_s for t in of] for name, of in self.latency.turns.items()}),
            throughput=self._throughput(contender),
            cost=self._costs.get(label),
            found=mean,
            example=example,
        )

    def _throughput(self, contender: Contender) -> Throughput | None:
        rates = self._rates.turns.get(contender.label)
        if not rates:
            return None
        inverse = {name: [1 / rate for rate in of] for name, of in self._rates.turns.items()}
        return Throughput(
            rate=spread_of(rates), times=self._times(contender, inverse), flow=self._flows[contender.label]
        )

    def _times(self, contender: Contender, seconds: Mapping[str, Sequence[float]]) -> Estimate | None:
        """Against the base at the same number of threads."""
        bases = (
            c.label for c in self._contenders.values() if (c.way.name, c.threads) == (self.base, contender.threads)
        )
        base = seconds.get(next(bases, ""))
        return times_as_fast(base, seconds[contender.label], seed=self._measuring.seed) if base else None
