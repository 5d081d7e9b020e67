"""A state dict's names made those of a network: prefixes and wrappers that trainers leave, and other layouts' names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import accumulate, takewhile

import torch
from torch import nn

State = dict[str, torch.Tensor]

WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""What ``DataParallel``, ``torch.compile`` and sharded training put into names, anywhere."""

USUAL_PREFIXES = WRAPPERS | {"model", "net", "network"}
"""Attributes under which classes around a network keep it."""

COUNTER = "num_batches_tracked"
"""A batch norm's count of batches: nothing hangs on it after training, and older files have none."""


def fitted(module: nn.Module, state: State) -> State | None:
    """A state dict under a network's own names, where it has the same tensors; None where it has not.

    Its names may have prefixes more than the network's, or fewer; wrappers' names within them (see ``WRAPPERS``); be
    those that the network's class lists in ``other_names`` (other name → own); and stand beside other tensors, as long
    as the network's have a prefix of their own. Where several such groups fit, the one under ``USUAL_PREFIXES`` is
    meant. Counters of batches may be missing.
    """
    own = module.state_dict()
    prefix = _common_prefix(own)
    other_names: dict[str, str] = getattr(module, "other_names", {})
    for named in (state, *_renamed(state)):
        for names in (named, _translated(named, other_names), {prefix + name: t for name, t in named.items()}):
            if (whole := _completed(names, own)) is not None:
                return whole
    groups = groups_that_fit(module, state)
    usual = [name for name in groups if USUAL_PREFIXES.issuperset(name.split(".")[:-1])]
    chosen = usual if len(groups) > 1 else list(groups)
    return groups[chosen[0]] if len(chosen) == 1 else None


def groups_that_fit(module: nn.Module, state: State) -> dict[str, State]:
    """The parts of a state dict that are a network's, each under a prefix of its own: prefix → state dict."""
    own = module.state_dict()
    other_names: dict[str, str] = getattr(module, "other_names", {})
    fewest = sum(not name.endswith(COUNTER) for name in own)
    found = {}
    for prefix, part in groups(state, fewest, len(own)):
        for names in (part, _translated(part, other_names)):
            if prefix not in found and (whole := _completed(names, own)) is not None:
                found[prefix] = whole
    return found


def groups(state: State, fewest: int = 1, most: int | None = None) -> Iterator[tuple[str, State]]:
    """The parts of a state dict under each prefix that its names have, as (prefix, tensors by what is behind it).

    Args:
        state: the state dict.
        fewest: smaller parts are passed over.
        most: larger parts are passed over.
    """
    counts = Counter(prefix for name in state for prefix in _prefixes(name))
    for prefix, count in counts.items():
        if fewest <= count <= (count if most is None else most):
            yield (
                prefix,
                {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)},
            )


def without_prefix(state: State) -> State:
    """The same tensors without the prefix that all their names have in common, up to a dot."""
    prefix = _common_prefix(state)
    return {name.removeprefix(prefix): tensor for name, tensor in state.items()}


def under_possible_names(state: State) -> Iterator[State]:
    """A state dict, and then under all names that its tensors may be meant to have; for what reads shapes from it."""
    yield state
    yield from _renamed(state)
    yield from (part for _, part in groups(state))


def _renamed(state: State) -> Iterator[State]:
    """The whole state dict under other names."""
    bare = without_prefix(state)
    yield bare
    unwrapped = {
        ".".join(part for part in name.split(".") if part not in WRAPPERS): tensor for name, tensor in state.items()
    }
    if len(unwrapped) == len(state) and "" not in unwrapped:
        yield unwrapped
        yield without_prefix(unwrapped)


def _translated(state: State, other_names: dict[str, str]) -> State:
    return {other_names.get(name, name): tensor for name, tensor in state.items()}


def _completed(named: State, own: State) -> State | None:
    """Tensors with the network's own counters where they lack them; None where anything else is missing or left."""
    missing = own.keys() - named.keys()
    if not named or named.keys() - own.keys() or any(not name.endswith(COUNTER) for name in missing):
        return None
    return {**named, **{name: own[name] for name in missing}}


def _common_prefix(names: Iterable[str]) -> str:
    parts = [name.split(".")[:-1] for name in names]
    common = [column[0] for column in takewhile(lambda column: len(set(column)) == 1, zip(*parts, strict=False))]
    return "".join(f"{part}." for part in common)


def _prefixes(name: str) -> Iterator[str]:
    """All beginnings of a name up to a dot."""
    return accumulate(f"{part}." for part in name.split(".")[:-1])
