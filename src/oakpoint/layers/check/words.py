"""What a check comes to, in words for people."""

from __future__ import annotations

from typing import Final

from oakpoint.bundle.records import ms_text
from oakpoint.layers.check.verdicts import CheckReport, Kind, LayerVerdict

WORDS: Final[dict[Kind, str]] = {
    "refused": "not taken",
    "untried": "not tried",
    "caveat": "taken, with a caveat",
    "rewritten": "taken after a rewrite",
    "taken": "taken",
}
"""The verdicts, worst first."""


def reasons(verdict: LayerVerdict) -> list[str]:
    """Why a layer has its verdict, and what to do, in lines."""
    found = [verdict.problem] if verdict.problem else []
    found += [f"→ {remedy}" for remedy in verdict.remedies]
    found += verdict.caveats
    return found + ([f"rewrites: {', '.join(verdict.rewrites)}"] if verdict.rewrites else [])


def cut_words(report: CheckReport) -> str:
    """What a cut before all that is not taken costs; empty where there is none."""
    if report.cut_bytes is None:
        return ""
    host = "" if report.host_ms is None else f", {ms_text(report.host_ms)} on the host for the rest (measured here)"
    return (
        f"cut before all that is not taken: {report.cut_bytes:,} bytes a frame over USB{host}; "
        "oakpoint convert --split auto does it, where that is cheapest"
    )


def numbers_words(report: CheckReport) -> str:
    """What was measured on the images, in a line; empty where nothing was."""
    if not report.images:
        return ""
    measured = [verdict.numbers for verdict in report.layers if verdict.numbers]
    largest = f"the largest magnitude is {max((numbers.largest for numbers in measured), default=0.0):.4g}"
    if report.target != "myriad":  # these compute in float32
        wrong = sum(numbers.not_finite > 0 for numbers in measured)
        said = f"{wrong} layers give numbers that are not finite" if wrong else "all numbers are finite"
        return f"{said} on {report.images} images: {largest}"
    if (first := report.first_infinity) is not None:
        where = f"{first.layer.shown} ({first.layer.operator})"
        return f"FP16 overflows first in {where}, which reaches {first.largest:.4g} on {report.images} images"
    return f"no overflow of FP16 on {report.images} images: {largest}"
