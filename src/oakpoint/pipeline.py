"""Work on items in stages that run beside each other: results in order, errors at their place, memory bounded.

>>> def squares(numbers):
...     return overlapped(numbers, Stage(lambda n: n * n, workers=2))
>>> list(squares(range(5)))
[0, 1, 4, 9, 16]

Every stage has threads of its own. What a stage gives waits for the next one in a queue of a few places; where that is
full, the stage waits in turn, so that of the items no more than 2 + Σ (ahead + 1) are taken ahead of the results.
Whoever takes these is the last stage.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, final

from oakpoint.files import interrupts_held


@dataclass(frozen=True, slots=True)
class Stage:
    """What is done with each item.

    Attributes:
        work: takes an item and gives what the next stage takes; with several workers, from several threads at a time.
        workers: how many items are worked on side by side.
        name: of the stage's threads, for debuggers.
        ahead: results that the next stage has not taken yet, begun or done, at most, besides one that waits for a place
            among them; None: one for each worker.

    Raises:
        ValueError: fewer than one worker, or fewer than one item ahead.
    """

    work: Callable[[Any], Any]
    workers: int = 1
    name: str = "stage"
    ahead: int | None = None

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"workers: expected 1 or more, got {self.workers}")
        if self.places < 1:
            raise ValueError(f"ahead: expected 1 or more, got {self.ahead}")

    @property
    def places(self) -> int:
        """``ahead`` in numbers."""
        return self.workers if self.ahead is None else self.ahead


def overlapped(items: Iterable[Any], *stages: Stage) -> Generator[Any, None, None]:
    """Take each item through all stages, several items at a time.

    Nothing begins before the first result is asked for. Items are taken in a thread of their own. An error, of the
    items or of a stage, is raised where the result of its item would have come: all results before it come first, and
    none after it. When the generator is closed, by an error, Ctrl-C or ``close``, no further item is taken and no
    further work begun; what is being worked on is waited for, so that no thread is left, and its result is dropped.

    Args:
        items: taken one after the other, in one thread. A generator is closed there, at the end.
        *stages: in their order; none at all takes the items ahead of whoever uses them.

    Yields:
        What the last stage gives, in the order of the items.
    """
    line = _Line(items, stages)
    try:
        line.start()
        while (result := line.results.take()) is not None:
            yield result.result()
    finally:
        with interrupts_held():  # a second Ctrl-C would leave threads at work
            line.stop()


@final
class _Queue:
    """Results to come, in order, from one thread to another.

    Args:
        places: how many wait at most.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._waiting: deque[Future[Any]] = deque()
        self._ended = self._stopped = False
        self._changed = threading.Condition()

    def put(self, result: Future[Any]) -> bool:
        """Add a result when there is a place; False where it is not wanted any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or len(self._waiting) < self._places)
            if not self._stopped:
                self._waiting.append(result)
                self._changed.notify_all()
            return not self._stopped

    def end(self) -> None:
        """No further result comes."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def take(self) -> Future[Any] | None:
        """The next result, waited for; None after the last one, and where none is wanted any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ended or self._stopped)
            if self._stopped or not self._waiting:
                return None
            result = self._waiting.popleft()
            self._changed.notify_all()
            return result

    def stop(self) -> None:
        """Want nothing any more, and wake whoever waits."""
        with self._changed:
            self._stopped = True
            self._waiting.clear()
            self._changed.notify_all()


@final
class _Line:
    """The threads of one pipeline.

    Attributes:
        results: of the last stage.
    """

    def __init__(self, items: Iterable[Any], stages: Iterable[Stage]) -> None:
        self._items = items
        self._stages = list(stages)
        self._queues = [_Queue(1), *(_Queue(stage.places) for stage in self._stages)]
        self._pools = [ThreadPoolExecutor(stage.workers, stage.name) for stage in self._stages]
        self._stopping = False
        self._threads = [threading.Thread(target=self._read, name="items", daemon=True)]
        for number, stage in enumerate(self._stages):
            thread = threading.Thread(target=self._hand_on, args=(number,), name=f"{stage.name}-order", daemon=True)
            self._threads.append(thread)

    @property
    def results(self) -> _Queue:
        """See above."""
        return self._queues[-1]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End all threads, once what they are at is done."""
        self._stopping = True
        for queue in self._queues:
            queue.stop()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)

    def _read(self) -> None:
        """Take the items."""
        queue = self._queues[0]
        try:
            for item in self._items:
                if not queue.put(_done(item)):
                    break
            if isinstance(self._items, Generator):
                self._items.close()
        except BaseException as error:  # noqa: BLE001  # raised where the results are taken
            queue.put(_failed(error))
        queue.end()

    def _hand_on(self, number: int) -> None:
        """Begin a stage's work on each item when it has come from the stage before, in order."""
        work, pool = self._stages[number].work, self._pools[number]
        before, after = self._queues[number], self._queues[number + 1]
        try:
            while (item := before.take()) is not None and after.put(pool.submit(self._worked, work, item.result())):
                del item  # or it would be held while the next one is waited for
        except BaseException as error:  # noqa: BLE001  # of an earlier stage, or of a machine without another thread
            after.put(_failed(error))
        after.end()

    def _worked(self, work: Callable[[Any], Any], item: Any) -> Any:
        return None if self._stopping else work(item)


def _done(result: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(result)
    return future


def _failed(error: BaseException) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(error)
    return future
