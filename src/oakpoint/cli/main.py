"""The program ``oakpoint``."""

from __future__ import annotations

import logging
import signal
import sys
from typing import Annotated

import typer

from oakpoint import __version__
from oakpoint.cli.console import out, print_error
from oakpoint.errors import OakpointError

EXIT_ERROR, EXIT_INTERRUPTED, EXIT_TERMINATED = 1, 130, 143

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
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what is done.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )


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
    """Run the command line; a user's mistake ends in one line and exit code 1, never in a traceback."""
    # As after Ctrl-C, what is under way is tidied up before the process ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
    try:
        app(prog_name="oakpoint")
    except OakpointError as error:
        print_error(str(error))
        sys.exit(EXIT_ERROR)
    except SystemExit as end:
        if end.code == EXIT_INTERRUPTED:  # typer has turned Ctrl-C into this, without a word
            print_error("interrupted")
        raise
