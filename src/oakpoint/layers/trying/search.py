"""Which layers of a graph a target refuses, found out by trying parts of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import onnx

from oakpoint.convert.graph_edit import names_read
from oakpoint.convert.split.parts import Parts

Trial = Callable[[onnx.ModelProto], str | None]
"""Tries a graph: None where the target takes it, else why not, in the target's own words."""

SIDE_BY_SIDE: Final = 4
"""Trials at a time. The Myriad compiler sleeps for some four of its five seconds, looking for devices."""

_MOST_NAMED: Final = 24
"""Layers, of those that a refusal names, that are tried one by one first; others follow where they are of a kind."""

_WORD = re.compile(r"[^\s\"',;:()\[\]]+")
_VARIABLE = re.compile(r"\"[^\"]*\"|'[^']*'|\S*[\d_/.]\S*")
"""What in a refusal is of one layer alone: names, numbers, sizes."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A layer that the target does not take.

    Attributes:
        place: of the layer in the graph.
        reason: the target's own words.
        alone: whether it refuses the layer by itself; else only behind those before it.
    """

    place: int
    reason: str
    alone: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What came of a search.

    Attributes:
        refusals: by place.
        untried: places of layers that could not be tried, as they hang on one that was refused.
    """

    refusals: tuple[Refusal, ...]
    untried: tuple[int, ...]


def refused_layers(parts: Parts, trial: Trial, *, cut: Iterable[int] = ()) -> Found:
    """Find every layer of a graph that a target refuses.

    The whole is tried first. While what is left is refused, a layer is found that is at fault: one that the refusal
    names, or one beside a layer that was refused in the same words, which is refused alone; or else the one at which
    prefixes in the order of execution begin to be refused. It is cut out, its outputs become inputs, and the search
    goes on with the rest; its kind is tried at once.

    Args:
        parts: the graph.
        trial: tries a part; called from several threads.
        cut: places that are known to be refused: not tried.
    """
    return _Search(parts, trial, set(cut)).run()


class _Search:
    def __init__(self, parts: Parts, trial: Trial, cut: set[int]) -> None:
        self._parts, self._trial, self._cut = parts, trial, cut
        self._refused: dict[int, Refusal] = {}

    def run(self) -> Found:
        while left := self._left():
            reason = self._try([left])[0]
            if reason is None:
                break
            found = self._named(reason, left) or self._beside(reason, left) or self._first(left)
            self._refused |= {refusal.place: refusal for refusal in found}
        self._acquit()
        untried = set(range(len(self._parts.nodes))) - set(self._left()) - self._cut - set(self._refused)
        return Found(tuple(self._refused[place] for place in sorted(self._refused)), tuple(sorted(untried)))

    def _left(self) -> list[int]:
        """What is neither refused nor hangs on what is, in order."""
        cut = self._cut | set(self._refused)
        return sorted(self._parts.can_be_had(cut) - cut)

    def _try(self, places: Sequence[Sequence[int]]) -> list[str | None]:
        """Try several parts side by side."""
        models = [self._parts.part(part) for part in places]
        if len(models) == 1:
            return [self._trial(models[0])]
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            futures = [pool.submit(self._trial, model) for model in models]
            try:
                return [future.result() for future in futures]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _named(self, reason: str, left: Sequence[int]) -> list[Refusal]:
        """Layers that a refusal names, by name, tensor or operator, and that are refused alone."""
        words = {word.rstrip(".") for word in _WORD.findall(reason)}
        nodes = self._parts.nodes
        named = [p for p in left if words.intersection((nodes[p].name, *nodes[p].output)) - {""}]
        operators = [p for p in left if nodes[p].op_type in words and p not in named]
        for candidates in (named, operators):
            if candidates and (found := self._alone(candidates[:_MOST_NAMED], left)):
                return found + self._of_a_kind(found, left)
        return []

    def _beside(self, reason: str, left: Sequence[int]) -> list[Refusal]:
        """Layers next to those that were refused in the same words, and that are refused alone: a fault goes on."""
        words = _VARIABLE.sub("", reason)
        alike = [place for place, refusal in self._refused.items() if _VARIABLE.sub("", refusal.reason) == words]
        nodes = self._parts.nodes
        given = {name for place in alike for name in nodes[place].output}
        read = {name for place in alike for name in names_read(nodes[place])}
        beside = [p for p in left if given.intersection(names_read(nodes[p])) or read.intersection(nodes[p].output)]
        return self._alone(beside[:_MOST_NAMED], left)

    def _alone(self, places: Sequence[int], left: Sequence[int]) -> list[Refusal]:
        """Those of these layers that are refused by themselves; of layers that are alike one is tried."""
        alike: dict[tuple[object, ...], list[int]] = {}
        for place in places:
            if self._parts.closed([place], set(left)) == {place}:
                alike.setdefault(self._parts.kind_of(place), []).append(place)
        reasons = self._try([[group[0]] for group in alike.values()]) if alike else []
        return [
            Refusal(place, self._said_of(place, group[0], reason), alone=True)
            for group, reason in zip(alike.values(), reasons, strict=True)
            if reason is not None
            for place in group
        ]

    def _said_of(self, place: int, tried: int, reason: str) -> str:
        """A refusal of one layer, of another that is like it."""
        here, there = self._parts.nodes[place], self._parts.nodes[tried]
        names = {there.name: here.name, **dict(zip(there.output, here.output, strict=True))}
        quoted = re.compile("|".join(rf"(?<![\w./]){re.escape(name)}(?![\w./])" for name in names if name) or r"(?!)")
        return quoted.sub(lambda found: names[found[0]], reason)

    def _of_a_kind(self, found: Sequence[Refusal], left: Sequence[int]) -> list[Refusal]:
        """Other layers of the same operators that are refused alone in the same words, but for names and numbers."""
        nodes, places = self._parts.nodes, {refusal.place for refusal in found}
        words = {(nodes[refusal.place].op_type, _VARIABLE.sub("", refusal.reason)) for refusal in found}
        kinds = {operator for operator, _ in words}
        others = [place for place in left if place not in places and nodes[place].op_type in kinds]
        return [
            refusal
            for refusal in self._alone(others, left)
            if (nodes[refusal.place].op_type, _VARIABLE.sub("", refusal.reason)) in words
        ]

    def _first(self, left: Sequence[int]) -> list[Refusal]:
        """The layer at which prefixes begin to be refused; ``left`` as a whole is."""
        taken, refused, reason = 0, len(left), ""
        while refused - taken > 1:
            width = refused - taken
            cuts = {taken + width * step // (SIDE_BY_SIDE + 1) for step in range(1, SIDE_BY_SIDE + 1)}
            steps = sorted(cuts - {taken}) or [taken + 1]
            verdicts = self._try([left[:step] for step in steps])
            for step, said in zip(steps, verdicts, strict=True):
                if said is not None:
                    refused, reason = step, said
                    break
                taken = step
        place = left[refused - 1]
        if alone := self._alone([place], left):
            return alone + self._of_a_kind(alone, left)
        return [Refusal(place, reason or self._try([left[:refused]])[0] or "it gave no reason", alone=False)]

    def _acquit(self) -> None:
        """Let go of layers that are taken alone, where without those that are not all is taken: cuts made them fail."""
        for place in [place for place, refusal in self._refused.items() if not refusal.alone]:
            refusal = self._refused.pop(place)
            if self._try([self._left()])[0] is not None:
                self._refused[place] = refusal
