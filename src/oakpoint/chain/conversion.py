"""From a network to a verified bundle."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, replace
from pathlib import Path

from oakpoint.bundle.folder import check_replaceable, writing_bundle
from oakpoint.bundle.interface import OPEN_BATCH
from oakpoint.bundle.manifest import Manifest
from oakpoint.bundle.records import StageReport, Verdict
from oakpoint.chain.evidence import Evidence
from oakpoint.chain.int8_images import int8_images
from oakpoint.chain.kept import left_out, may_replace, something_verified
from oakpoint.chain.listener import Listener
from oakpoint.chain.make_fused import require_fusible
from oakpoint.chain.make_split import check_split_names, way_out
from oakpoint.chain.making import ONNX_FILE, Making, Page
from oakpoint.chain.options import ConversionOptions
from oakpoint.chain.steps import STEPS, Step, made_with
from oakpoint.chain.verification import StageVerifier
from oakpoint.convert.device_graph import device_graph, device_inputs
from oakpoint.errors import (
    ImageError,
    OakpointError,
    UnsupportedNetworkError,
    UsageError,
    VerificationError,
    naming,
)
from oakpoint.images.reading import no_image_in
from oakpoint.models.naming import model_of
from oakpoint.myriad.superblob import require_bsdiff4
from oakpoint.myriad.toolchain import ensure_toolchain, supported_platform
from oakpoint.runtimes import import_nncf
from oakpoint.verify.photographs import load_photographs
from oakpoint.verify.tolerances import ONNX_STAGE


@dataclass(frozen=True, slots=True)
class Conversion:
    """What came of a conversion.

    Attributes:
        folder: the bundle.
        manifest: its manifest.
        reports: the verdict on each stage, with figures.
    """

    folder: Path
    manifest: Manifest
    reports: tuple[StageReport, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of the attempt at a conversion.

    Attributes:
        conversion: the bundle that was written, of what was verified where not all was; None where none was.
        reports: the verdict on each stage that was judged, with figures.
        failure: why the conversion failed; None where it did not.
        kept: what was kept of it and where, or what gets it: the end of a sentence that begins with the failure.
    """

    conversion: Conversion | None
    reports: tuple[StageReport, ...]
    failure: OakpointError | None = None
    kept: str = ""


def convert(options: ConversionOptions, out: Path, listener: Listener) -> Conversion:
    """Convert a network, verify every stage, and put the bundle in its place with one rename.

    Everything that can be wrong with the request is found before the first stage. A conversion that fails at a later
    stage keeps what was verified before: see ``attempt``.

    Args:
        options: what to convert.
        out: the bundle's folder; a bundle that stands there is replaced.
        listener: told of each step.

    Raises:
        VerificationError: a stage failed its verification; the listener had the figures.
        OakpointError: what was asked for cannot be meant, read, compiled or written.
    """
    outcome = attempt(options, out, listener)
    if outcome.failure is not None:
        outcome.failure.args = (f"{outcome.failure}{outcome.kept}",)
        raise outcome.failure
    assert outcome.conversion is not None
    return outcome.conversion


def attempt(options: ConversionOptions, out: Path, listener: Listener, *, page: Page | None = None) -> Outcome:
    """``convert``, for callers who want the figures of a conversion that failed as well.

    Where a stage fails its verification or cannot be made, a bundle is written all the same if anything in it was
    verified: without what failed, what was made from that, and what could not be made; its manifest says what is
    missing and why. With ``options.keep_failed`` what failed its verification is in it too, and that is no failure.

    Nothing is lost by it: a bundle that stands at ``out`` stays, unless it was left by a failed conversion itself and
    has no more in it (``kept.may_replace``), or ``options.keep_failed`` is given. After Ctrl-C, and after errors that
    are no ``OakpointError``, nothing is written.

    Args:
        options: what to convert.
        out: the bundle's folder.
        listener: told of each step.
        page: makes the bundle's report for people; None for none.

    Raises:
        OakpointError: what was asked for cannot be meant or read, or the place cannot be written.
    """
    check_replaceable(out)
    described = model_of(options.model, replace(options.said, weights=options.weights, seed=options.seed))
    making = Making(options, described.origin(options.size), listener, page=page)
    _check_batch(making)
    making.task.device_rewrites(making.device, making.interface)  # says now which heads it does not have
    _prepare(making)
    outcome: Outcome | None = None
    with contextlib.suppress(_NotWrittenError), writing_bundle(out) as folder:
        making.folder = folder
        outcome = _settled(making, _made(making), out)
        if outcome.conversion is None:
            raise _NotWrittenError
    assert outcome is not None
    return outcome


class _NotWrittenError(Exception):
    """Leaves the place of the bundle as it was."""


def _check_batch(making: Making) -> None:
    """Refuse a network that is fixed to another batch than the target's."""
    options, batch = making.options, making.interface.batch
    if batch in (OPEN_BATCH, 1) and (batch == OPEN_BATCH or options.batch == 1 or not options.reaches("ir")):
        return
    if batch != 1 and options.reaches("blob"):
        raise UsageError(
            f"{options.model}: its batch is fixed to {batch}, and a Myriad X blob has batch 1; export it with batch 1 "
            f"or an open batch, or stop before the blob (--to ir --batch {batch})"
        )
    if batch != 1 and options.reaches("onnx-archive"):
        raise UsageError(
            f"{options.model}: its batch is fixed to {batch}, and an NN archive takes images one by one; export it "
            "with batch 1 or an open batch, or stop before the archive (--to onnx)"
        )
    if batch != options.batch and options.reaches("ir"):
        raise UsageError(
            f"{options.model}: its batch is fixed to {batch}, and {options.batch} was asked for; give --batch {batch}, "
            "or export it with an open batch"
        )


def _prepare(making: Making) -> None:
    """Get what later steps need, so that its absence shows before the work."""
    options = making.options
    if options.superblob:
        require_bsdiff4()
    if options.fused:
        require_fusible(making.task, making.interface, options.model)
    if options.int8:
        _prepare_int8(making)
    images = load_photographs(options.images)
    if not images:
        raise ImageError(f"{no_image_in(options.images or Path())}, or leave out --images")
    evidence = None if making.page is None else Evidence()
    making.verifier = StageVerifier(images, making.interface, making.task, evidence)
    if not options.reaches("blob"):
        return
    if supported_platform():
        making.step("compiler", lambda: str(ensure_toolchain().name))
    else:
        reason = "the Myriad compiler is not available on this platform: it is a Linux x86-64 program"
        halves = ("device_part", "host_tail") if options.split else ()
        making.not_made = dict.fromkeys((*halves, "blob", "oak_json", "stage_map", "archive"), reason)


def _prepare_int8(making: Making) -> None:
    options, size = making.options, making.size
    if size is None:
        raise UsageError(f"int8: is calibrated on images, and {options.model} takes none; leave out --int8")
    import_nncf()
    making.int8_images = int8_images(options.calibration, options.images, size)


def _made(making: Making) -> tuple[str, OakpointError] | None:
    """Do every step that was asked for; the one that ended it and why, if it did not come to its end.

    A step whose verification fails does not end it.
    """
    for step in STEPS:
        if not step.wanted(making.options):
            continue
        if (reason := _why_skipped(step, making)) is not None:
            if step.makes:
                making.listener.finished(step.name, 0.0, f"not made: {reason}", None)
            continue
        try:
            with naming(f"{making.folder}/", ""):
                _do(step, making)
        except OakpointError as error:
            return step.name, error
        if "onnx" in step.makes:
            _look_ahead(making)
    return None


def _look_ahead(making: Making) -> None:
    """Say at once what the device does not take, before the work on other formats; the step itself raises it.

    Raises:
        UsageError, ConversionError: the network is to be cut where it cannot be.
    """
    if not making.options.reaches("blob") or "blob" in making.not_made:
        return
    if making.options.split:
        check_split_names(making)
        return
    start = time.perf_counter()
    try:
        device_graph(making.folder / ONNX_FILE, device_inputs(making.interface))
    except UnsupportedNetworkError as error:
        making.listener.finished("device graph", time.perf_counter() - start, f"cannot be made: {error}", None)


def _why_skipped(step: Step, making: Making) -> str | None:
    """Why a step cannot be done on this machine."""
    makes = step.makes or made_with(step, making.options).makes
    return next((making.not_made[kind] for kind in makes if kind in making.not_made), None)


def _do(step: Step, making: Making) -> None:
    making.step(step.name, lambda: step.make(making))
    judge = step.judge
    if judge is not None and not (step.stage == ONNX_STAGE and making.origin.network is None):
        making.judge(f"verify {step.name}", lambda: judge(making))


def _settled(making: Making, ended: tuple[str, OakpointError] | None, out: Path) -> Outcome:
    """Write the manifest of what is kept, and say what that is."""
    reports = tuple(making.reports)
    failed = next((report for report in reports if report.verdict is Verdict.FAIL), None)
    broken = ended[1] if ended is not None else None
    failure = broken
    if failure is None and failed is not None and not making.options.keep_failed:
        failure = VerificationError(f"verification failed at {failed.stage}: {failed.summary}")
    if failure is None:
        return Outcome(Conversion(out, making.write_manifest(), reports), reports)
    everything = making.options.keep_failed
    making.leave_out(
        left_out(() if everything else reports, making.options, None if ended is None else (ended[0], str(ended[1])))
    )
    out_of_it = way_out(making, broken)
    kept = ", ".join(artifact.kind for artifact in making.artifacts)
    if not (kept if everything else something_verified(making.artifacts, reports)):
        hint = "; no bundle was written (--keep-failed writes it for inspection)" if broken is None else ""
        return Outcome(None, reports, failure, hint + out_of_it)
    if not everything and not may_replace(out, making.artifacts):
        hint = f"; no bundle was written: {out} stays as it was; another --out gets what was verified ({kept})"
        return Outcome(None, reports, failure, hint + out_of_it)
    manifest = making.write_manifest(failure=str(failure))
    what = "what was made" if everything else "what was verified"
    hint = f"; kept in {out} {what}: {kept} (its manifest says what is missing and why)"
    return Outcome(Conversion(out, manifest, reports), reports, failure, hint + out_of_it)
