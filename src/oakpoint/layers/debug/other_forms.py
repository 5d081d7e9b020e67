"""Tensors that hold something else than their name says, which is made up for by whatever reads them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from oakpoint.layers.debug.errors import LayerError

MADE_UP_FOR: Final = 0.1
"""A layer makes up for what it reads where its error is at most so much of what it is on the reference's inputs."""


def in_another_form(
    errors: Mapping[str, LayerError], reads: Mapping[str, Collection[str]], outputs: Collection[str]
) -> tuple[set[str], set[str]]:
    """Find tensors that are another form of what the reference has under their name: scaled later, say.

    A rewrite that lets an image through an enlargement before it is scaled leaves a tensor 255 times as large, and a
    layer behind it that divides. Given the reference's tensor that layer goes wrong, and in a run of the whole it is
    right. A fault looks otherwise: what reads a faulty tensor is right on the reference's.

    Args:
        errors: by the tensor's name, in the order of execution.
        reads: the tensors that each is calculated from directly.
        outputs: of the network; these are in no other form.

    Returns:
        The tensors in another form, and those that make up for it.
    """
    read = {before for after in reads.values() for before in after}
    ends = {*outputs, *(name for name in errors if name not in read)}
    others: set[str] = set()
    readers: set[str] = set()
    for name, error in errors.items():
        if name in others or name in readers or error.kind != "jump":
            continue
        spread = {name}
        makes_up: set[str] = set()
        for after, later in errors.items():
            if spread.isdisjoint(reads[after]):
                continue
            made_up = later.at_fault and later.grown.mean_square <= MADE_UP_FOR * later.own.mean_square
            (makes_up if made_up else spread).add(after)
        if makes_up and spread.isdisjoint(ends):
            others |= spread
            readers |= makes_up
    return others, readers - others
