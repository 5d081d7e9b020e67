"""No content twice: whoever asks first for one that no part has computes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, final

from oakpoint.extraction.parts.known import Known


class Claims(Protocol):
    """Answers the workers, one at a time."""

    def claim(self, portion: int, contents: Sequence[str]) -> list[bool]:
        """Which contents a portion is to compute: those that no part has and no other portion asked for before.

        A portion that asks again, as a retried one does, gets the same answer.

        Args:
            portion: its number.
            contents: SHA-256 in hexadecimal.
        """
        ...


@final
class ClaimRegister:
    """The claims of one run, in memory.

    One that was killed and is made anew knows what parts have, and not what is being computed. So a portion asks a
    second time before it writes: what another one took over meanwhile is left to that one.
    """

    def __init__(self, known: Known) -> None:
        self._known = known
        self._holders: dict[bytes, int] = {}

    def claim(self, portion: int, contents: Sequence[str]) -> list[bool]:
        """See ``Claims.claim``."""
        return [self._claimed(portion, content) for content in contents]

    def _claimed(self, portion: int, content: str) -> bool:
        if self._known.holds(content):
            return False
        return self._holders.setdefault(bytes.fromhex(content), portion) == portion


def register_of(content: str, count: int) -> int:
    """Which of several registers answers for a content."""
    return int(content[:8], 16) % count
