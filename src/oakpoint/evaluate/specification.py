"""The grammar by which the command line names what is compared.

::

    SPEC    = [LABEL "="] MODEL { "@" SETTING }
    MODEL   = a bundle's folder | FILE.onnx | FILE.blob | superpoint | package.module:Class | sift | orb | FILE.h5
    SETTING = WIDTHxHEIGHT | native | BACKEND [":" DEVICE [":" PRECISION]] | NAME "=" VALUE
    NAME    = weights | precision | decoding | threshold | nms | subpixel | max-side | max-memory
            | arg | output | shape | task | color | mean | std | scale | normalize | range | resize

Such as ``b``, ``b@openvino:CPU:bf16``, ``b@640x480``, ``small=b@320x240@onnxruntime``, ``superpoint@threshold=0.005``,
``b@subpixel=soft_argmax``, ``net.onnx@color=rgb@normalize=imagenet``, ``sift``, ``features.h5``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from oakpoint.backends.registry import BACKENDS
from oakpoint.bundle.folder import is_bundle
from oakpoint.errors import UsageError
from oakpoint.features.types import Subpixel
from oakpoint.models.base import ModelOptions
from oakpoint.models.option_texts import SEVERAL, SINGLE, options_from_settings
from oakpoint.tasks.keypoints.fused.choice import Decoding

CLASSICAL = ("sift", "orb")
HDF5_SUFFIXES = (".h5", ".hdf5")
_LABEL = re.compile(r"([A-Za-z0-9][\w .+-]*)=(.+)")
_SIZE = re.compile(r"([0-9]+)[x×]([0-9]+)")
_EXPECTED = (
    "WIDTHxHEIGHT, native, BACKEND[:DEVICE[:PRECISION]] (backends: " + ", ".join(BACKENDS) + "), weights=FILE, "
    "precision=f32|bf16|f16|int8, decoding=" + "|".join(get_args(Decoding)) +
    ", threshold=P, nms=PIXELS, max-side=PIXELS, max-memory=GB, "
    "subpixel=" + "|".join(get_args(Subpixel)) +
    ", or one of " + ", ".join(f"{name}=…" for name in (*SEVERAL, *SINGLE)) + ", which mean what they mean to convert"
)  # fmt: skip
_CHOICES: dict[str, tuple[str, ...]] = {"subpixel": get_args(Subpixel), "decoding": get_args(Decoding)}

Kind = Literal["network", "classical", "file"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Specification:
    """One row of the comparison.

    Attributes:
        label: what the row is called.
        model: bundle, file or name.
        kind: what ``model`` is.
        size: (W, H) at which a network runs; ``native``: at that of each prepared image; None: not said.
        backend: runtime.
        device: of OpenVINO.
        precision: of OpenVINO's arithmetic.
        decoding: where outputs become keypoints, see ``tasks.keypoints.fused.choice``.
        weights: weights file of a network given by name.
        threshold: lowest keypoint probability; None: the network's own.
        nms_radius_px: NMS radius; None: the network's own.
        subpixel: refinement of keypoints between pixels; None: the network's own.
        max_side: longest side of an image that is not scaled down, in pixels; None: none is.
        max_memory_gb: what the network may take for one image; None: what is free.
        said: what else is said of a network given by name or as a file.
    """

    label: str
    model: str
    kind: Kind
    size: tuple[int, int] | Literal["native"] | None = None
    backend: str = "openvino"
    device: str = "CPU"
    precision: str = "f32"
    decoding: Decoding = "auto"
    weights: Path | None = None
    threshold: float | None = None
    nms_radius_px: int | None = None
    subpixel: Subpixel | None = None
    max_side: int | None = None
    max_memory_gb: float | None = None
    said: ModelOptions = field(default_factory=ModelOptions)


def parse_specification(text: str, *, weights: Path | None = None, said: ModelOptions | None = None) -> Specification:
    """What a text such as ``b@openvino:CPU:bf16`` means.

    Args:
        text: see the grammar above.
        weights: for a network given by name, unless the text has its own.
        said: what else is said of a network that is no bundle, unless the text says some of it itself.

    Raises:
        UsageError: an empty model, an unknown setting, or a setting that the model does not have.
    """
    label, rest = text, text
    if (named := _LABEL.fullmatch(text)) and "@" not in named[1] and not Path(text).exists():
        label, rest = named[1], named[2]
    model, *settings = [rest] if Path(rest).exists() else rest.split("@")
    if not model:
        raise UsageError(f"{text!r}: expected MODEL[@SETTING…], got no model")
    kind = _kind(model)
    takes_said = said is not None and kind == "network" and not is_bundle(Path(model))
    specification = Specification(
        label=label, model=model, kind=kind, weights=weights, said=said if said and takes_said else ModelOptions()
    )
    if settings and specification.kind != "network":
        raise UsageError(f"{text}: {model} takes no settings, got @{settings[0]}")
    of_model: list[tuple[str, str]] = []
    for setting in settings:
        name, equals, value = setting.partition("=")
        if equals and name in (*SEVERAL, *SINGLE):
            of_model.append((name, value))
        else:
            specification = _with_setting(specification, setting, text)
    if not of_model:
        return specification
    try:
        return replace(specification, said=options_from_settings(of_model))
    except UsageError as error:
        raise UsageError(f"{text}: {error}") from error


def parse_specifications(
    texts: list[str], *, weights: Path | None = None, said: ModelOptions | None = None
) -> tuple[Specification, ...]:
    """Several at once; labels tell them apart.

    Raises:
        UsageError: none at all, two of one label, or see ``parse_specification``.
    """
    specifications = tuple(parse_specification(text, weights=weights, said=said) for text in texts)
    labels = [specification.label for specification in specifications]
    if not labels:
        raise UsageError("expected something to evaluate: a bundle, superpoint, sift, orb or a features file")
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise UsageError(f"{twice}: given twice; name them apart, such as  a={twice} b={twice}")
    return specifications


def _kind(model: str) -> Kind:
    if model in CLASSICAL:
        return "classical"
    return "file" if Path(model).suffix.lower() in HDF5_SUFFIXES else "network"


def _with_setting(specification: Specification, setting: str, text: str) -> Specification:
    if setting == "native":
        return replace(specification, size="native")
    if size := _SIZE.fullmatch(setting):
        return replace(specification, size=(int(size[1]), int(size[2])))
    name, equals, value = setting.partition("=")
    if equals and name == "weights" and value:
        return replace(specification, weights=Path(value))
    if equals and name == "precision" and value:
        return replace(specification, precision=value)
    if equals and value in _CHOICES.get(name, ()):
        return replace(specification, **{name: value})  # type: ignore[arg-type]
    try:
        if equals and name == "threshold":
            return replace(specification, threshold=float(value))
        if equals and name == "nms":
            return replace(specification, nms_radius_px=int(value))
        if equals and name == "max-side":
            return replace(specification, max_side=int(value))
        if equals and name == "max-memory":
            return replace(specification, max_memory_gb=float(value))
    except ValueError as error:
        raise UsageError(f"{text}: @{setting}: expected a number, got {value!r}") from error
    backend, *further = setting.split(":")
    if backend not in BACKENDS or len(further) > 2:
        raise UsageError(f"{text}: @{setting}: expected {_EXPECTED}")
    device, precision = (*further, *(specification.device, specification.precision)[len(further) :])
    return replace(specification, backend=backend, device=device, precision=precision)
