from __future__ import annotations

import json

import numpy as np
import pytest

from oakpoint.bundle.interface import Interface, TensorSpec, image_interface
from oakpoint.bundle.records import DeviceRecord, TaskRecord
from oakpoint.errors import UsageError
from oakpoint.geometry import PixelMap
from oakpoint.images.preprocess import Preprocess
from oakpoint.tasks.tensors.task import RawTensors, TensorsFound

PREPROCESS = Preprocess(size=(30, 20), resize="stretch", interpolation="area")
INTERFACE = image_interface("x", PREPROCESS, (TensorSpec("y", "float32", (1, 10)),))


@pytest.mark.parametrize("interface", [INTERFACE, Interface(inputs=INTERFACE.inputs), image_interface("x", PREPROCESS)])
def test_every_network_is_one(interface: Interface) -> None:
    assert RawTensors.recognised(interface) == RawTensors()


def test_what_was_found_are_the_tensors() -> None:
    tensors = {"y": np.arange(6, dtype=np.float32).reshape(1, 6), "z": np.zeros((1, 2, 3), np.int32)}
    found = RawTensors().read(tensors)
    assert found.tensors is tensors
    assert found.figure() == "y 1x6, z 1x2x3"
    assert found.facts() == {
        "y": {"shape": [1, 6], "min": 0.0, "mean": 2.5, "max": 5.0, "not_finite": 0},
        "z": {"shape": [1, 2, 3], "min": 0.0, "mean": 0.0, "max": 0.0, "not_finite": 0},
    }


def test_what_is_no_number_is_counted_and_left_out() -> None:
    array = np.array([[1.0, np.nan, 3.0, np.inf]], np.float32)
    assert TensorsFound({"y": array}).facts()["y"] == {
        "shape": [1, 4], "min": 1.0, "mean": 2.0, "max": 3.0, "not_finite": 2
    }  # fmt: skip
    nothing = TensorsFound({"y": np.zeros((0, 4))}).facts()["y"]
    assert nothing == {"shape": [0, 4], "min": None, "mean": None, "max": None, "not_finite": 0}


@pytest.mark.parametrize("array", [np.zeros((0, 4)), np.full((1, 3), np.nan), np.full((2,), np.inf), np.float32(3)])
def test_facts_are_json_whatever_the_values(array: np.ndarray) -> None:
    facts = TensorsFound({"y": np.asarray(array)}).facts()
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_tensors_have_no_place_in_the_image() -> None:
    found = TensorsFound({"y": np.ones(3)})
    assert RawTensors().in_frame(found, PixelMap((2.0, 2.0), (0.0, 0.0)), (60, 40)) is found


def test_any_size_is_taken_and_names_stay() -> None:
    assert RawTensors().require_size((31, 17)) == (31, 17)
    assert RawTensors().chain_names(INTERFACE) == {}
    assert RawTensors().with_interface(INTERFACE, {}) == RawTensors()


def test_outputs_stay_as_they_are() -> None:
    task = RawTensors()
    assert task.device_rewrites(DeviceRecord(), INTERFACE) == ()
    assert task.archive_heads(INTERFACE.outputs, DeviceRecord()) == []
    with pytest.raises(UsageError, match="heads: expected one of dense for tensors, got 'packed'"):
        task.device_rewrites(DeviceRecord(heads="packed"), INTERFACE)


def test_a_parameter_asks_for_the_task() -> None:
    assert RawTensors().with_changes(labels=None) == RawTensors()
    with pytest.raises(UsageError, match=r"labels: means nothing here, .* --task keypoints, boxes, classes or mask"):
        RawTensors().with_changes(threshold=None, labels=("a",))


def test_probabilities_are_known_by_their_operators_and_stand_in_the_manifest() -> None:
    task = RawTensors().with_interface(INTERFACE, {"y": "Sigmoid", "z": "Conv", "w": "Softmax"})
    assert task.probabilities == ("y", "w")
    assert RawTensors.from_record(task.record()) == task
    assert task.comparison("onnx → ir").probabilities == {"y", "w"}
    assert RawTensors().record().parameters == {}
    with pytest.raises(UsageError, match="task tensors: threshold"):
        RawTensors.from_record(TaskRecord(name="tensors", parameters={"threshold": 0.5}))
