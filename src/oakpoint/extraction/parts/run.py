"""One run: what makes the features is noted, what is left is planned and handed to an engine, the end is looked at."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Protocol

from oakpoint.errors import ImageError, UsageError
from oakpoint.extraction.parts.claims import ClaimRegister
from oakpoint.extraction.parts.known import Known
from oakpoint.extraction.parts.listing import Listed, listed_images
from oakpoint.extraction.parts.manifest import PLAN, bind, remove_unfinished, whole_parts
from oakpoint.extraction.parts.merging import write_index
from oakpoint.extraction.parts.plan import Plan, planned_names, write_plan
from oakpoint.extraction.parts.portion import Job, PortionReport, PortionWorker
from oakpoint.extraction.parts.storage import is_url, shown_url
from oakpoint.files import holding_folder
from oakpoint.images.reading import IMAGE_SUFFIXES

SHARD_SIZE = 256
"""Images of a part: of 1000 keypoints with 64 values each, 70 MB."""


class Engine(Protocol):
    """Does portions, in whatever order and wherever."""

    def __call__(self, job: Job, plan: Plan) -> Iterator[PortionReport]:
        """What came of each portion of a plan, as they are done.

        Raises:
            OakpointError: from a worker, for which no other one would do better.
        """
        ...


@dataclass(slots=True)
class Summary:
    """What came of a run.

    Attributes:
        there: images that were there, their files unchanged.
        extracted: images whose features were computed.
        shared: images of a content whose features are there, or were computed for another image.
        keypoints: of the features that were computed.
        refused: names that another folder's images have.
        failed: why images have no features, by name.
        images: all names that have features now.
    """

    there: int = 0
    extracted: int = 0
    shared: int = 0
    keypoints: int = 0
    refused: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    images: int = 0

    def add(self, report: PortionReport) -> None:
        """Count what came of a portion."""
        self.extracted += report.extracted
        self.shared += report.shared
        self.keypoints += report.keypoints
        self.refused += report.refused
        self.failed |= report.failed


Progress = Callable[[int, int], None]
"""Hears how many images of how many have been looked at."""


def one_after_the_other(job: Job, plan: Plan) -> Iterator[PortionReport]:
    """The engine that is this process alone."""
    register = ClaimRegister(Known(job.output, whole_parts(job.output, job.form)))
    worker = PortionWorker(job, register)
    with contextlib.closing(worker):
        for number in range(plan.portions):
            yield worker(number)


def extract_into_parts(
    source: str,
    job: Job,
    engine: Engine,
    *,
    shard_size: int = SHARD_SIZE,
    progress: Progress = lambda _done, _of: None,
) -> Summary:
    """Extract what is not there yet.

    Args:
        source: see ``listing.listed_images``.
        job: with what, and where to; its run and source are settled here.
        engine: who does it.
        shard_size: images of a part, at most.
        progress: hears after each portion how many images are done.

    Raises:
        FeaturesError: the output holds something else, or features made otherwise.
        ImageError: no image, or the source cannot be listed.
        OutputError: the output cannot be written, or another run of this machine is at work there.
        OakpointError: from the engine.
    """
    require_shard_size(shard_size)
    output, (first, images) = job.output, _begun(source)
    holding = holding_folder(output.local) if output.local is not None else contextlib.nullcontext()
    with holding:
        bind(output, job.form, job.settings)
        parts = whole_parts(output, job.form)
        remove_unfinished(output, job.form, parts)
        output.remove(PLAN)
        known = Known(output, parts)
        plan = write_plan(chain([first], images), known, output, shard_size)
        job = replace(
            job, run=1 + max((part.run for part in parts), default=0), source=source if is_url(source) else ""
        )
        summary = Summary(there=plan.there, failed=plan.failures)
        looked_at = 0
        if plan.portions:
            del known  # the registers have their own
            with contextlib.closing(engine(job, plan)) as reports:  # type: ignore[type-var]
                for report in reports:
                    summary.add(report)
                    looked_at += report.images
                    progress(looked_at, plan.images)
        _conclude(job, plan, summary)
    return summary


def require_shard_size(shard_size: int) -> None:
    """Refuse parts that would hold nothing.

    Raises:
        UsageError: fewer than one image.
    """
    if shard_size < 1:
        raise UsageError(f"shard-size: expected 1 image or more, got {shard_size}")


def require_image(source: str) -> None:
    """Make sure that a source has an image, before a model is opened for it; no further one is looked for.

    Raises:
        ImageError, UsageError: see ``extract_into_parts``.
    """
    _begun(source)


def _begun(source: str) -> tuple[Listed, Iterator[Listed]]:
    """The first image, and the others."""
    images = listed_images(source)
    if (first := next(images, None)) is None:
        raise ImageError(f"{shown_url(source)}: no image; known are {' '.join(IMAGE_SUFFIXES)}")
    return first, images


def _conclude(job: Job, plan: Plan, summary: Summary) -> None:
    """Look at what is there now; an image may share the content of one that failed in another portion."""
    parts = whole_parts(job.output, job.form)
    known = Known(job.output, parts)
    summary.images = len(known)
    left_out = summary.failed.keys() | set(summary.refused)
    if summary.shared:
        for name in planned_names(job.output, plan.portions):
            standing = known.of(name, "")
            if name not in left_out and (standing is None or not standing.content):
                summary.failed[name] = f"{name}: has the content of another image that failed"
                summary.shared -= 1
    if job.form == "hdf5":  # a run that was killed may have left the parts without it
        summary.failed |= write_index(job.output, job.settings)
    job.output.remove(PLAN)
