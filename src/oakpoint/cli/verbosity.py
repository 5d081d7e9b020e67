"""What of the log is shown: warnings, few of each kind; with ``-v`` (before or after the command) all of it."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from typing import Annotated, Any, get_type_hints

import typer

from oakpoint.cli.repeats import FewOfAKind

Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log what is done.")]


def show_warnings(context: typer.Context) -> None:
    """Show warnings on standard error, the first few of each kind, and at the end how many more there were."""
    handler, few = logging.StreamHandler(), FewOfAKind()
    handler.addFilter(few)
    handler.setFormatter(_OursAsNotes("%(levelname)s %(name)s: %(message)s"))
    context.call_on_close(few.tell)
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


class _OursAsNotes(logging.Formatter):
    """Writes a warning of this program's own as it writes its other notes; of another library it says which one."""

    def format(self, record: logging.LogRecord) -> str:
        own = record.name.partition(".")[0] == __package__.partition(".")[0]
        if own and record.levelno == logging.WARNING:
            return f"note: {record.getMessage()}"
        return super().format(record)


def show_all() -> None:
    """Show every step, and every warning of a kind."""
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    for handler in root.handlers:
        for few in [found for found in handler.filters if isinstance(found, FewOfAKind)]:
            handler.removeFilter(few)


def with_verbose(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same command with the option ``-v``, whose meaning is one for all of them."""

    @functools.wraps(command)
    def verbose_command(*, verbose: bool, **arguments: Any) -> Any:
        if verbose:
            show_all()
        return command(**arguments)

    hints = get_type_hints(command, include_extras=True) | {"verbose": Verbose}
    option = inspect.Parameter("verbose", inspect.Parameter.KEYWORD_ONLY, default=False)
    parameters = [*inspect.signature(command).parameters.values(), option]
    verbose_command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [parameter.replace(annotation=hints[parameter.name]) for parameter in parameters]
    )
    verbose_command.__annotations__ = hints
    return verbose_command
