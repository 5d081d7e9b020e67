"""How a network is called: with tensors in the order of its ``forward``, by name, or within a dict."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from oakpoint.errors import first_line
from oakpoint.networks.outputs import chosen_outputs

_log = logging.getLogger(__name__)


class CallError(Exception):
    """A network that could not be called. For callers to name."""


@dataclass(frozen=True, slots=True)
class Call:
    """How tensors are handed to a network.

    Attributes:
        style: ``positional``: one after the other; ``keywords``: by name; ``dict``: within one dict.
        names: of the arguments or keys, in the order of the tensors.
    """

    style: Literal["positional", "keywords", "dict"]
    names: tuple[str, ...]

    def __call__(self, module: nn.Module, tensors: Sequence[torch.Tensor]) -> object:
        """What the network returns."""
        if self.style == "positional":
            return module(*tensors)
        named = dict(zip(self.names, tensors, strict=True))
        return module(named) if self.style == "dict" else module(**named)


def input_names(module: nn.Module) -> tuple[str, ...]:
    """Names of the tensors that a network takes, from the signature of its ``forward``: those without a default.

    Empty where the signature does not say them (``forward(self, *inputs)``).
    """
    parameters = _parameters(module)
    return tuple(p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD))


def call_for(module: nn.Module, names: Sequence[str]) -> Call:
    """How a network takes tensors of these names, as far as its signature tells.

    By name, where it has arguments of all these names and more than one is given; several for a single argument, in a
    dict; else one after the other.
    """
    own = [p.name for p in _parameters(module) if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    needed = input_names(module)
    variadic = any(p.kind is p.VAR_POSITIONAL for p in _parameters(module))
    if len(names) > 1 and len(needed) == 1 and not variadic and not set(names) <= set(own):
        return Call("dict", tuple(names))
    keyword_only = any(p.kind is p.KEYWORD_ONLY and p.name in names for p in _parameters(module))
    if set(names) <= set(own) and (len(names) > 1 or keyword_only):
        return Call("keywords", tuple(names))
    return Call("positional", tuple(names))


def tried_call(module: nn.Module, names: Sequence[str], tensors: Sequence[torch.Tensor]) -> tuple[Call, object]:
    """Call a network for the first time, and find out how it wants to be called.

    A network that fails with its one tensor is given a dict that holds it under whatever key is asked for: where it
    asks for a single one, and then runs, it takes a dict with that key.

    Returns:
        How it is called, and what it returned.

    Raises:
        CallError: it fails. The cause is its own error.
    """
    call = call_for(module, names)
    try:
        with _WithoutKeys():
            return call, call(module, tensors)
    except Exception as error:  # whatever the user's own code raises
        asked = _Asked(tensors[0])
        if len(tensors) == 1 and call.style == "positional":
            found = _within_dict(module, asked)
            if found is not None:
                key = asked.keys_asked[0]
                _log.info("%s: takes a dict; its input is given as %r", type(module).__name__, key)
                return Call("dict", (key,)), found[0]
        raise CallError(_reason(error, asked)) from error


class _WithoutKeys(TorchFunctionMode):
    """Lets a tensor that is taken for a dict say so; by itself it warns on standard error, and then speaks of ranks."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.__getitem__ and isinstance(args[1], str):
            raise TypeError(f"a tensor has no key {args[1]!r}")
        return func(*args, **(kwargs or {}))


class _Asked(dict[Any, Any]):
    """A dict that holds one tensor under every key that is asked for, and remembers the keys."""

    def __init__(self, tensor: torch.Tensor) -> None:
        super().__init__()
        self._tensor = tensor
        self.keys_asked: list[str] = []

    def __missing__(self, key: object) -> torch.Tensor:
        if isinstance(key, str) and key not in self.keys_asked:
            self.keys_asked.append(key)
        return self._tensor


def _within_dict(module: nn.Module, asked: _Asked) -> tuple[object] | None:
    try:
        returned = module(asked)
    except Exception:  # noqa: BLE001 - the first error counts
        return None
    return (returned,) if len(asked.keys_asked) == 1 else None


def _reason(error: Exception, asked: _Asked) -> str:
    reason = first_line(error)
    if not asked.keys_asked:
        return reason
    keys = ", ".join(map(repr, asked.keys_asked))
    return (
        f"{reason}; its forward takes a dict with {keys}: name a function that returns a module whose forward takes "
        "tensors and fills that dict"
    )


def _parameters(module: nn.Module) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):  # a forward that Python cannot look into
        return []


class PlainNetwork(nn.Module):
    """A network with tensors in and a tuple of tensors out, around one of any other kind; for exporters."""

    def __init__(self, network: nn.Module, call: Call, wanted: Sequence[str] | Mapping[str, str] | None) -> None:
        super().__init__()
        self.network = network
        self._call, self._wanted = call, wanted
        self.train(network.training)

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the outputs that are wanted, in their order."""
        return tuple(chosen_outputs(self._call(self.network, tensors), self._wanted).values())


def is_plain(call: Call, returned: object, outputs: Mapping[str, torch.Tensor]) -> bool:
    """Whether a network takes tensors one after the other and returns just these outputs, in this order.

    Exporters take such a network as it is.
    """
    parts = (returned,) if isinstance(returned, torch.Tensor) else returned
    return (
        call.style == "positional"
        and type(parts) in (tuple, list)
        and len(parts) == len(outputs)  # type: ignore[arg-type]
        and all(mine is theirs for mine, theirs in zip(parts, outputs.values(), strict=True))  # type: ignore[call-overload]
    )
