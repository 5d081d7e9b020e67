"""Facts in the header of a safetensors file: what weights say of themselves."""

from __future__ import annotations

from pathlib import Path

from oakpoint.errors import WeightsError
from oakpoint.runtimes import importing

DECODE_PRESET = "decode_preset"
"""Key: the decode options that the weights were trained for."""

RESTRICTION, LICENCE = "restriction", "licence"
"""Keys: what the weights learnt from binds them, and under which licence that is."""

_LENGTH_BYTES = 8
"""Of the header's length, which comes first. Source: «Format» in safetensors' README."""


def is_safetensors(path: Path) -> bool:
    """Whether a file is of that format, by its name or by how it begins.

    Raises:
        WeightsError: it cannot be read.
    """
    if path.suffix == ".safetensors":
        return True
    start = beginning_of(path, _LENGTH_BYTES + 1)
    return start[_LENGTH_BYTES:] == b"{" and int.from_bytes(start[:_LENGTH_BYTES], "little") < path.stat().st_size


def beginning_of(path: Path, count: int) -> bytes:
    """The first bytes of a file.

    Raises:
        WeightsError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error


def header_of(path: Path) -> dict[str, str]:
    """The facts in the header of a safetensors file; none in a file of another kind.

    Raises:
        MissingExtraError: safetensors is not installed.
        WeightsError: a damaged file.
    """
    if not is_safetensors(path):
        return {}
    with importing("safetensors", extra="torch"):
        from safetensors import SafetensorError, safe_open
    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: truncated or damaged, or no safetensors file ({error})") from error
