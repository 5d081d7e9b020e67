"""ONNX to NN archive: the network as it is, with what its images want, for converters that go on from there.

A config describes what the *model* wants, and whoever converts it decides what of that goes into the graph. Three of
its keys are easily mistaken:

* ``scale`` divides: a value is (level − ``mean``) / ``scale``, of levels from 0 to 255. ``Preprocess`` multiplies.
* ``mean`` and ``scale`` have the order of the model's own channels.
* ``dai_type`` names the model's own colours (``RGB``, ``BGR``, ``GRAY``) and layout (``p`` for planar, NCHW; ``i`` for
  interleaved, NHWC); ``reverse_channels`` says the first of these in an older way, and is true for RGB.

Source: ``luxonis-ml`` 0.10.2, ``nn_archive/config_building_blocks/base_models/input.py``; and how modelconverter 0.6.2
reads it: ``process_nn_archive`` and ``onnx_attach_normalization_to_inputs``.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from oakpoint.bundle.interface import Input, Interface, TensorSpec
from oakpoint.convert.archive_from_blob import CONFIG_NAME, RESIZE_MODES, config_of, input_facts, write_members
from oakpoint.errors import ConversionError
from oakpoint.images.preprocess import Colour, Layout, PerChannel, Preprocess

MODEL_NAME = "model.onnx"

_COLOURS: dict[Colour, str] = {"grey": "GRAY8", "bgr": "BGR888", "rgb": "RGB888"}
_SUFFIX: dict[Layout, str] = {"nchw": "p", "nhwc": "i"}

_TYPES = {"bool": "boolean"}
"""Types that the schema calls otherwise than NumPy."""

_DIGITS = 9
"""Significant decimal digits that tell one float32 from all others."""


def write_onnx_archive(
    model: bytes,
    archive: Path,
    *,
    name: str,
    interface: Interface,
    heads: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Pack an ONNX model into an NN archive (``.tar.xz``); the same model gives the same bytes.

    Args:
        model: the serialised model.
        archive: the file to write.
        name: of the model, as other programs show it.
        interface: of the model, all inputs' shapes being numbers.
        heads: what its outputs mean, as the schema has it.

    Returns:
        The tool that did it.
    """
    write_members(archive, onnx_archive_config(name, interface, heads), {MODEL_NAME: model})
    return "oakpoint"


def onnx_archive_config(
    name: str,
    interface: Interface,
    heads: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The content of such an archive's ``config.json``."""
    return config_of(name, MODEL_NAME, map(_input, interface.inputs), map(_output, interface.outputs), heads)


def _input(given: Input) -> dict[str, Any]:
    facts, preprocess = input_facts(given), given.preprocess
    return facts if preprocess is None else facts | {"preprocessing": _preprocessing(preprocess)}


def _preprocessing(preprocess: Preprocess) -> dict[str, Any]:
    """What the model's images want; of a model that takes levels as they are, nothing is left of mean and scale."""
    means, scales = (0.0, 1.0) if preprocess.baked else (preprocess.mean, preprocess.scale)
    kind = _COLOURS[preprocess.colour]
    facts: dict[str, Any] = {
        "mean": [_shortest(mean) for mean in _for_each(means, preprocess.channels)],
        "scale": [_shortest(1 / scale) for scale in _for_each(scales, preprocess.channels)],
        "reverse_channels": preprocess.colour == "rgb",
        "interleaved_to_planar": preprocess.layout == "nhwc",  # the schema: «True if input to the model is interleaved»
        "dai_type": kind if preprocess.colour == "grey" else kind + _SUFFIX[preprocess.layout],
    }
    mode = RESIZE_MODES.get(preprocess.resize)
    return facts if mode is None else facts | {"resize_mode": mode}


def _for_each(numbers: PerChannel, channels: int) -> tuple[float, ...]:
    return numbers if isinstance(numbers, tuple) else (numbers,) * channels


def _shortest(number: float) -> float:
    return float(f"{number:.{_DIGITS}g}")


def _output(spec: TensorSpec) -> dict[str, Any]:
    """Name and type, and the shape where all of it is known."""
    facts: dict[str, Any] = {"name": spec.name, "dtype": _TYPES.get(spec.dtype, spec.dtype)}
    known = all(isinstance(side, int) for side in spec.shape)
    return facts | {"shape": list(spec.shape)} if known else facts


def read_onnx_archive(archive: Path, own: Interface) -> tuple[bytes, Interface]:
    """The model in an archive, and how its images are to be made by what the archive's config alone says of them.

    Args:
        archive: as ``write_onnx_archive`` wrote it.
        own: gives what a config has no words for: how images are interpolated, letterboxes' levels, cutting.

    Raises:
        ConversionError: it cannot be read, or its inputs are others than those of ``own``.
    """
    try:
        with tarfile.open(archive, "r:xz") as tar:
            config = json.loads(_member(tar, CONFIG_NAME))
            model = _member(tar, config["model"]["metadata"]["path"])
        told = {facts["name"]: facts for facts in config["model"]["inputs"]}
        inputs = tuple(_read_input(given, told[given.tensor.name]) for given in own.inputs)
    except (OSError, tarfile.TarError, ValueError, LookupError, TypeError) as error:
        raise ConversionError(
            f"{archive.name}: no NN archive of this network ({type(error).__name__}: {error})"
        ) from error
    return model, replace(own, inputs=inputs)


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    stream = tar.extractfile(name)
    if stream is None:
        raise LookupError(f"{name} is no file")
    return stream.read()


def _read_input(own: Input, facts: Mapping[str, Any]) -> Input:
    """An input as the config tells of it."""
    if facts["input_type"] != "image":
        return replace(own, preprocess=None)
    if own.preprocess is None:
        raise ValueError(f"{own.tensor.name}: told to be an image")
    told = facts["preprocessing"]
    sides = dict(zip(facts["layout"], facts["shape"], strict=True))
    colour = next(c for c in get_args(Colour) if told["dai_type"].startswith(_COLOURS[c]))
    layout: Layout = facts["layout"].lower()
    resize = {mode: ours for ours, mode in RESIZE_MODES.items()}.get(told.get("resize_mode"), own.preprocess.resize)
    mean, scale = tuple(told["mean"]), tuple(1 / divisor for divisor in told["scale"])
    preprocess = replace(
        own.preprocess,
        size=(sides["W"], sides["H"]),
        colour=colour,
        layout=layout,
        resize=resize,
        mean=mean[0] if colour == "grey" else mean,
        scale=scale[0] if colour == "grey" else scale,
    )
    return replace(own, preprocess=preprocess, tensor=replace(own.tensor, dtype=facts["dtype"]))
