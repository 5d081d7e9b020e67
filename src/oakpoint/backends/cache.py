"""Backends of several image sizes, lent to whichever thread needs one."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import final

from oakpoint.backends.base import Backend

Size = tuple[int, int]


@dataclass(slots=True, eq=False)
class _Place:
    """A size's backend.

    Attributes:
        opening: held while the backend is opened.
        backend: None before it is opened, and where it could not be.
        borrowers: how many use it, or wait for it to be opened.
        dismissed: whether the last borrower closes it.
    """

    opening: threading.Lock = field(default_factory=threading.Lock)
    backend: Backend | None = None
    borrowers: int = 0
    dismissed: bool = False


@final
class BackendCache:
    """Opens a backend for each size that is asked for, and keeps a number of them ready.

    It may be used from several threads. A size is opened once, however many wait for it. What is in use is not closed:
    the one unused longest goes first, and where every one is in use there are more of them for as long as that lasts.

    Args:
        open_at: opens the model for images of (W, H) pixels.
        kept: how many are kept.
    """

    def __init__(self, open_at: Callable[[Size], Backend], *, kept: int) -> None:
        self._open_at = open_at
        self._kept = kept
        self._lock = threading.Lock()
        self._places: OrderedDict[Size, _Place] = OrderedDict()

    @contextmanager
    def lent(self, size: Size) -> Iterator[Backend]:
        """The backend of a size, open for as long as the block lasts."""
        place = self._taken(size)
        try:
            with place.opening:
                if place.backend is None:
                    place.backend = self._open_at(size)
            yield place.backend
        finally:
            self._give_back(size, place)

    def last_used(self) -> Size | None:
        """The size that was asked for last, of those that are open or being opened; None where there is none."""
        with self._lock:
            return next(reversed(self._places), None)

    def close_one_unused(self) -> bool:
        """Close the backend that is unused longest; False where every one is in use."""
        with self._lock:
            unused = self._dismissed_beyond(max(len(self._places) - 1, 0))
        _close(unused)
        return bool(unused)

    def close(self) -> None:
        """Close all backends; those in use as soon as they are not. Sizes that are asked for later are opened anew."""
        with self._lock:
            places = list(self._places.values())
            self._places.clear()
            unused = [place for place in places if self._dismissed(place)]
        _close(unused)

    def _taken(self, size: Size) -> _Place:
        with self._lock:
            unused = []
            if size not in self._places:
                unused = self._dismissed_beyond(self._kept - 1)
                self._places[size] = _Place()
            self._places.move_to_end(size)
            place = self._places[size]
            place.borrowers += 1
        try:
            _close(unused)  # before another is opened: there is memory for so many
        except BaseException:
            self._give_back(size, place)
            raise
        return place

    def _give_back(self, size: Size, place: _Place) -> None:
        with self._lock:
            place.borrowers -= 1
            unused = []
            if not place.borrowers:
                if place.backend is None and self._places.get(size) is place:
                    del self._places[size]
                unused = [place] if place.dismissed else self._dismissed_beyond(self._kept)
        _close(unused)

    def _dismissed_beyond(self, count: int) -> list[_Place]:
        """Take out what is unused, longest unused first, until so many are left; gives what is to be closed."""
        idle = [size for size, place in self._places.items() if not place.borrowers]
        return [self._places.pop(size) for size in idle[: max(len(self._places) - count, 0)]]

    @staticmethod
    def _dismissed(place: _Place) -> bool:
        """Leave the closing to the last borrower; True where there is none."""
        place.dismissed = True
        return not place.borrowers


def _close(places: list[_Place]) -> None:
    for place in places:
        if place.backend is not None:
            place.backend.close()
