"""Warnings in the log that come once for each of many images: the first few are shown, the others counted."""

from __future__ import annotations

import logging
from collections import Counter

from oakpoint.cli.console import print_warning

SHOWN = 3
"""Messages of one kind that are shown."""


class FewOfAKind(logging.Filter):
    """Lets the first messages of each kind through; of one kind are those of one logger and one template."""

    def __init__(self) -> None:
        super().__init__()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._last: dict[tuple[str, str], str] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to show a message."""
        kind = record.name, str(record.msg)
        self._counts[kind] += 1
        self._last[kind] = record.getMessage()
        return self._counts[kind] <= SHOWN

    def tell(self) -> None:
        """Say how many were not shown."""
        for kind, count in self._counts.items():
            if count > SHOWN:
                print_warning(
                    f"{count - SHOWN} more messages of this kind, all of them with  oakpoint -v …; the last was: "
                    f"{self._last[kind]}"
                )
