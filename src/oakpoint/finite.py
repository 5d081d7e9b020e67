"""Numbers that JSON and CSV have."""

from __future__ import annotations

import math


def finite_or_none(value: float | None) -> float | None:
    """The number; None for infinity, for what is no number, and for None."""
    return value if value is not None and math.isfinite(value) else None
