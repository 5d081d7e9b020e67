"""What all threads of a process share: its cores, the threads of its libraries, and settings changed for a while.

How many threads a library works with, and what bounds them:

================== ============================================================== =====================================
library            works with                                                     bound
================== ============================================================== =====================================
OpenVINO           all cores                                                      ``threads`` of the model
ONNX Runtime       all cores                                                      ``threads`` of the model
torch              all cores                                                      ``threads`` of the model, within a run
simulator          the cores, up to four                                          ``threads`` of the model
torch in training  the cores, shared out to the processes                         ``--processes``
NumPy's BLAS       one thread, wherever oakpoint multiplies (``one_blas_thread``) always
OpenCV             all cores, for single calls that leave nothing spinning        ``cv2.setNumThreads``, the user's;
                                                                                  one thread while stages overlap
                                                                                  (``one_opencv_thread``)
pipelines          one or more threads for each stage, that wait without spinning ``pipeline.Stage.workers``
================== ============================================================== =====================================

Libraries' threads that wait for more work by spinning take the cores from the library that works next. OpenBLAS's spin
for 2^26 ticks of the processor's clock after each product of more than some hundred thousand multiplications; between
the runs of a network that is most of the time. A program that calls oakpoint keeps its own settings: what is changed
for a call is put back after it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, final

from threadpoolctl import ThreadpoolController


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@final
class SharedSetting:
    """A setting of the whole process, changed for as long as at least one thread needs it.

    The first thread to come changes it and the last one to go puts it back, in whatever order they go and whatever
    error ends them. In a forked process only what the forking thread held is still held.

    Args:
        change: changes the setting, and returns what puts it back.
    """

    def __init__(self, change: Callable[[], Callable[[], None]]) -> None:
        self._change = change
        self._put_back: Callable[[], None] = _nothing
        self._holders: list[int] = []
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._lock.acquire, after_in_parent=self._lock.release, after_in_child=self._after_fork
            )

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the setting changed within the block."""
        me = threading.get_ident()
        with self._lock:
            if not self._holders:
                self._put_back = self._change()
            self._holders.append(me)
        try:
            yield
        finally:
            with self._lock:
                self._holders.remove(me)
                self._put_back_if_free()

    def _put_back_if_free(self) -> None:
        if not self._holders:
            put_back, self._put_back = self._put_back, _nothing
            put_back()

    def _after_fork(self) -> None:
        """The other threads have not come along."""
        self._holders = [holder for holder in self._holders if holder == threading.get_ident()]
        self._put_back_if_free()
        self._lock.release()


@dataclass(frozen=True, slots=True)
class BlasLibrary:
    """A BLAS library of this process.

    Attributes:
        count: gives its number of threads.
        set_count: sets it.
        per_thread: whether each thread that calls the library has a number of its own.
    """

    count: Callable[[], int]
    set_count: Callable[[int], object]
    per_thread: bool


@final
class BlasBound:
    """Keeps BLAS libraries to the calling thread.

    Args:
        libraries: gives them; called once, when they are first needed.
    """

    def __init__(self, libraries: Callable[[], Iterable[BlasLibrary]]) -> None:
        self._libraries = cache(lambda: tuple(libraries()))
        self._process_wide = SharedSetting(lambda: self._bound(per_thread=False))

    @contextmanager
    def held(self) -> Iterator[None]:
        """See ``one_blas_thread``."""
        with self._process_wide.held():
            put_back = self._bound(per_thread=True)
            try:
                yield
            finally:
                put_back()

    def _bound(self, *, per_thread: bool) -> Callable[[], None]:
        counts = [(library, library.count()) for library in self._libraries() if library.per_thread == per_thread]
        bounded = [(library, count) for library, count in counts if count > 1]
        for library, _ in bounded:
            library.set_count(1)

        def put_back() -> None:
            for library, count in bounded:
                if library.count() == 1:  # else somebody has changed it meanwhile
                    library.set_count(count)

        return put_back


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep BLAS to the calling thread within the block; also a decorator.

    OpenBLAS knows one number of threads for the whole process: the bound holds for all threads, for as long as one of
    them is within such a block. Afterwards each library has as many threads as before, unless somebody else changed
    them meanwhile. Takes microseconds, but for the first time in a process, when the libraries are looked for.

    What is multiplied within does not depend on the number of cores, to the last bit.
    """
    with _blas.held():
        yield


@contextmanager
def one_opencv_thread() -> Iterator[None]:
    """Keep OpenCV to the calling threads within the block: where several threads work, each has one core.

    The number is the whole process's: the bound holds for all threads, for as long as one of them is within such a
    block.
    """
    with _opencv.held():
        yield


def _bound_opencv() -> Callable[[], None]:
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)

    def put_back() -> None:
        if cv2.getNumThreads() == 1:  # else somebody has changed it meanwhile
            cv2.setNumThreads(before)

    return put_back


def _blas_libraries() -> Iterator[BlasLibrary]:
    """NumPy's BLAS library, and then those of whatever else is loaded."""
    import numpy  # noqa: F401 - so that its library is there

    found = ThreadpoolController().select(user_api="blas").lib_controllers
    for library in sorted(found, key=lambda library: "numpy" not in str(library.filepath)):
        layer = getattr(library, "threading_layer", None)
        per_thread = library.internal_api == "mkl" or (library.internal_api == "openblas" and layer == "openmp")
        set_count = library.set_num_threads if per_thread else _setter(library)
        yield BlasLibrary(library.get_num_threads, set_count, per_thread)


def _setter(library: Any) -> Callable[[int], object]:
    """OpenBLAS's own function.

    threadpoolctl (3.8) lets one thread set OpenBLAS's number and passes over what others set without a word, so that
    the last thread to go could not put back what the first one changed.
    """
    names = (f"{prefix}openblas_set_num_threads{suffix}" for prefix in ("", "scipy_") for suffix in ("", "64_", "_64"))
    functions: Iterator[Any] = (getattr(library.dynlib, name, None) for name in names)
    chosen: Callable[[int], object] = next((f for f in functions if f is not None), library.set_num_threads)
    return chosen


def _nothing() -> None:
    """Nothing was changed."""


_blas = BlasBound(_blas_libraries)
_opencv = SharedSetting(_bound_opencv)
