"""The numbers that FP16 (IEEE 754 binary16) has."""

from __future__ import annotations

from typing import Final

LARGEST: Final = 65504.0
"""The largest number."""

SMALLEST_NORMAL: Final = 2.0**-14
"""Below it, 6.1e-5, there are fewer digits the smaller a number is."""

SMALLEST: Final = 2.0**-24
"""The smallest number above zero, 6.0e-8; half of it and less is zero."""
