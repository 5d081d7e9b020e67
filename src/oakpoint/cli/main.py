"""The program ``oakpoint``."""

from __future__ import annotations

import io
import signal
import sys
from typing import Annotated, Any

import typer

from oakpoint import __version__
from oakpoint.cli.commands import LazyGroup
from oakpoint.cli.console import out, print_error
from oakpoint.cli.ending import exit_code_of, heard, listen, words_for
from oakpoint.cli.verbosity import Verbose, show_all, show_warnings
from oakpoint.errors import OakpointError

EXIT_ERROR, EXIT_USAGE = 1, 2
EXIT_INTERRUPTED = exit_code_of(signal.SIGINT)

# What typer's parser refuses. Recent versions of typer have their own copy of click, older ones click's own class.
_ParserError: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError")

app = typer.Typer(
    name="oakpoint",
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Networks from PyTorch or ONNX to the Myriad X in an OAK camera, verified at every step.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        out.print(f"oakpoint {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    context: typer.Context,
    verbose: Verbose = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    show_warnings(context)
    if verbose:
        show_all()


def main() -> None:
    """Run the command line; a user's mistake ends in one line, never in a traceback.

    Exit codes: 1 for what cannot be done, 2 for what the command line does not know, 130 after Ctrl-C, 143 after
    SIGTERM, 129 after SIGHUP.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may hold what no encoding has
    listen()
    try:
        code = _run()
    except OSError:
        if heard() is not signal.SIGHUP:
            raise
        code = exit_code_of(signal.SIGHUP)  # the terminal is gone, and nobody is there to be told
    sys.exit(code)


def _run() -> int | None:
    """Run the command line, say what went wrong, and give the exit code, None for 0."""
    try:
        code: int | None = app(prog_name="oakpoint", standalone_mode=False)
    except OakpointError as error:
        print_error(str(error))
        return EXIT_ERROR
    except _ParserError as error:
        _print_parser_error(error)
        return EXIT_USAGE
    if code == EXIT_INTERRUPTED:  # typer has turned any interrupt into this, without a word
        ended_by = heard() or signal.SIGINT
        print_error("interrupted" if ended_by is signal.SIGINT else f"interrupted by {words_for(ended_by)}")
        return exit_code_of(ended_by)
    return code


def _print_parser_error(error: Any) -> None:
    """A parser's refusal in one line that says where help is; help itself where nothing was asked for."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return
    command = error.ctx.command_path if error.ctx is not None else "oakpoint"
    print_error(f"{' '.join(error.format_message().split()).rstrip('.')}; see: {command} --help")
