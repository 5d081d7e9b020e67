"""``oakpoint convert``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.markup import escape
from rich.status import Status

from oakpoint.bundle.folder import Bundle
from oakpoint.bundle.manifest import PAGE_FILE, Manifest
from oakpoint.bundle.records import StageReport, Verdict
from oakpoint.chain.conversion import Conversion, Outcome, attempt
from oakpoint.chain.evidence import Evidence
from oakpoint.chain.making import Page
from oakpoint.chain.options import TARGETS, ConversionOptions, Target
from oakpoint.cli.console import (
    command_line,
    err,
    out,
    print_error,
    print_json,
    print_warning,
    step_line,
    verdict_text,
)
from oakpoint.cli.model_options import with_model_options
from oakpoint.cli.notices import warn_of_rtabmap, warn_of_weights
from oakpoint.cli.options import Images, Iou, Json, Labels, Threshold, Weights, parse_size
from oakpoint.convert.one_size import one_size_of
from oakpoint.models.base import ModelOptions
from oakpoint.myriad.compiler import DEFAULT_SHAVES
from oakpoint.report.pages.conversion import conversion_page
from oakpoint.tasks.labels import read_labels
from oakpoint.tasks.quantised import DEFAULT_BOUND
from oakpoint.tasks.registry import ALL_HEADS

RANDOM_SEED = 0
EXIT_FAILED, EXIT_NOTHING_COMPARED = 1, 2


class ProgressPrinter:
    """A spinner for the running step on a terminal, and one line for each finished one, there and elsewhere."""

    def __init__(self, *, to_stderr: bool) -> None:
        self._console = err if to_stderr else out
        self._status: Status | None = None

    def started(self, step: str) -> None:
        """Show the step as running, or what a running step has come to."""
        self.stop()
        if self._console.is_terminal:
            self._status = self._console.status(f"{step} …")
            self._status.start()

    def finished(self, step: str, seconds: float, note: str, report: StageReport | None) -> None:
        """Print what came of the step."""
        self.stop()
        self._console.print(step_line(step, seconds, verdict_text(report) if report else note))

    def stop(self) -> None:
        """Take the spinner away, at the end or after an error."""
        if self._status is not None:
            self._status.stop()
            self._status = None


@with_model_options
def convert_command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A .onnx file, package.module:Class, a bundle, or acorn, superpoint, edgepoint2, alike.",
            show_default=False,
        ),
    ],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder of the bundle.", show_default=False)],
    size: Annotated[
        str | None,
        typer.Option(
            help="WIDTHxHEIGHT in pixels, such as 320x200. Default: the model's own, if it has one.",
            show_default=False,
        ),
    ] = None,
    weights: Weights = None,
    to: Annotated[str, typer.Option(help=f"Last stage: {', '.join(TARGETS)}.")] = "archive",
    heads: Annotated[str, typer.Option(help=f"What the blob puts out: {', '.join(ALL_HEADS)}.")] = "dense",
    shaves: Annotated[int, typer.Option(help="SHAVE cores of the blob, 1 to 16; CMX slices follow.")] = DEFAULT_SHAVES,
    batch: Annotated[int, typer.Option(help="Batch of the IR; a blob has batch 1.")] = 1,
    images: Images = None,
    random: Annotated[
        bool, typer.Option("--random", help="Initialise the network at random instead of --weights (for a trial).")
    ] = False,
    split: Annotated[
        list[str] | None,
        typer.Option(
            metavar="auto|NODE",
            help="Leave the rest of the network to the host: auto, where the device takes no more; or behind NODE (a "
            "layer, an output or a torch module), as often as wanted.",
            show_default=False,
        ),
    ] = None,
    fused: Annotated[
        bool,
        typer.Option(
            "--fused",
            help="Also model.fused.onnx, of a network with keypoints: levels of an image in; keypoints, scores and "
            "descriptors out (docs/decoding.md).",
        ),
    ] = False,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8",
            help="Also an INT8 model, for Intel's CPUs with VNNI or AMX, GPUs and NPUs; the Myriad X computes in FP16 "
            "and gains nothing (needs the int8 extra).",
        ),
    ] = False,
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="Folder of images that calibrate INT8; every fourth judges it instead, unless --images does. Default: "
            "photographs that come with scikit-image.",
            show_default=False,
        ),
    ] = None,
    int8_loss: Annotated[
        float,
        typer.Option(
            help="What INT8 may lose of accuracy, as its task measures it (docs/int8.md): layers stay in float until "
            "it loses no more. A hundredth is the customary limit."
        ),
    ] = DEFAULT_BOUND,
    superblob: Annotated[
        bool, typer.Option("--superblob", help="Also compile for 1 to 16 shaves, into one file (needs the oak extra).")
    ] = False,
    keep_failed: Annotated[
        bool, typer.Option("--keep-failed", help="Write the bundle even when its verification fails.")
    ] = False,
    labels: Labels = None,
    threshold: Threshold = None,
    iou: Iou = None,
    as_json: Json = False,
    *,
    said: ModelOptions,
) -> None:
    """Convert a network: PyTorch → ONNX → OpenVINO IR → Myriad X blob → NN archive, each stage verified."""
    options = ConversionOptions(
        model=model,
        weights=weights,
        seed=RANDOM_SEED if random else None,
        size=parse_size(size),
        to=cast(Target, to),
        heads=heads,
        shaves=shaves,
        batch=batch,
        images=images,
        split=tuple(split or ()),
        fused=fused,
        int8=int8,
        calibration=calibration,
        int8_loss=int8_loss,
        superblob=superblob,
        keep_failed=keep_failed,
        said=said,
        parameters={
            "labels": read_labels(labels) if labels is not None else None,
            "threshold": threshold,
            "iou_threshold": iou,
        },
    )
    outcome = run_conversion(options, out_folder, to_stderr=as_json)
    if as_json:
        print_json(conversion_facts(outcome))
    elif outcome.conversion is not None:
        print_bundle(outcome.conversion)
    if outcome.failure is not None:
        print_error(f"{outcome.failure}{outcome.kept}")
        raise typer.Exit(EXIT_FAILED)
    _exit_by_verdicts(out_folder, outcome.reports)


def _exit_by_verdicts(folder: Path, reports: tuple[StageReport, ...]) -> None:
    for report in reports:
        if report.verdict is Verdict.FAIL:
            print_error(f"kept although it failed at {report.stage}: {report.summary}")
            raise typer.Exit(EXIT_FAILED)
    if not reports:
        print_error(
            f"nothing was compared: {folder} starts from this ONNX and ends with it; --to ir, blob or archive compares "
            "the next stage with it"
        )
        raise typer.Exit(EXIT_NOTHING_COMPARED)
    uncompared = [report for report in reports if report.verdict is Verdict.NOTHING_COMPARED]
    if uncompared:
        print_error(f"{uncompared[0].stage}: nothing was compared ({uncompared[0].summary})")
        raise typer.Exit(EXIT_NOTHING_COMPARED)


def page_of(bundle: Bundle, reports: Sequence[StageReport], evidence: Evidence) -> str:
    """The report of a conversion, with the command line that it is of."""
    return conversion_page(bundle, reports, evidence, command="oakpoint convert", line=command_line())


def run_conversion(options: ConversionOptions, folder: Path, *, to_stderr: bool, page: Page = page_of) -> Outcome:
    """Convert with progress on the console, and say once what is to be said of the weights and of the size."""
    printer = ProgressPrinter(to_stderr=to_stderr)
    try:
        outcome = attempt(options, folder, printer, page=page)
    finally:
        printer.stop()
    if outcome.conversion is not None:
        warn_of_weights(outcome.conversion.manifest.weights)
        warn_of_rtabmap(outcome.conversion.manifest)
        warn_of_one_size(outcome.conversion)
    return outcome


def warn_of_one_size(conversion: Conversion) -> None:
    """Say on standard error where a bundle holds for its own size alone."""
    if reason := _one_size(conversion):
        width, height = conversion.manifest.preprocess.size
        print_warning(f"the bundle holds for {width}x{height} alone; convert the network again for others ({reason})")


def _one_size(conversion: Conversion) -> str | None:
    return one_size_of(conversion.folder / conversion.manifest.artifact("onnx").main_file)


def print_bundle(conversion: Conversion) -> None:
    """List what the bundle holds."""
    for artifact in conversion.manifest.artifacts:
        for name in artifact.files:
            path = conversion.folder / name
            out.print(f"  {path}  {path.stat().st_size / 1e6:.2f} MB")
    page = conversion.folder / PAGE_FILE
    out.print(f"  {page}  {page.stat().st_size / 1e6:.2f} MB, to be read in a browser")
    for kind, reason in () if conversion.manifest.failure else conversion.manifest.not_made.items():
        print_warning(f"{kind} not made: {reason}")
    print_split(conversion.manifest)
    print_int8(conversion.manifest)
    for report in conversion.reports:
        if report.claim:
            out.print(f"[dim]{report.stage}: {report.claim}[/]")
    runs = conversion.manifest.interface.size is not None
    following = f"oakpoint run {conversion.folder} VIDEO --save seen.gif" if runs else "feed it from a program of yours"
    out.print(f"bundle in [bold]{conversion.folder}[/]; next: {following}")


def print_split(manifest: Manifest) -> None:
    """Say what a network that was cut costs for each frame, and what leaves it to the host."""
    split = manifest.split
    if split is None:
        return
    out.print(f"in two: {split.price()}")
    for name, why in split.refused.items():
        out.print(f"  [dim]on the host from {escape(name)}: {escape(why)}[/]")
    for note in split.notes:
        print_warning(note)


def print_int8(manifest: Manifest) -> None:
    """Say which layers of an INT8 model stayed in float, and why."""
    record = manifest.int8
    if record is None or not record.in_float:
        return
    out.print(f"int8: {record.summary()}: with none in float, {record.figure} {record.first_loss:.4f}")
    for name, lost in record.in_float.items():
        out.print(f"  [dim]in float: {escape(name)} ({record.figure} with it alone in float: {lost:.4f})[/]")


def conversion_facts(outcome: Outcome) -> dict[str, object]:
    """The outcome for machines; without a bundle, the figures alone."""
    conversion = outcome.conversion
    facts: dict[str, object] = {"bundle": None}
    if conversion is not None:
        facts = {
            "bundle": str(conversion.folder),
            "weights": dataclasses.asdict(conversion.manifest.weights),
            "artifacts": {artifact.kind: artifact.files for artifact in conversion.manifest.artifacts},
            "not_made": conversion.manifest.not_made,
            "one_size": _one_size(conversion),
            "split": None if conversion.manifest.split is None else dataclasses.asdict(conversion.manifest.split),
            "int8": None if conversion.manifest.int8 is None else dataclasses.asdict(conversion.manifest.int8),
        }
    error = None if outcome.failure is None else f"{outcome.failure}{outcome.kept}"
    return {**facts, "error": error, "stages": [report.facts() for report in outcome.reports]}
