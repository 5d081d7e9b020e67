"""What foreign code writes goes to the log, of its own thread alone, and the streams are left as they were."""
# ruff: noqa: T201 - printing is what is tested

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator

import pytest
from rich.console import Console

from oakpoint.networks.foreign_output import logging_output_of

Captured = pytest.CaptureFixture[str]


@contextlib.contextmanager
def streams_kept() -> Iterator[None]:
    before = sys.stdout, sys.stderr
    yield
    assert (sys.stdout, sys.stderr) == before


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_output_goes_to_the_log(capsys: Captured, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "oakpoint")
    with logging_output_of("net"):
        print("first")
        print("an error", file=sys.stderr)
        print("second", end="")
    print("after")
    assert capsys.readouterr() == ("after\n", "an error\n")
    assert logged(caplog) == ["net: first", "net: second"]


def test_nothing_is_logged_where_nobody_listens(capsys: Captured, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "oakpoint"), logging_output_of("net"):
        print("first")
    assert (capsys.readouterr().out, caplog.records) == ("", [])


def test_blocks_within_each_other_and_errors_out_of_them(capsys: Captured, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "oakpoint")

    def fail() -> None:
        with logging_output_of("outer", errors=True):
            print("before")
            with logging_output_of("inner"):
                print("inside")
                print("beside", file=sys.stderr)
            print("behind")
            raise ValueError("moon")

    with streams_kept(), pytest.raises(ValueError, match="moon"):
        fail()
    assert capsys.readouterr() == ("", "")
    assert logged(caplog) == ["inner: inside", "outer: before", "outer: beside", "outer: behind"]


def test_other_threads_keep_their_output_and_blocks_end_in_any_order(
    capsys: Captured, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "oakpoint")
    inside, leave, left = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        with logging_output_of("thread"):
            inside.set()
            leave.wait(10)
            print("of the thread")
        left.set()

    thread = threading.Thread(target=work)
    with streams_kept():
        thread.start()
        assert inside.wait(10)
        print("of nobody")
        with logging_output_of("main"):
            leave.set()
            assert left.wait(10)
            print("of the main thread")
        thread.join()
    assert capsys.readouterr().out == "of nobody\n"
    assert sorted(logged(caplog)) == ["main: of the main thread", "thread: of the thread"]


def test_what_kept_the_stream_writes_on_to_it(capsys: Captured) -> None:
    with logging_output_of("net"):
        kept = sys.stdout
        kept.write("inside")
    kept.write("outside")
    assert capsys.readouterr().out == "outside"


def test_a_spinner_in_another_thread_reaches_the_terminal_and_rich_in_the_network_does_not(capsys: Captured) -> None:
    console = Console(soft_wrap=True)
    with logging_output_of("net"):
        Console().print("by the network")
        thread = threading.Thread(target=lambda: console.print("spinning"))
        thread.start()
        thread.join()
    assert capsys.readouterr().out == "spinning\n"


def test_what_torchs_loggers_say_is_taken_once_and_only_from_this_thread(
    capsys: Captured, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "oakpoint")
    handler = logging.StreamHandler(sys.stderr)
    loggers = [logging.getLogger(name) for name in ("torch.of_this_test", "torch.of_this_test.inner")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        with logging_output_of("export", errors=True):
            loggers[1].error("a traceback\nof two lines")
            thread = threading.Thread(target=lambda: loggers[0].error("of another thread"))
            thread.start()
            thread.join()
        loggers[0].error("after")
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
    assert capsys.readouterr().err == "of another thread\nafter\n"
    assert [line for line in logged(caplog) if line.startswith("export")] == [
        "export: a traceback",
        "export: of two lines",
    ]
