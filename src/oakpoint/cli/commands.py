"""The commands by name. Only the module of the one that is called is imported; help needs none of them.

What top-level help says of a command stands here and, once more, as the first paragraph of its function's docstring;
``tests/unit/cli/test_commands.py`` holds one against the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from oakpoint.cli.verbosity import with_verbose


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """Where a command is, and what help says of it.

    Attributes:
        location: its function, as ``package.module:function``.
        summary: the first paragraph of the function's docstring.
    """

    location: str
    summary: str


COMMANDS = {
    "check": CommandEntry(
        "oakpoint.cli.check:check_command",
        "Tell of every layer whether a target takes it. Exit code 0: all are taken; 1: one is not; 2: not to be tried.",
    ),
    "debug": CommandEntry(
        "oakpoint.cli.debug:debug_command",
        "Find the first layer that computes something else, along the chain. Exit 1: one does; 2: nothing was "
        "compared.",
    ),
    "convert": CommandEntry(
        "oakpoint.cli.convert:convert_command",
        "Convert a network: PyTorch → ONNX → OpenVINO IR → Myriad X blob → NN archive, each stage verified.",
    ),
    "verify": CommandEntry(
        "oakpoint.cli.verify:verify_command",
        "Check every file of a bundle and compare its stages again. Exit 1: one fails; 2: nothing could be compared.",
    ),
    "run": CommandEntry(
        "oakpoint.cli.run:run_command",
        "Show what a network finds (keypoints, boxes, masks, classes): on images, a video, a webcam or an OAK camera.",
    ),
    "extract": CommandEntry(
        "oakpoint.cli.extract:extract_command",
        "Write keypoints with descriptors of many images to one file. Exit 1: some images were left out.",
    ),
    "match": CommandEntry(
        "oakpoint.cli.match:match_command",
        "Match two images, or one with each of a folder, and fit a homography or an epipolar geometry.",
    ),
    "eval": CommandEntry(
        "oakpoint.cli.eval:eval_command",
        "Compare keypoint networks on image pairs with known homographies: repeatability, homography, matching "
        "accuracy.",
    ),
    "inspect": CommandEntry(
        "oakpoint.cli.inspect:inspect_command",
        "Show what is inside a compiled blob: layers or stages, memory, traffic, estimated time.",
    ),
    "tune": CommandEntry(
        "oakpoint.cli.tune:tune_command",
        "Search size, threshold, budget, heads and more for the best accuracy at a speed; on your own images.",
    ),
    "distill": CommandEntry(
        "oakpoint.cli.training:distill_command",
        "Train a keypoint network on your own images, from what a teacher finds in them. Goes on where it was stopped.",
    ),
    "train": CommandEntry(
        "oakpoint.cli.training:train_command",
        "Train a keypoint network with no teacher, on drawn images whose corners are known. Goes on where it was "
        "stopped.",
    ),
    "bench": CommandEntry(
        "oakpoint.cli.bench:bench_command",
        "Measure runtimes and precisions side by side on this machine, or a camera.",
    ),
    "demo": CommandEntry(
        "oakpoint.cli.demo:demo_command",
        "The whole story: convert a network, verify every stage, track on a moving view, and write it all to a folder.",
    ),
    "doctor": CommandEntry(
        "oakpoint.cli.doctor:doctor_command",
        "Say what is installed and plugged in, and how to mend the rest. Exit 1: something needed is missing or wrong.",
    ),
}
"""In the order of top-level help."""


@cache
def loaded_command(name: str) -> Any:
    """A command with its options; its module is imported for it.

    Args:
        name: one of ``COMMANDS``.
    """
    module, _, function = COMMANDS[name].location.partition(":")
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.command(name)(with_verbose(getattr(import_module(module), function)))
    return typer.main.get_command(alone)


class LazyGroup(TyperGroup):
    """Knows names and summaries of all commands, and loads the one that is resolved."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands.update({name: TyperCommand(name, help=entry.summary) for name, entry in COMMANDS.items()})

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the arguments begin with, its name, and the other arguments; see click's ``Group``."""
        name, known, rest = super().resolve_command(ctx, args)
        return name, None if known is None or name is None else loaded_command(name), rest
