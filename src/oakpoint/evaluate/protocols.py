"""The protocols by name."""

from __future__ import annotations

from collections.abc import Sequence

from oakpoint.errors import UsageError
from oakpoint.evaluate.homography import RANSAC_PX, HomographyProtocol
from oakpoint.evaluate.matching import MatchingProtocol
from oakpoint.evaluate.protocol import Protocol, Reading
from oakpoint.evaluate.repeatability import RepeatabilityProtocol

PROTOCOLS = ("p1", "p2", "p3")


def protocols_by_name(names: Sequence[str], reading: Reading, *, ransac_px: float = RANSAC_PX) -> tuple[Protocol, ...]:
    """Protocols in the order P1, P2, P3, whatever the order of names.

    Raises:
        UsageError: no name, an unknown name, or an unknown reading.
    """
    wanted = {name.strip().lower() for name in names}
    unknown = sorted(wanted - set(PROTOCOLS))
    if unknown or not wanted:
        raise UsageError(f"protocols: expected some of {', '.join(PROTOCOLS)}, got {', '.join(unknown) or 'none'}")
    made: tuple[Protocol, ...] = (
        RepeatabilityProtocol(reading),
        HomographyProtocol(reading, ransac_px=ransac_px),
        MatchingProtocol(reading),
    )
    return tuple(protocol for protocol in made if protocol.key in wanted)
