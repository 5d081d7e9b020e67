"""What a network returns, as named tensors: tuples, lists, dicts, dataclasses, and these within each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass

import torch

from oakpoint.networks.output_names import NOT_IN_NAMES, OPTION

Named = dict[str, torch.Tensor]

WHOLE = "output"
"""Name of a tensor that is returned alone, and what the names of a sequence's parts begin with: ``output_0`` …"""


_MAX_DEPTH = 16
"""Of structures within each other; one that holds itself has no end."""


class OutputsError(ValueError):
    """What a network returned holds something that is no tensor and no structure of tensors. For callers to name."""


def named_outputs(returned: object) -> Named:
    """All tensors in what a network returned, by names that hang on its structure alone.

    A tensor by itself is ``output``. The parts of a tuple or list are ``output_0``, ``output_1`` …, those of a dict,
    named tuple or dataclass have its keys or fields; within each other they are joined by underscores
    (``levels_0``). Names hold letters, digits and underscores alone, as ONNX asks. None, numbers and texts are left
    out, and keep their place in the count.

    Raises:
        OutputsError: an object of another kind, or no tensor at all.
    """
    found: Named = {}
    for path, tensor in _leaves(returned, (), ()):
        name = _name(path)
        number = 2
        while name in found:  # {"a": [x], "a_0": y}
            name = f"{_name(path)}_{number}"
            number += 1
        found[name] = tensor
    if not found:
        raise OutputsError(f"returned no tensors, but {_kind(returned)}")
    return found


def gives_own_names(returned: object) -> bool:
    """Whether what a network returned names its tensors: a dict or dataclass, no tensor and no sequence."""
    return not isinstance(returned, (torch.Tensor, tuple, list))


def _leaves(
    value: object, path: tuple[str, ...], within: tuple[int, ...]
) -> Iterator[tuple[tuple[str, ...], torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        yield path, value
        return
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        return
    if id(value) in within or len(within) >= _MAX_DEPTH:
        raise OutputsError(f"returned {_kind(value)} within itself, or too deep")
    for name, part in _parts(value, top=not path):
        yield from _leaves(part, (*path, name), (*within, id(value)))


def _parts(value: object, *, top: bool) -> list[tuple[str, object]]:
    if isinstance(value, Mapping):  # also Transformers' outputs, which are dataclasses as well
        return [(str(key), part) for key, part in value.items()]
    if isinstance(value, (tuple, list)):
        names = getattr(value, "_fields", None)  # of a named tuple
        if names is None:
            names = [f"{WHOLE}_{index}" if top else str(index) for index in range(len(value))]
        return list(zip(names, value, strict=True))
    if is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in fields(value)]
    raise OutputsError(f"returned {_kind(value)}; expected tensors, alone or in a tuple, list, dict or dataclass")


def _kind(value: object) -> str:
    return "nothing" if value is None else f"an object of type {type(value).__name__}"


def _name(path: tuple[str, ...]) -> str:
    name = "_".join(NOT_IN_NAMES.sub("_", part) for part in path) or WHOLE
    return name if name[0].isalpha() or name[0] == "_" else f"{WHOLE}_{name}"


def described(named: Named) -> str:
    """Names and shapes in one line, for messages."""
    return ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in named.items())


def chosen_outputs(returned: object, wanted: Sequence[str] | Mapping[str, str] | None) -> Named:
    """The outputs that are wanted, under the names and in the order in which they are.

    Args:
        returned: what the network returned.
        wanted: None for all under the names of ``named_outputs``. A mapping, wanted name → the network's name, as
            ``output_names.parse_outputs`` gives it. Names alone are looked for among the network's; a network without
            names of its own (a tensor, tuple or list) has to return just as many, in this order.

    Raises:
        OutputsError: see ``named_outputs``; or outputs are wanted that are not there. The message lists those that are.
    """
    named = named_outputs(returned)
    if wanted is None:
        return named
    if isinstance(wanted, Mapping):
        if missing := [own for own in wanted.values() if own not in named]:
            raise OutputsError(f"returned no {' and no '.join(missing)}; it gives {described(named)}")
        return {name: named[own] for name, own in wanted.items()}
    if all(name in named for name in wanted):
        return {name: named[name] for name in wanted}
    if not gives_own_names(returned) and len(named) == len(wanted):
        return dict(zip(wanted, named.values(), strict=True))
    hint = " ".join(f"{OPTION} {name}=NAME" for name in wanted)
    raise OutputsError(
        f"gives other outputs than the {len(wanted)} expected ({', '.join(wanted)}), namely {described(named)}; choose "
        f"with {hint}"
    )
