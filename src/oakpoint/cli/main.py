"""The program ``oakpoint``."""

from __future__ import annotations

import logging
import signal
import sys
from typing import Annotated, Any

import typer

from oakpoint import __version__
from oakpoint.cli.console import out, print_error
from oakpoint.cli.repeats import FewOfAKind
from oakpoint.errors import OakpointError

EXIT_ERROR, EXIT_USAGE, EXIT_INTERRUPTED, EXIT_TERMINATED = 1, 2, 130, 143

# What typer's parser refuses. Recent versions of typer have their own copy of click, older ones click's own class.
_ParserError: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError")

app = typer.Typer(
    name="oakpoint",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Keypoint networks from PyTorch to the Myriad X in an OAK camera, verified at every step.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        out.print(f"oakpoint {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    context: typer.Context,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what is done.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    handler = logging.StreamHandler()
    if not verbose:
        few = FewOfAKind()
        handler.addFilter(few)
        context.call_on_close(few.tell)
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s", handlers=[handler])


def _register() -> None:
    from oakpoint.cli.bench import bench_command
    from oakpoint.cli.convert import convert_command
    from oakpoint.cli.demo import demo_command
    from oakpoint.cli.doctor import doctor_command
    from oakpoint.cli.eval import eval_command
    from oakpoint.cli.extract import extract_command
    from oakpoint.cli.inspect import inspect_command
    from oakpoint.cli.run import run_command
    from oakpoint.cli.training import distill_command, train_command
    from oakpoint.cli.verify import verify_command

    app.command("convert")(convert_command)
    app.command("verify")(verify_command)
    app.command("run")(run_command)
    app.command("extract")(extract_command)
    app.command("eval")(eval_command)
    app.command("inspect")(inspect_command)
    app.command("distill")(distill_command)
    app.command("train")(train_command)
    app.command("bench")(bench_command)
    app.command("demo")(demo_command)
    app.command("doctor")(doctor_command)


_register()


def main() -> None:
    """Run the command line; a user's mistake ends in one line, never in a traceback.

    Exit codes: 1 for what cannot be done, 2 for what the command line does not know, 130 after Ctrl-C.
    """
    # As after Ctrl-C, what is under way is tidied up before the process ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
    try:
        code = app(prog_name="oakpoint", standalone_mode=False)
    except OakpointError as error:
        print_error(str(error))
        sys.exit(EXIT_ERROR)
    except _ParserError as error:
        _print_parser_error(error)
        sys.exit(EXIT_USAGE)
    if code == EXIT_INTERRUPTED:  # typer has turned Ctrl-C into this, without a word
        print_error("interrupted")
    sys.exit(code)


def _print_parser_error(error: Any) -> None:
    """A parser's refusal in one line that says where help is; help itself where nothing was asked for."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return
    command = error.ctx.command_path if error.ctx is not None else "oakpoint"
    print_error(f"{' '.join(error.format_message().split()).rstrip('.')}; see: {command} --help")
