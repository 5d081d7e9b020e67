"""What ends the program from outside: Ctrl-C, and signals that mean the same."""

from __future__ import annotations

import signal
import threading
from types import FrameType

from oakpoint.files import ENDING_SIGNALS

EXIT_BY_SIGNAL = 128
"""A command that a signal ended exits with this and the signal's number, as shells have it."""


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP: ends what Ctrl-C ends, and everything that was begun is finished or tidied up likewise."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.number = number


class Listening:
    """Lets SIGTERM and SIGHUP end the program as Ctrl-C does, from ``begin`` on.

    Attributes:
        heard: the last of them that came; None for none.
    """

    def __init__(self) -> None:
        self.heard: signal.Signals | None = None

    def begin(self) -> None:
        """Listen, in the main thread, the only one that can; not to what is ignored from the start (nohup)."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in ENDING_SIGNALS:
            if number is not signal.SIGINT and signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._end)

    def _end(self, number: int, _: FrameType | None) -> None:
        self.heard = signal.Signals(number)
        raise Terminated(self.heard)


def signal_of(interrupt: KeyboardInterrupt) -> signal.Signals:
    """The signal that an interrupt came from."""
    return interrupt.number if isinstance(interrupt, Terminated) else signal.SIGINT


def exit_code_of(number: signal.Signals) -> int:
    """The exit code of a command that a signal ended: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP."""
    return EXIT_BY_SIGNAL + number


def words_for(number: signal.Signals) -> str:
    """What ended a command, in words."""
    return "Ctrl-C" if number is signal.SIGINT else number.name
