"""Arguments of a network's class or factory: read from text (``--arg dim=128``), and held against its signature."""

from __future__ import annotations

import ast
import difflib
import inspect
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from oakpoint.errors import UsageError

OPTION = "--arg"

_WORDS = {"true": True, "false": False, "none": None}
"""What people write for Python's words; those themselves are read as well."""

_LITERAL = re.compile(r"""[\[\](){}'"]""")
"""What shows that a Python literal was meant, and no plain word."""


def parse_arguments(texts: Iterable[str]) -> dict[str, object]:
    """Read arguments as people write them: ``dim=128``, ``norm=true``, ``layers=[1,2]``, ``act=relu``.

    A value is a Python literal, one of true, false and none, or else a plain word. Nothing is evaluated but literals.

    Args:
        texts: one ``name=value`` each.

    Raises:
        UsageError: no ``name=value``, a name twice, or a literal with a mistake in it.
    """
    found: dict[str, object] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name.isidentifier():
            raise UsageError(f"{OPTION} {text}: expected name=value, such as dim=128")
        if name in found:
            raise UsageError(f"{OPTION} {text}: {name} is given twice")
        found[name] = _value(text, value)
    return found


def _value(text: str, value: str) -> object:
    if value.lower() in _WORDS:
        return _WORDS[value.lower()]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes: the value shows what was read
            return ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        if not value:
            raise UsageError(f"{OPTION} {text}: expected a value; an empty text is {text}''") from error
        if _LITERAL.search(value):
            raise UsageError(
                f"{OPTION} {text}: not a Python literal; texts within one need quotes: ['relu', 'gelu']"
            ) from error
        return value


def arguments_text(arguments: Mapping[str, object]) -> str:
    """Arguments in one line, as they are given on the command line; empty for none."""
    return " ".join(f"{name}={value!r}" for name, value in arguments.items())


def bound(name: str, kind: Callable[..., object], arguments: Mapping[str, object]) -> tuple[list[Any], dict[str, Any]]:
    """Arguments as a class or function takes them: those that it has by position alone, and the others.

    Args:
        name: of the network, for messages.
        kind: the class or function; one whose signature Python cannot tell takes all by name.
        arguments: by name.

    Raises:
        UsageError: it has no argument of such a name, or needs one that is not among them.
    """
    try:
        signature = inspect.signature(kind)
    except (TypeError, ValueError):
        return [], dict(arguments)
    parameters = [p for p in signature.parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    known = [parameter.name for parameter in parameters]
    for given in arguments:
        if given not in known and not takes_any:
            raise UsageError(f"{name}: takes no argument {given!r}{_nearest(given, known)}")
    missing = [p.name for p in parameters if p.default is p.empty and p.name not in arguments]
    if missing:
        plural = "s" if len(missing) > 1 else ""
        hint = " ".join(f"{OPTION} {one}=…" for one in missing)
        raise UsageError(f"{name}: needs the argument{plural} {', '.join(missing)}; give {hint}")
    positional = [
        arguments.get(p.name, p.default) for p in parameters if p.kind is p.POSITIONAL_ONLY
    ]  # by position there is no leaving out
    return positional, {n: v for n, v in arguments.items() if n not in known[: len(positional)]}


def _nearest(given: str, known: list[str]) -> str:
    if not known:
        return "; it takes none"
    near = difflib.get_close_matches(given, known, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; it takes {', '.join(known)}"
