"""What may be searched: for each parameter a short list of values, by target and task."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from oakpoint.errors import UsageError
from oakpoint.features.types import DecodeOptions
from oakpoint.images.sizes import size_from
from oakpoint.myriad.compiler import MAX_SHAVES, check_shaves
from oakpoint.tasks.base import Task
from oakpoint.tasks.keypoints.task import Keypoints
from oakpoint.tune.trial import Configuration, Value

Target = Literal["cpu", "oak"]
Size = tuple[int, int]

LEAST_SIDE_PX, MOST_SIDE_PX = 160, 640
"""Of the longer side, where nothing else is said. Protocol P2 compares in a frame of 640×480."""

SIZES: Final = 7
BUDGETS: Final = (128, 256, 512, 1024)
"""Protocol P2 uses the best 1000 keypoints of an image, P3 2048: more change nothing or little."""

THRESHOLD_FACTORS: Final = (0.25, 0.5, 1.0, 2.0, 4.0)
NMS_RADII_PX: Final = (2, 3, 4, 6)
SHAVES: Final = (4, 6, 8, 12)
CAMERA_SHAVES: Final = 4
"""What is left to the camera's own pipeline; see ``myriad.compiler.DEFAULT_SHAVES``."""

OTHER_TASKS_STEP_PX: Final = 32
"""Detectors, classifiers and segmenters halve the image five times as a rule."""

ONE_OF: Final = ("heads", "precision", "subpixel")
"""Parameters whose values have no order."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter and the values that it may have, in their order where they have one."""

    name: str
    values: tuple[Value, ...]

    @property
    def ordered(self) -> bool:
        """Whether neighbours in the list are alike."""
        return self.name not in ONE_OF


@dataclass(frozen=True, slots=True)
class Space:
    """All configurations: every value of every parameter with every other."""

    parameters: tuple[Parameter, ...]

    @property
    def points(self) -> int:
        """How many configurations there are."""
        return math.prod(len(parameter.values) for parameter in self.parameters)

    def at(self, place: int) -> Configuration:
        """The configuration at a place from 0 to ``points`` − 1; the last parameter changes fastest."""
        chosen: dict[str, Value] = {}
        for parameter in reversed(self.parameters):
            place, index = divmod(place, len(parameter.values))
            chosen[parameter.name] = parameter.values[index]
        return {parameter.name: chosen[parameter.name] for parameter in self.parameters}

    def values_of(self, name: str) -> tuple[Value, ...]:
        """The values of a parameter that is there."""
        return next(parameter.values for parameter in self.parameters if parameter.name == name)

    def __contains__(self, configuration: Configuration) -> bool:
        return {p.name for p in self.parameters} == set(configuration) and all(
            configuration[p.name] in p.values for p in self.parameters
        )

    def nearest(self, wanted: Mapping[str, Value]) -> Configuration:
        """The configuration whose values are those wanted, or the nearest to them that there are; else the last."""
        return {p.name: _nearest(p, wanted.get(p.name)) for p in self.parameters}

    def limited(self, texts: Sequence[str]) -> Space:
        """The same with some parameters limited, each by a text such as ``heads=packed`` or ``shaves=4,6``.

        Raises:
            UsageError: a parameter that is not searched here, one that is given twice, or a value that it cannot have.
        """
        limits: dict[str, tuple[Value, ...]] = {}
        for text in texts:
            name, _, values = text.partition("=")
            known = {parameter.name: parameter for parameter in self.parameters}
            if name not in known or not values:
                raise UsageError(f"fix: expected NAME=VALUE[,VALUE…] with NAME one of {', '.join(known)}, got {text!r}")
            if name in limits:
                raise UsageError(f"fix: {name} is given twice; give all its values at once, as {name}=A,B")
            limits[name] = _in_order(name, {_value(known[name], value) for value in values.split(",")})
        return Space(tuple(replace(p, values=limits.get(p.name, p.values)) for p in self.parameters))

    def facts(self) -> dict[str, list[Value]]:
        """For machines."""
        return {parameter.name: list(parameter.values) for parameter in self.parameters}


def space_for(
    target: Target, task: Task[Any], sizes: Sequence[Size], *, precisions: Sequence[str] = ("f32",), cores: int = 1
) -> Space:
    """What is searched for a network.

    Args:
        target: ``cpu`` for a runtime of this machine, ``oak`` for the Myriad X.
        task: of the network, at its preset.
        sizes: (W, H) in pixels of the images that the network is given.
        precisions: that the runtime offers for it.
        cores: processors of this machine.
    """
    parameters = [Parameter("size", tuple(size_text(size) for size in sorted(set(sizes), key=math.prod)))]
    if target == "oak":
        parameters += [Parameter("heads", _heads(task)), Parameter("shaves", SHAVES)]
    else:
        threads = sorted({1, cores} | {2**power for power in range(cores.bit_length()) if 2**power <= cores})
        parameters += [Parameter("precision", tuple(precisions)), Parameter("threads", tuple(threads))]
    if isinstance(task, Keypoints):
        parameters += _decoding(task.decode)
    return Space(tuple(parameters))


def _decoding(preset: DecodeOptions) -> list[Parameter]:
    thresholds = sorted({round(min(preset.threshold * factor, 0.5), 5) for factor in THRESHOLD_FACTORS})
    return [
        Parameter("max_keypoints", BUDGETS),
        Parameter("threshold", tuple(thresholds)),
        Parameter("nms_radius_px", tuple(sorted({*NMS_RADII_PX, preset.nms_radius_px}))),
        Parameter("subpixel", ("none", "soft_argmax", "quadratic")),
    ]


def _heads(task: Task[Any]) -> tuple[str, ...]:
    """Heads whose outputs this program decodes; those of RTAB-Map are for its own driver."""
    offered = task.form.heads if isinstance(task, Keypoints) else task.heads
    return tuple(heads for heads in offered if heads != "rtabmap")


def decoding_of(configuration: Configuration) -> dict[str, Value]:
    """What of a configuration decides on reading the outputs: parameters of the task."""
    names = ("max_keypoints", "threshold", "nms_radius_px", "subpixel")
    return {name: configuration[name] for name in names if name in configuration}


def inference_threads(shaves: int) -> int:
    """Inference threads of the camera, each with as many SHAVEs, that leave the pipeline its own: 2 or 1."""
    return 2 if 2 * shaves <= MAX_SHAVES - CAMERA_SHAVES else 1


def sizes_between(ratio: float, step: int, *, least_px: int, most_px: int, count: int = SIZES) -> tuple[Size, ...]:
    """Sizes (W, H) of one aspect ratio as nearly as the step allows, evenly spaced by their logarithm.

    Args:
        ratio: width over height.
        step: both sides are multiples of it, in pixels.
        least_px: of the longer side, at least.
        most_px: of the longer side, at most.
        count: how many at most.

    Raises:
        UsageError: there is no such size.
    """
    if not 0 < least_px <= most_px:
        raise UsageError(f"expected --min-side of 1 or more and at most --max-side, got {least_px} and {most_px} px")
    longer = [round(least_px * (most_px / least_px) ** (n / max(count - 1, 1)) / step) * step for n in range(count)]
    longer = [px for px in longer if least_px <= px <= most_px]
    shorter = min(ratio, 1 / ratio)
    pairs = {(px, max(round(px * shorter / step), 1) * step) for px in longer if px}
    if not pairs:
        raise UsageError(
            f"no multiple of {step} px lies between --min-side {least_px} and --max-side {most_px}; widen them"
        )
    sizes = {(long, short) if ratio >= 1 else (short, long) for long, short in pairs}
    return tuple(sorted(sizes, key=math.prod))


def size_text(size: Size) -> str:
    """(W, H) as ``320x240``."""
    return f"{size[0]}x{size[1]}"


def _value(parameter: Parameter, text: str) -> Value:
    try:
        value = _READ.get(parameter.name, str)(text.strip())
    except ValueError:
        raise UsageError(f"fix: {parameter.name}: expected a number, got {text!r}") from None
    if parameter.name in ONE_OF and value not in parameter.values:
        there = ", ".join(map(str, parameter.values))
        raise UsageError(f"fix: {parameter.name}: expected one of {there}, got {text!r}")
    if parameter.name == "shaves":
        check_shaves(int(value))
    elif parameter.name == "threshold" and not 0 <= float(value) <= 1:
        raise UsageError(f"fix: threshold: expected a probability from 0 to 1, got {text}")
    elif parameter.name in ("threads", "max_keypoints") and int(value) < 1:
        raise UsageError(f"fix: {parameter.name}: expected 1 or more, got {text}")
    elif parameter.name == "nms_radius_px" and int(value) < 0:
        raise UsageError(f"fix: nms_radius_px: expected 0 or more, got {text}")
    return value


_READ: Final[Mapping[str, Callable[[str], Value]]] = {
    "size": lambda text: size_text(size_from(text)),
    "shaves": int,
    "threads": int,
    "max_keypoints": int,
    "nms_radius_px": int,
    "threshold": float,
}


def _in_order(name: str, values: Iterable[Value]) -> tuple[Value, ...]:
    if name == "size":
        return tuple(sorted(values, key=_rank))
    return tuple(sorted(values, key=lambda value: (isinstance(value, str), value)))


def _rank(value: Value) -> float:
    """A value as a number: of a size the number of its pixels."""
    return float(math.prod(size_from(value))) if isinstance(value, str) else float(value)


def _nearest(parameter: Parameter, wanted: Value | None) -> Value:
    if wanted in parameter.values:
        assert wanted is not None
        return wanted
    if wanted is None or not parameter.ordered:
        return parameter.values[-1] if parameter.ordered else parameter.values[0]
    goal = _rank(wanted)
    return min(parameter.values, key=lambda value: abs(_rank(value) - goal))
