"""``-v``, before the command's name and after it."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from typing import Annotated, Any, get_type_hints

import typer

Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log what is done.")]


def log_what_is_done(verbose: bool) -> None:
    """Log warnings, and with ``verbose`` every step as well, to standard error."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    if verbose:
        logging.getLogger().setLevel(logging.INFO)


def with_verbose(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same command with the option ``-v``, whose meaning is one for all of them."""

    @functools.wraps(command)
    def verbose_command(*, verbose: bool, **arguments: Any) -> Any:
        log_what_is_done(verbose)
        return command(**arguments)

    hints = get_type_hints(command, include_extras=True) | {"verbose": Verbose}
    option = inspect.Parameter("verbose", inspect.Parameter.KEYWORD_ONLY, default=False)
    parameters = [*inspect.signature(command).parameters.values(), option]
    verbose_command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [parameter.replace(annotation=hints[parameter.name]) for parameter in parameters]
    )
    verbose_command.__annotations__ = hints
    return verbose_command
