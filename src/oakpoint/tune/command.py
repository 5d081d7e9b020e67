"""The command lines that build a point and run it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from oakpoint.backends.registry import INT8
from oakpoint.images.sizes import size_from
from oakpoint.tune.space import Target, inference_threads
from oakpoint.tune.trial import Configuration

BUILT: Final = "tuned"
"""Folder that the printed command makes its bundle in."""

_OPTIONS: Final = {
    "precision": "--precision",
    "threads": "--threads",
    "max_keypoints": "--max-keypoints",
    "threshold": "--threshold",
    "nms_radius_px": "--nms-radius",
    "subpixel": "--subpixel",
}
"""Parameters that ``oakpoint run`` takes."""


def commands(
    target: Target,
    configuration: Configuration,
    *,
    model: str,
    model_words: Sequence[str] = (),
    images: Path,
    folder: str = BUILT,
) -> tuple[str, str]:
    """The line that makes the bundle of a point, and the one that runs it.

    Args:
        target: what it was searched for.
        configuration: of the point.
        model: as it was given.
        model_words: options that were given of the model beside its name.
        images: the folder that it was searched on, on which the conversion is verified, too.
        folder: of the bundle.
    """
    width, height = size_from(configuration["size"])
    convert = ["oakpoint", "convert", model, *model_words, "--size", f"{width}x{height}"]
    if target == "oak":
        convert += ["--heads", str(configuration["heads"]), "--shaves", str(configuration["shaves"])]
    else:
        convert += ["--to", "ir"]
        if configuration.get("precision") == INT8:
            convert.append("--int8")
    convert += ["--images", str(images), "--out", folder]
    run = ["oakpoint", "run", folder, "oak" if target == "oak" else "SOURCE"]
    for name, option in _OPTIONS.items():
        if name in configuration:
            run += [option, str(configuration[name])]
    if target == "oak":
        run += ["--nn-threads", str(inference_threads(int(configuration["shaves"])))]
    return shlex.join(convert), shlex.join(run)
