"""One line of the doctor's report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

State = Literal["good", "in use", "missing", "wrong"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found of one thing.

    Attributes:
        topic: the part of the report it belongs to.
        name: the thing.
        state: ``good``; ``in use``: it works, and another program has it; ``missing``: it is not there, which may be
            just right; ``wrong``: it is there and cannot work.
        text: what was found, in a line.
        mend: the one command that mends it, or shows what is to be mended by hand; empty where there is none.
        needed: oakpoint cannot do its work on this machine while this is not good.

    Raises:
        ValueError: an unknown state, or a command to mend what is good.
    """

    topic: str
    name: str
    state: State
    text: str
    mend: str = ""
    needed: bool = False

    def __post_init__(self) -> None:
        if self.state not in get_args(State):
            raise ValueError(f"state: expected one of {', '.join(get_args(State))}, got {self.state!r}")
        if self.state == "good" and self.mend:
            raise ValueError(f"{self.name}: is good, and has a command that mends it: {self.mend}")


def healthy(findings: Iterable[Finding]) -> bool:
    """Whether nothing that is needed is missing or wrong."""
    return all(finding.state == "good" for finding in findings if finding.needed)
