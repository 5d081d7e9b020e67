from __future__ import annotations

import json
from pathlib import Path

from oakpoint.bundle.interface import TensorSpec
from oakpoint.convert.oak_json import write_oak_json


def test_packed_outputs_have_their_own_type(tmp_path: Path) -> None:
    write_oak_json(tmp_path / "model.json", (TensorSpec("descriptors_packed", "int32", (1, 64, 25, 40)),))
    (tensor,) = json.loads((tmp_path / "model.json").read_text())["tensors"]
    assert tensor["output_properties_type"] == "i32"


def test_the_description_of_the_first_depthai_api(tmp_path: Path) -> None:
    outputs = (TensorSpec("semi", "float16", (1, 65, 25, 40)), TensorSpec("desc", "float16", (1, 25, 40, 256)))
    write_oak_json(tmp_path / "model.json", outputs)
    fixed = {
        "output_entry_iteration_index": 0,
        "output_properties_dimensions": [0],
        "property_key_mapping": [],
        "output_properties_type": "f16",
    }
    assert json.loads((tmp_path / "model.json").read_text()) == {
        "tensors": [
            {"output_tensor_name": "semi", "output_dimensions": [1, 65, 25, 40], **fixed},
            {"output_tensor_name": "desc", "output_dimensions": [1, 25, 40, 256], **fixed},
        ]
    }
