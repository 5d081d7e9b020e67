"""Names of layers in little room."""

from __future__ import annotations


def without_beginning(name: str, characters: int, *, mark: str = "…") -> str:
    """A name of at most so many characters: what tells layers apart stands at the end of a path.

    Args:
        name: of any length.
        characters: more than ``mark`` has.
        mark: what stands in the beginning's place.
    """
    return name if len(name) <= characters else f"{mark}{name[len(mark) - characters :]}"
