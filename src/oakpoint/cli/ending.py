"""What ends the program from outside: Ctrl-C, and signals that mean the same."""

from __future__ import annotations

import signal
import threading
from types import FrameType

from oakpoint.files import ENDING_SIGNALS

EXIT_BY_SIGNAL = 128
"""A command that a signal ended exits with this and the signal's number, as shells have it."""

_heard: list[signal.Signals] = []  # signals are the process's, and so is what was heard of them


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP: ends what Ctrl-C ends, and everything that was begun is finished or tidied up likewise."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.number = number


def listen() -> None:
    """Let SIGTERM and SIGHUP end the program as Ctrl-C does, but not where it was started to ignore them (nohup).

    Only the main thread can listen; elsewhere nothing is done.
    """
    _heard.clear()
    if threading.current_thread() is not threading.main_thread():
        return
    for number in ENDING_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def heard() -> signal.Signals | None:
    """The last signal to end that came; None for none."""
    return _heard[-1] if _heard else None


def raise_if_heard() -> None:
    """Raise once more what a library's callback may have swallowed, for loops that might go on for ever.

    Raises:
        KeyboardInterrupt: a signal to end had come.
    """
    number = heard()
    if number is not None:
        raise _interrupt(number)


def _end(number: int, _: FrameType | None) -> None:
    _heard.append(signal.Signals(number))
    raise _interrupt(_heard[-1])


def _interrupt(number: signal.Signals) -> KeyboardInterrupt:
    return KeyboardInterrupt() if number is signal.SIGINT else Terminated(number)


def signal_of(interrupt: KeyboardInterrupt) -> signal.Signals:
    """The signal that an interrupt came from."""
    return interrupt.number if isinstance(interrupt, Terminated) else signal.SIGINT


def exit_code_of(number: signal.Signals) -> int:
    """The exit code of a command that a signal ended: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP."""
    return EXIT_BY_SIGNAL + number


def words_for(number: signal.Signals) -> str:
    """What ended a command, in words."""
    return "Ctrl-C" if number is signal.SIGINT else number.name
