"""How many images a second, with several under way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Final, final

from oakpoint.bench.host.opening import Clock, Opened
from oakpoint.bench.host.rounds import repeats_for
from oakpoint.bench.host.subject import Image

if TYPE_CHECKING:
    from typing_extensions import Self

TURN_S: Final = 0.25
MOST_REPEATS: Final = 50
"""Images for each that is under way, in a turn that takes about so long."""

MOST_STREAMS: Final = 4
"""Of one contender, unless more are asked for: each takes its own memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """How images go through a contender.

    Attributes:
        streams: how many models of it are open, each with threads of its own.
        in_flight: how many images are under way at a time.
    """

    streams: int
    in_flight: int


def flow_of(opened: Opened, threads: int, cores: int, streams: int | None) -> Flow:
    """As many models as there are cores for; with a single one, as many images as it can have under way.

    Args:
        opened: the contender.
        threads: of each model.
        cores: that there are.
        streams: how many are asked for; None: as many as fill the cores, ``MOST_STREAMS`` at most.
    """
    if opened.in_flight == 1:
        return Flow(streams=1, in_flight=1)
    count = min(max(cores // threads, 1), MOST_STREAMS) if streams is None else streams
    return Flow(streams=count, in_flight=count if count > 1 else opened.in_flight)


@final
class Flowing:
    """A contender with several images under way: a thread for each, which takes a model that is free.

    A context manager; the models are the caller's.
    """

    def __init__(self, models: Sequence[Opened], in_flight: int) -> None:
        """Start no thread yet.

        Args:
            models: at least one.
            in_flight: images under way at a time; a model may have several of them.
        """
        self._free: SimpleQueue[Opened] = SimpleQueue()
        for model in islice(cycle(models), in_flight):
            self._free.put(model)
        self._in_flight = in_flight
        self._pool = ThreadPoolExecutor(in_flight, thread_name_prefix="oakpoint-bench")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def turn(self, images: Sequence[Image], one_s: float, clock: Clock) -> Callable[[int], float]:
        """What a contender does in its turn: images a second.

        Args:
            images: taken in turn.
            one_s: how long one image takes by itself.
            clock: seconds, monotonic.
        """
        count = self._in_flight * repeats_for(one_s, TURN_S, MOST_REPEATS)

        def rate(_: int) -> float:
            list(self._pool.map(self._run, islice(cycle(images), self._in_flight)))
            start_s = clock()
            list(self._pool.map(self._run, islice(cycle(images), count)))
            return count / (clock() - start_s)

        return rate

    def _run(self, image: Image) -> None:
        model = self._free.get()
        try:
            model.run(image)
        finally:
            self._free.put(model)
