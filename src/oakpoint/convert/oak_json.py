"""The gen-1 JSON that describes a blob's outputs, kept as a file for users of the first DepthAI API.

No current API reads it. Source of the fields: the gen-1 documentation, «Creating Blob configuration file»; raw tensors
have iteration index 0, properties dimensions [0] and no key mapping.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from oakpoint.bundle.interface import TensorSpec

_TYPES = {"float16": "f16", "int32": "i32"}


def write_oak_json(path: Path, outputs: Sequence[TensorSpec]) -> str:
    """Write the description of a blob's outputs, and return the tool that did it."""
    tensors = [
        {
            "output_tensor_name": output.name,
            "output_dimensions": list(output.shape),
            "output_entry_iteration_index": 0,
            "output_properties_dimensions": [0],
            "property_key_mapping": [],
            "output_properties_type": _TYPES[output.dtype],
        }
        for output in outputs
    ]
    path.write_text(json.dumps({"tensors": tensors}, indent=2) + "\n")
    return "oakpoint"
