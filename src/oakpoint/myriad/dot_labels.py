"""Labels of the compiler's Graphviz files: lines of ``key = value``, those of a part indented and in brackets."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from oakpoint.errors import StageMapError

INDENT = "    "


@dataclass(frozen=True, slots=True)
class Label:
    """A label, or a part of one.

    Attributes:
        title: its first line; of a part empty.
        values: key → value of the lines that have one.
        parts: key → the part in brackets behind it.
    """

    title: str
    values: dict[str, str] = field(default_factory=dict)
    parts: dict[str, Label] = field(default_factory=dict)

    def value(self, key: str) -> str:
        """The value of a key.

        Raises:
            StageMapError: there is none.
        """
        if key not in self.values:
            raise StageMapError(f"the compiler's graph: {self.title or 'a part'!r} does not say {key!r}")
        return self.values[key]

    def number(self, key: str) -> int:
        """The value of a key, a whole number.

        Raises:
            StageMapError: there is none, or it is no number.
        """
        text = self.value(key)
        if not re.fullmatch(r"-?\d+", text):
            raise StageMapError(f"the compiler's graph: {key!r} is no number: {text!r}")
        return int(text)

    def part(self, key: str) -> Label:
        """The part of a key.

        Raises:
            StageMapError: there is none.
        """
        if key not in self.parts:
            raise StageMapError(f"the compiler's graph: {self.title or 'a label'!r} has no {key!r}")
        return self.parts[key]


def label_from_text(text: str) -> Label:
    r"""Read a label, whose lines end with ``\l``."""
    title, *lines = text.split("\\l")
    label = Label(title)
    _fill(label, [line for line in lines if line], 0)
    return label


def _fill(label: Label, lines: list[str], depth: int) -> None:
    """Read the lines of one depth; a key whose value is an open bracket has the deeper lines behind it."""
    position = 0
    while position < len(lines):
        line = lines[position]
        position += 1
        key, equals, value = line.removeprefix(INDENT * depth).partition(" = ")
        if not equals:
            continue  # a list without keys, or the bracket that closes a part
        end = position
        while end < len(lines) and lines[end].startswith(INDENT * (depth + 1)):
            end += 1
        if value == "[":
            inside = lines[position:end]
            label.parts[key] = Label("")
            _fill(label.parts[key], inside, depth + 1)
            label.values[key] = " ".join(line.strip() for line in inside)
        else:
            label.values[key] = value
        position = end


def numbers_in(text: str) -> dict[str, int]:
    """The numbers of ``[W : 320, H : 200]`` by axis; an axis without a letter, given by its place, has ours."""
    found = re.findall(r"(\w+) : (-?\d+)", text)
    letters = {"5": "E", "6": "F", "7": "G"}
    return {letters.get(axis, axis): int(number) for axis, number in found}
