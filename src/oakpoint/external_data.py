"""The further files that an ONNX model keeps its tensors in: where they may lie, and which they are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from oakpoint.errors import OakpointError


def external_files(path: Path) -> tuple[Path, ...]:
    """Files with tensors of an ONNX model, by name, wherever in it they are named: weights, attributes, functions.

    A model is a stranger's file, and a path in it is not to read anything else of this machine: what is not within
    the model's folder, by name or by way of links, is not opened.

    Args:
        path: the ONNX file.

    Raises:
        OakpointError: one of them lies outside the model's folder, or is not there; the message names the model.
        OSError: the model itself cannot be read.
        Exception: it is no ONNX (protobuf's errors are of many kinds).
    """
    import onnx

    files = []
    for location in sorted(_locations(onnx.load(path, load_external_data=False))):
        file = path.parent / location
        if Path(location).is_absolute() or os.path.normpath(location).partition(os.sep)[0] == os.pardir:
            raise OakpointError(f"{path}: expected its external data beside it, got {location!r}; save it there")
        if not file.is_file():
            raise OakpointError(f"{path}: its external data {location!r} is not there; put it beside the model")
        if not file.resolve().is_relative_to(path.parent.resolve()):
            raise OakpointError(
                f"{path}: expected its external data beside it, got {location!r}, a link to {file.resolve()}; copy the "
                "file there"
            )
        files.append(file)
    return tuple(files)


def _locations(model: Any) -> set[str]:
    import onnx
    from onnx.external_data_helper import ExternalDataInfo, uses_external_data

    tensors = (message for message in _messages(model) if isinstance(message, onnx.TensorProto))
    return {ExternalDataInfo(tensor).location for tensor in tensors if uses_external_data(tensor)}


def _messages(message: Any) -> Iterator[Any]:
    """A message and all within it, wherever tensors may stand: initialisers, attributes, inner graphs, functions."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in (value,) if hasattr(value, "ListFields") else value:
                yield from _messages(part)
