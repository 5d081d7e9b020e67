"""A search from its request to its outcome."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from oakpoint import __version__
from oakpoint.errors import BackendError, UsageError
from oakpoint.images.sizes import size_from
from oakpoint.loading import load
from oakpoint.myriad.compiler import DEFAULT_SHAVES
from oakpoint.myriad.toolchain import ensure_toolchain
from oakpoint.predictor import Predictor
from oakpoint.tasks.keypoints.task import Keypoints
from oakpoint.threads import cores
from oakpoint.tune.accuracy import FIGURE, AgreementJudge, Judge, KeypointJudge
from oakpoint.tune.chosen import Choice, Wish, choose
from oakpoint.tune.device import OakSubject
from oakpoint.tune.host import HostSubject, offered_precisions, opened
from oakpoint.tune.photographs import MOST_IMAGES, Photographs, pairs_of, photographs_in
from oakpoint.tune.search import import_optuna, search
from oakpoint.tune.space import (
    LEAST_SIDE_PX,
    MOST_SIDE_PX,
    OTHER_TASKS_STEP_PX,
    Size,
    Space,
    Target,
    size_text,
    sizes_between,
    space_for,
)
from oakpoint.tune.study import StoredStudy, open_study
from oakpoint.tune.subject import Subject, Tuned
from oakpoint.tune.trial import Configuration, Interval, Point, Trial, Value, points_of
from oakpoint.verify.photographs import load_photographs

TRIALS: Final = 40
FRESH_SEED: Final = 1_000_000
"""Added to the seed for pairs that nothing is chosen by."""

TARGETS: Final[tuple[Target, ...]] = ("cpu", "oak")


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneOptions:
    """What is searched, and for what.

    Attributes:
        tuned: the network and the images.
        target: ``cpu`` or ``oak``.
        folder: where the study is kept.
        wish: what is asked of the point.
        trials: configurations in all, those of earlier runs of the same study included.
        minutes: no trial is begun later than this.
        seed: of the views, the bootstrap and what is tried.
        sizes: (W, H) in pixels; empty makes them of the images' ratio and the two sides.
        min_side_px: of the longer side; None for ``LEAST_SIDE_PX``.
        max_side_px: of the longer side; None for that of the images, at most ``MOST_SIDE_PX``.
        fixed: limits of parameters, as ``Space.limited`` takes them.
        figure: of the protocols, for keypoints; None for ``accuracy.FIGURE``.
        views: pairs for each image.
        max_images: at most so many images of the folder are taken.

    Raises:
        UsageError: a number out of range or an unknown target.
    """

    tuned: Tuned
    target: Target
    folder: Path
    wish: Wish = field(default_factory=Wish)
    trials: int = TRIALS
    minutes: float | None = None
    seed: int = 0
    sizes: tuple[Size, ...] = ()
    min_side_px: int | None = None
    max_side_px: int | None = None
    fixed: tuple[str, ...] = ()
    figure: str | None = None
    views: int = 5
    max_images: int = MOST_IMAGES

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise UsageError(f"target: expected one of {', '.join(TARGETS)}, got {self.target!r}")
        if self.trials < 1:
            raise UsageError(f"trials: expected 1 or more, got {self.trials}")
        if self.minutes is not None and not self.minutes > 0:
            raise UsageError(f"minutes: expected more than 0, got {self.minutes:g}")
        if self.seed < 0:
            raise UsageError(f"seed: expected 0 or more, got {self.seed}")
        if self.sizes and (self.min_side_px, self.max_side_px) != (None, None):
            raise UsageError("expected --size, or --min-side and --max-side, got both; leave one out")
        if self.tuned.model.endswith(".blob"):
            raise UsageError(
                f"{self.tuned.model}: a blob is compiled for one size and one set of heads; give the bundle, the ONNX "
                "file or the network that it was made of"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a search begins with, for people and for machines.

    Attributes:
        space: what is searched.
        judge: what accuracy is.
        first: what is tried before anything else.
        photographs: the images.
        former: trials of earlier runs.
        notes: what a reader must know.
    """

    space: Space
    judge: Judge
    first: tuple[Configuration, ...]
    photographs: Photographs
    former: tuple[Trial, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search came to.

    Attributes:
        setup: what it began with.
        trials: all of the study, in order.
        points: those that gave something.
        choice: what the wish came to.
        fresh: accuracy of the chosen point on pairs that nothing was chosen by; None for none.
        interrupt: what ended it early; None where nothing did.
    """

    setup: Setup
    trials: tuple[Trial, ...]
    points: tuple[Point, ...]
    choice: Choice
    fresh: Interval | None = None
    interrupt: KeyboardInterrupt | None = None


class Listener(Protocol):
    """Told of a search."""

    def preparing(self, what: str) -> None:
        """Something that takes its time is done before the first trial."""

    def started(self, setup: Setup) -> None:
        """The first trial begins."""

    def answered(self, trial: Trial) -> None:
        """A trial is done, and kept."""


def tune(options: TuneOptions, listener: Listener) -> Found:
    """Search; a study that lies in the folder is gone on with.

    Ctrl-C and signals that end a program end the search alone: what was tried is kept and returned.

    Raises:
        OakpointError: the network, the images, the options or the folder cannot be used.
    """
    import_optuna()
    listener.preparing("reading the images")
    photographs = photographs_in(options.tuned.images, most=options.max_images)
    if options.target == "oak":
        ensure_toolchain()
    listener.preparing("loading the network")
    tuned = options.tuned
    with load(tuned.model, weights=tuned.weights, said=tuned.said) as probe:
        space, notes = _space(options, probe, photographs)
        full = size_of_full(probe, space)
        judge = _judge(options, probe, photographs, full)
        first = _first(space, probe, full)
        of = _rests_on(options, probe, photographs, judge)
    with open_study(options.folder, space, of) as study:
        setup = Setup(space=space, judge=judge, first=first, photographs=photographs, former=study.trials, notes=notes)
        listener.started(setup)
        fresh, interrupt = _searched(options, setup, study, listener)
        return Found(
            setup=setup,
            trials=study.trials,
            points=points_of(study.trials),
            choice=_choice(study.trials, options.wish),
            fresh=fresh,
            interrupt=interrupt,
        )


def _searched(
    options: TuneOptions, setup: Setup, study: StoredStudy, listener: Listener
) -> tuple[Interval | None, KeyboardInterrupt | None]:
    """Search, and measure what was chosen on other pairs; what ended it early, if anything did."""

    def answered(trial: Trial) -> None:
        study.add(trial)
        listener.answered(trial)

    try:
        with _subject(options, setup) as subject:
            subject.remember(study.trials)
            search(
                setup.space,
                subject.measure,
                tried=study.trials,
                answered=answered,
                seed=options.seed,
                trials=options.trials,
                first=setup.first,
                minutes=options.minutes,
            )
            point = _choice(study.trials, options.wish).point
            if point is None or not isinstance(setup.judge, KeypointJudge):
                return None, None
            listener.preparing("measuring the chosen point on other pairs")
            return subject.judged(point.configuration, _fresh_judge(options, setup.photographs)), None
    except KeyboardInterrupt as error:
        return None, error


def _choice(trials: Sequence[Trial], wish: Wish) -> Choice:
    return choose(points_of(trials), wish) if wish.selects else Choice()


def _fresh_judge(options: TuneOptions, photographs: Photographs) -> KeypointJudge:
    """The same figure on other views of the images.

    The best of many figures on the same pairs is partly luck; on these it was not selected by anything.
    """
    pairs = pairs_of(photographs, views=options.views, seed=options.seed + FRESH_SEED)
    return KeypointJudge(pairs, options.figure or FIGURE, seed=options.seed)


@contextlib.contextmanager
def _subject(options: TuneOptions, setup: Setup) -> Iterator[Subject]:
    made: Subject
    if options.target == "oak":
        made = OakSubject(options.tuned, setup.judge, load_photographs(options.tuned.images), options.folder)
    else:
        made = HostSubject(options.tuned, setup.space, setup.judge, setup.photographs.to_time())
    with made:
        yield made


def _space(options: TuneOptions, probe: Predictor[Any], photographs: Photographs) -> tuple[Space, tuple[str, ...]]:
    """What is searched, and what has to be said of it."""
    sizes, notes = _sizes(options, probe, photographs)
    if photographs.found > len(photographs):
        notes = (*notes, f"{len(photographs)} of {photographs.found} images are used (--max-images, or unreadable)")
    precisions = offered_precisions(options.tuned.model) if options.target == "cpu" else ()
    space = space_for(options.target, probe.task, sizes, precisions=precisions, cores=cores())
    space = space.limited(options.fixed)
    for text in space.values_of("size"):
        probe.task.require_size(size_from(text))
    return space, notes


def _sizes(
    options: TuneOptions, probe: Predictor[Any], photographs: Photographs
) -> tuple[tuple[Size, ...], tuple[str, ...]]:
    if options.sizes:
        return options.sizes, ()
    own = None if probe.native else probe.preprocess.size
    if isinstance(probe.task, Keypoints):
        ratio, step = photographs.ratio, math.lcm(probe.task.size_step_px, 8)
        usual_most = min(photographs.longer_side_px, MOST_SIDE_PX)
    else:
        ratio = photographs.ratio if own is None else own[0] / own[1]
        step = math.lcm(probe.task.size_step_px, OTHER_TASKS_STEP_PX)
        usual_most = MOST_SIDE_PX if own is None else max(own)
    most = options.max_side_px or usual_most
    least = options.min_side_px or min(LEAST_SIDE_PX, most)
    sizes = sizes_between(ratio, step, least_px=least, most_px=most)
    if own is None:
        return sizes, ()
    if not _takes(options.tuned, sizes[0]) and sizes[0] != own:
        return (own,), (f"the network takes images of {size_text(own)} alone, so that no other size is searched",)
    asked = (options.min_side_px or 0) <= max(own) <= (options.max_side_px or math.inf)
    return ((*sizes, own) if asked else sizes), ()


def _takes(tuned: Tuned, size: Size) -> bool:
    """Whether a network runs at a size."""
    try:
        with opened(tuned, {"size": size_text(size)}) as predictor:
            predictor(np.zeros((size[1], size[0]), np.uint8))
    except (UsageError, BackendError):
        return False
    return True


def size_of_full(probe: Predictor[Any], space: Space) -> str:
    """The size with which others are compared: the network's own, or the largest that is searched."""
    if not probe.native and not isinstance(probe.task, Keypoints):
        return size_text(probe.preprocess.size)
    return str(space.at(space.points - 1)["size"])


def _judge(options: TuneOptions, probe: Predictor[Any], photographs: Photographs, full: str) -> Judge:
    if isinstance(probe.task, Keypoints):
        pairs = pairs_of(photographs, views=options.views, seed=options.seed)
        return KeypointJudge(pairs, options.figure or FIGURE, seed=options.seed)
    if options.figure is not None:
        raise UsageError(
            f"figure: is for keypoints, and the network finds {probe.task.name}, whose accuracy is the agreement with "
            "the full size; leave it out"
        )
    with opened(options.tuned, {"size": full}) as predictor:
        return AgreementJudge(photographs.each, predictor, at=full, seed=options.seed)


def _first(space: Space, probe: Predictor[Any], full: str) -> tuple[Configuration, ...]:
    """The network as it comes, at the full size and at the smallest: the ends of what can be hoped for."""
    preset: dict[str, Value] = {"heads": "dense", "shaves": DEFAULT_SHAVES, "precision": "f32", "threads": cores()}
    if isinstance(probe.task, Keypoints):
        decode = probe.task.decode
        names = ("threshold", "nms_radius_px", "subpixel", "max_keypoints")
        preset |= {name: value for name in names if (value := getattr(decode, name)) is not None}
    smallest = str(space.at(0)["size"])
    return tuple(space.nearest({**preset, "size": size}) for size in dict.fromkeys((full, smallest)))


def _rests_on(
    options: TuneOptions, probe: Predictor[Any], photographs: Photographs, judge: Judge
) -> Mapping[str, object]:
    """What the figures of a study rest on: only with all of it the same can trials be compared."""
    identity = probe.identity()
    rest = {name: value for name, value in identity.items() if name != "model"}
    of: dict[str, object] = {
        "oakpoint": __version__,
        "target": options.target,
        "model": str(identity["model"])[:16],
        "preprocessing and decoding": hashlib.sha256(json.dumps(rest, default=str).encode()).hexdigest()[:16],
        "images": photographs.digest(),
        "figure": judge.name,
        "views": options.views if isinstance(judge, KeypointJudge) else None,
        "seed": options.seed,
    }
    return of | ({"machine": f"{platform.node()}, {cores()} cores"} if options.target == "cpu" else {})
