"""Which outputs of a network are wanted, read from text (``--output semi=NAME``)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from oakpoint.errors import UsageError

OPTION = "--output"

NOT_IN_NAMES = re.compile(r"[^0-9A-Za-z_]+")
"""What the name of an ONNX tensor of ours does not hold."""


def parse_outputs(texts: Iterable[str]) -> dict[str, str]:
    """Read which outputs are wanted: ``semi=scores_1`` takes the network's ``scores_1`` as ``semi``, ``desc`` as it is.

    Args:
        texts: one each, in the order in which they are wanted.

    Returns:
        Wanted name → the network's name for it.

    Raises:
        UsageError: an empty name, one given twice, or a new one with other characters than letters, digits and
            underscores. A network's own may have any: exporters call outputs ``128`` or ``/head/Conv_output_0``.
    """
    chosen: dict[str, str] = {}
    for text in texts:
        wanted, equals, own = (part.strip() for part in text.partition("="))
        own = own if equals else wanted
        if not own or not wanted or (equals and (NOT_IN_NAMES.search(wanted) or wanted[0].isdigit())):
            raise UsageError(
                f"{OPTION} {text}: expected NEW=NAME or NAME, the network's own name of an output, such as "
                "semi=output_0"
            )
        if wanted in chosen:
            raise UsageError(f"{OPTION} {text}: {wanted} is given twice")
        chosen[wanted] = own
    return chosen
