"""Names of classes: read from a file, held against the number of classes that a network has."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from oakpoint.errors import UsageError, first_line

MAX_BYTES = 16 << 20
"""A list of names is smaller: ImageNet's 21,841 take half a megabyte."""

_EXPECTED = "expected one name a line, or JSON: a list of names, or an object of number and name"


def read_labels(path: Path) -> tuple[str, ...]:
    """The names of a network's classes, in the order of its outputs.

    Args:
        path: one name a line; or JSON, a list of names, an object from number to name or from name to number, or
            from number to a list whose last part is the name, as Keras' ``imagenet_class_index.json`` has it.

    Raises:
        UsageError: no such file, no text, an empty name, a number that is missing.
    """
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
        text = raw.decode("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise UsageError(f"{path}: cannot be read as labels ({reason}); {_EXPECTED}") from error
    if len(raw) > MAX_BYTES or not text:
        raise UsageError(f"{path}: {'is too large for labels' if text else 'holds no labels'}; {_EXPECTED}")
    names = _names_of_json(path, text) if text[0] in "[{" else tuple(line.strip() for line in text.splitlines())
    for number, name in enumerate(names):
        if not name:
            raise UsageError(f"{path}: label {number} is empty; {_EXPECTED}")
    return names


def _names_of_json(path: Path, text: str) -> tuple[str, ...]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: no valid JSON ({first_line(error)}); {_EXPECTED}") from error
    if isinstance(content, list):
        return tuple(_name(path, value) for value in content)
    count = len(content)
    if all(isinstance(value, int) and not isinstance(value, bool) for value in content.values()):
        content = {str(number): name for name, number in content.items()}
    numbers = {key: value for key, value in content.items() if key.isdecimal()}
    missing = next((n for n in range(count) if str(n) not in numbers), None)
    if missing is not None:
        raise UsageError(f"{path}: expected a name for every number from 0 on, got none for {missing}")
    return tuple(_name(path, numbers[str(n)]) for n in range(count))


def _name(path: Path, value: Any) -> str:
    if isinstance(value, list) and value:
        value = value[-1]
    if not isinstance(value, str):
        raise UsageError(f"{path}: expected names in text, got {value!r}; {_EXPECTED}")
    return value.strip()


def require_one_each(labels: Sequence[str], classes: int) -> None:
    """Make sure that there is a label for each class, or none at all.

    Raises:
        UsageError: another number of them.
    """
    if labels and len(labels) != classes:
        raise UsageError(f"labels: expected {classes}, one for each class of the network, got {len(labels)}")


def label_of(labels: Sequence[str], index: int) -> str:
    """What a class is called: its label, or ``class 3`` where there are no labels."""
    return labels[index] if labels else f"class {index}"
