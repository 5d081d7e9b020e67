"""Texts as a page shows them, whatever is in a name."""

from __future__ import annotations

import re
from typing import Final

from oakpoint.files import shown_name

_UNSEEN: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of what follows: with them a name could feign other words."""


def shown(text: str, most: int) -> str:
    """A text that can be seen: cut where it has more than ``most`` characters, unseen ones by their codes."""
    return _UNSEEN.sub(lambda found: shown_name(found[0]), text if len(text) <= most else f"{text[: most - 1]}…")
