"""A bundle's chain walked layer by layer: the first layer that computes something else, in which arrow, and why."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.bundle.folder import Bundle, open_bundle
from oakpoint.errors import BackendError, ConversionError, ImageError, MissingExtraError, UsageError
from oakpoint.images.reading import no_image_in, read_image
from oakpoint.layers.debug.arrows import Arrow, Images, Progress, walk
from oakpoint.layers.debug.bundle_arrows import ARROWS
from oakpoint.layers.debug.causes import Alternative, cause_of
from oakpoint.layers.debug.constants import altered_constants
from oakpoint.layers.debug.errors import LayerError, channels_first
from oakpoint.layers.debug.forms import BundleForms, NotComparedError
from oakpoint.layers.debug.image_faults import faulty_feeds
from oakpoint.layers.debug.layer_faults import faulty_layers
from oakpoint.layers.debug.looking import DamagedError
from oakpoint.layers.debug.regions import region_of
from oakpoint.layers.debug.report import ArrowReport, DebugReport
from oakpoint.verify.photographs import load_photographs
from oakpoint.verify.rounding import STANDS_OUT
from oakpoint.verify.tensors import LIMITS
from oakpoint.verify.tolerances import ONNX_STAGE

PHOTOGRAPHS: Final = 2
"""So many photographs are looked at where no image is named."""

_NEAR: Final = 3
"""So many layers at most lie between an image and one that shows what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DebugOptions:
    """What to look at.

    Attributes:
        bundle: folder of the bundle.
        stages: names of the arrows; empty for all that the bundle has.
        images: image files, or folders of them; empty for photographs.
        weights: the torch network's, where the bundle does not bring them.
    """

    bundle: Path
    stages: Sequence[str] = ()
    images: Sequence[Path] = ()
    weights: Path | None = None


def debug_bundle(options: DebugOptions, progress: Progress) -> DebugReport:
    """Walk the arrows of a bundle.

    Args:
        options: what to look at.
        progress: told what is being done, in a few words.

    Raises:
        OakpointError: the bundle or an image cannot be read, or the bundle has not what is asked for.
    """
    bundle = open_bundle(options.bundle)
    asked = [name for name in ARROWS if not options.stages or name in options.stages]
    images = _images(options.images)
    forms = BundleForms(bundle, options.weights)
    arrows = []
    for stage in asked:
        if not ARROWS[stage].is_in(bundle):
            if options.stages:
                raise UsageError(
                    f"--stage: {bundle.folder} has no {ARROWS[stage].shown}; convert further (--to), or leave it out"
                )
            continue
        progress(f"{stage}: opening both")
        arrows.append(_walked(stage, forms, bundle, images, progress))
    return DebugReport(
        bundle=str(bundle.folder),
        network=bundle.manifest.network,
        images=tuple(images),
        arrows=tuple(arrows),
        notes=tuple(forms.notes),
    )


def _images(paths: Sequence[Path]) -> Images:
    if not paths:
        photographs = load_photographs(None)
        return dict(list(photographs.items())[:PHOTOGRAPHS])
    images: dict[str, NDArray[np.uint8]] = {}
    for path in paths:
        if path.is_dir():
            found = load_photographs(path)
            if not found:
                raise ImageError(no_image_in(path))
            images |= found
        else:
            images[path.name] = read_image(path)
    return images


def _walked(stage: str, forms: BundleForms, bundle: Bundle, images: Images, progress: Progress) -> ArrowReport:
    try:
        parts = ARROWS[stage].make(forms, bundle)
        errors = [error for arrow in parts for error in walk(arrow, images, progress)]
    except DamagedError as error:
        return ArrowReport(stage=stage, damaged=str(error))
    except (NotComparedError, BackendError, ConversionError, MissingExtraError) as error:
        return ArrowReport(stage=stage, not_compared=str(error))
    if not errors and not any(arrow.outputs_differ for arrow in parts):
        return ArrowReport(stage=stage, not_compared="the two forms have no tensor of one name and shape")
    place = {name: number for number, name in enumerate(parts[0].candidate.shapes)}
    errors.sort(key=lambda error: place[error.tensor])
    first = next((error for error in errors if error.at_fault), None)
    report = ArrowReport(
        stage=stage,
        errors=tuple(errors),
        first=first,
        altered=tuple(altered_constants(stage, forms, bundle)),
        outputs="; ".join(arrow.outputs_differ for arrow in parts if arrow.outputs_differ),
        accumulated=tuple(_beyond(stage, errors, forms)) if first is None else (),
        first_not_finite=next((error.shown for error in errors if error.reference_not_finite), ""),
        unseen=tuple(forms.unseen(errors)),
    )
    if first is None:
        return report
    progress(f"{stage}: looking at {first.shown}")
    arrow = next(arrow for arrow in parts if arrow.reported is None or first.tensor in arrow.reported)
    return _explained(report, first, arrow, forms, images[first.worst_image])


def _beyond(stage: str, errors: Sequence[LayerError], forms: BundleForms) -> Iterator[str]:
    """Outputs of the network that are off by more than a whole stage may be."""
    limits, outputs = LIMITS[stage], {spec.name for spec in forms.outputs}
    for error in errors:
        if error.tensor in outputs and error.grown.mean_square > limits.mean_square:
            yield f"{error.tensor}: {error.grown.mean_square:.2g}, expected at most {limits.mean_square:g}"


def _explained(
    report: ArrowReport, first: LayerError, arrow: Arrow, forms: BundleForms, image: NDArray[np.uint8]
) -> ArrowReport:
    """The report with what the first error looks like, and where it is."""
    looked_at = _looked_at(first, arrow, image)
    expected, got = looked_at.expected, looked_at.got
    inherited = first.kind == "not finite" and not first.not_finite
    if inherited:
        got = channels_first(arrow.candidate.run([first.tensor])(arrow.candidate_feed(image))[first.tensor])
    picture = forms.picture(image)
    lacking = forms.lacking(first.tensor, arrow.tensors()) if report.stage == ONNX_STAGE else ()
    missing = f"; the ONNX lacks {', '.join(lacking)}" if lacking else ""
    missing += (
        "; on what the layers before it should give it is right: one of them is slightly off" if inherited else ""
    )
    return replace(
        report,
        cause=cause_of(
            expected,
            got,
            _likely(first, arrow, looked_at),
            _far_fetched(first, arrow, looked_at),
            rounding=max(arrow.limits.mean_square, STANDS_OUT * first.rounding.mean_square),
        )
        + missing,
        region=None if picture is None else region_of(expected, got, picture, first.worst_image),
    )


@dataclass(frozen=True, slots=True)
class _LookedAt:
    """A layer on one image: the network's inputs, what the layer is given, what it should give, and what it gives."""

    feed: Tensors
    given: Tensors
    expected: NDArray[np.float32]
    got: NDArray[np.float32]


def _looked_at(first: LayerError, arrow: Arrow, image: NDArray[np.uint8]) -> _LookedAt:
    needed = sorted(arrow.candidate.read_by([first.tensor], arrow.tensors()))
    feed = {**arrow.feed(image)}
    expected = arrow.reference.run([first.tensor, *needed])(feed)
    given = {name: expected[name] for name in needed}
    got = arrow.candidate.run_apart([first.tensor], needed)({**arrow.candidate_feed(image), **given})
    return _LookedAt(feed, given, channels_first(expected[first.tensor]), channels_first(got[first.tensor]))


def _likely(first: LayerError, arrow: Arrow, at: _LookedAt) -> Iterator[Alternative]:
    """What the layer would give if the image came in otherwise, or if a layer was otherwise."""
    if _is_near_the_image(first.tensor, arrow):
        whole = arrow.reference.run([first.tensor])
        for words, changed in faulty_feeds(at.feed, arrow.interface):
            yield Alternative(words, channels_first(whole(changed)[first.tensor]))
    if first.tensor not in arrow.graph.shapes:
        return
    known = set(at.given) & set(arrow.graph.shapes)
    for words, run in faulty_layers(arrow.graph, first.tensor, known):
        with contextlib.suppress(BackendError):  # a change that leaves no network says nothing
            yield Alternative(words, channels_first(run({**at.feed, **at.given})[first.tensor]))


def _is_near_the_image(name: str, arrow: Arrow) -> bool:
    """Whether few layers lie before one: whatever is wrong with an image shows in the first that calculate with it."""
    names = arrow.tensors()
    before: set[str] = set()
    waiting = {name}
    while waiting and len(before) <= _NEAR:
        before |= (waiting := arrow.candidate.read_by(waiting, names) - before)
    return len(before) <= _NEAR


def _far_fetched(first: LayerError, arrow: Arrow, at: _LookedAt) -> Iterator[Alternative]:
    """Other tensors of the network in the place of the layer's."""
    shapes = arrow.candidate.shapes
    alike = [name for name in arrow.tensors() if shapes[name] == first.shape and name != first.tensor]
    for name, values in arrow.reference.run(alike)(at.feed).items() if alike else ():
        yield Alternative(f"it is what {name} should be", channels_first(values))
