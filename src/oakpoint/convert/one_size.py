"""Exports that hold for one image size alone, because numbers in them follow from it: marked, and refused elsewhere.

The mark stands in the ONNX file itself, so that it goes wherever the file goes: into a bundle, an IR's neighbour, or a
conversion at another size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from oakpoint.convert.interface import image_inputs
from oakpoint.errors import UsageError

_KEY = "oakpoint.one_size"


def mark_one_size(path: Path, reason: str) -> None:
    """Write into an ONNX file that it holds for its own image size alone.

    Args:
        path: the file, of a network with an image among its inputs, H and W numbers.
        reason: how that was found out, for people.
    """
    model = onnx.load(path)
    entry = model.metadata_props.add()
    entry.key, entry.value = _KEY, reason
    onnx.save(model, path)


def reason_for_one_size(model: onnx.ModelProto) -> str | None:
    """Why a network holds for its own size alone, as far as its file says; None where it says nothing."""
    return next((entry.value for entry in model.metadata_props if entry.key == _KEY), None)


def one_size_of(path: Path) -> str | None:
    """The reason in a file; see ``reason_for_one_size``. A file that cannot be read says nothing here."""
    try:
        return reason_for_one_size(onnx.load(path, load_external_data=False))
    except Exception:  # noqa: BLE001 - whatever is wrong with the file, its runtime says
        return None


def require_size(name: str, model: onnx.ModelProto, size: tuple[int, int]) -> None:
    """Refuse a size that a network does not hold for.

    Args:
        name: of the file or bundle, for the message.
        model: the network, weights or not.
        size: (W, H) in pixels.

    Raises:
        UsageError: the network is marked and has another size.
    """
    reason = reason_for_one_size(model)
    if reason is None:
        return
    own = next(image.size for image in image_inputs(model))
    if own != size:
        raise UsageError(
            f"{name}: holds for {own[0]}x{own[1]} alone, not for {size[0]}x{size[1]} ({reason}); use it at its size, "
            f"or start from the network itself: oakpoint convert package.module:Class --size {size[0]}x{size[1]}"
        )


def require_size_of_file(path: Path, size: tuple[int, int]) -> None:
    """``require_size`` for an ONNX file; one that cannot be read is left to its runtime.

    Raises:
        UsageError: see there.
    """
    try:
        model: Any = onnx.load(path, load_external_data=False)
    except Exception:  # noqa: BLE001 - whatever is wrong with the file, its runtime says
        return
    require_size(str(path), model, size)
