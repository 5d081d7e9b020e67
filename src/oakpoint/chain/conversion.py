"""From a network to a verified bundle."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from oakpoint.bundle.folder import check_replaceable, writing_bundle
from oakpoint.bundle.manifest import Manifest
from oakpoint.bundle.records import StageReport, Verdict
from oakpoint.chain.kept import left_out, may_replace, something_verified
from oakpoint.chain.listener import Listener
from oakpoint.chain.making import Making
from oakpoint.chain.options import ConversionOptions
from oakpoint.chain.origin import open_origin
from oakpoint.errors import OakpointError, VerificationError, naming


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


def attempt(options: ConversionOptions, out: Path, listener: Listener) -> Outcome:
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

    Raises:
        OakpointError: what was asked for cannot be meant or read, or the place cannot be written.
    """
    check_replaceable(out)
    making = Making(options, open_origin(options), listener)
    making.prepare()
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


def _made(making: Making) -> OakpointError | None:
    """Make every stage; what ended it, if it did not come to its end."""
    try:
        with naming(f"{making.folder}/", ""):
            making.make_all()
    except OakpointError as error:
        return error
    return None


def _settled(making: Making, broken: OakpointError | None, out: Path) -> Outcome:
    """Write the manifest of what is kept, and say what that is."""
    reports = tuple(making.reports)
    failed = next((report for report in reports if report.verdict is Verdict.FAIL), None)
    failure = broken
    if failure is None and failed is not None and not making.options.keep_failed:
        failure = VerificationError(f"verification failed at {failed.stage}: {failed.summary}")
    if failure is None:
        return Outcome(Conversion(out, making.write_manifest(), reports), reports)
    everything = making.options.keep_failed
    making.leave_out(
        left_out(() if everything else reports, making.options, None if broken is None else (making.stage, str(broken)))
    )
    kept = ", ".join(artifact.kind for artifact in making.artifacts)
    if not (kept if everything else something_verified(making.artifacts, reports)):
        hint = "; no bundle was written (--keep-failed writes it for inspection)" if broken is None else ""
        return Outcome(None, reports, failure, hint)
    if not everything and not may_replace(out, making.artifacts):
        hint = f"; no bundle was written: {out} stays as it was; another --out gets what was verified ({kept})"
        return Outcome(None, reports, failure, hint)
    manifest = making.write_manifest(failure=str(failure))
    what = "what was made" if everything else "what was verified"
    hint = f"; kept in {out} {what}: {kept} (its manifest says what is missing and why)"
    return Outcome(Conversion(out, manifest, reports), reports, failure, hint)
