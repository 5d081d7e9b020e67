"""The record of a network's weights within its ONNX file, so that it goes where the file goes."""

from __future__ import annotations

import onnx
from pydantic import TypeAdapter, ValidationError

from oakpoint.bundle.records import WeightsRecord

KEY = "oakpoint.weights"
"""Of the model's metadata."""

_RECORD = TypeAdapter(WeightsRecord)


def facts_of(weights: WeightsRecord) -> dict[str, str]:
    """The metadata that says which weights a model has."""
    return {KEY: _RECORD.dump_json(weights).decode()}


def weights_said_in(model: onnx.ModelProto) -> WeightsRecord | None:
    """The record in a model's metadata; None where there is none that can be read."""
    said = {entry.key: entry.value for entry in model.metadata_props}.get(KEY)
    try:
        return _RECORD.validate_json(said) if said is not None else None
    except ValidationError:
        return None
