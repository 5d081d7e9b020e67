from __future__ import annotations

import numpy as np
import pytest

from oakpoint.bundle.interface import TensorSpec, image_interface
from oakpoint.bundle.records import DeviceRecord, TaskRecord
from oakpoint.errors import BackendError, UsageError
from oakpoint.geometry import PixelMap
from oakpoint.images.preprocess import Preprocess
from oakpoint.tasks.classes.task import ClassesTask
from oakpoint.tasks.registry import recognised_task, task_of

PREPROCESS = Preprocess(size=(64, 48), resize="stretch", interpolation="area", colour="rgb")


def named(*shapes: tuple[int | str, ...]) -> str:
    outputs = tuple(TensorSpec(f"y{i}", "float32", shape) for i, shape in enumerate(shapes))
    return recognised_task(image_interface("x", PREPROCESS, outputs)).name


@pytest.mark.parametrize("shape", [("N", 2), (1, 1000), (1, 1001), (1, 10, 1, 1), (1, 32), (1, 525)])
def test_a_list_of_values_is_one_of_classes(shape: tuple[int | str, ...]) -> None:
    assert named(shape) == "classes"


@pytest.mark.parametrize(
    "shapes",
    [
        ((1, 1),),  # one value: a regression
        ((1, 512),),
        ((1, 128),),  # embeddings
        ((1, 2048, 1, 1),),
        ((1, 10, 2, 2),),
        ((10,),),
        ((1, 10), (1, 10)),
        ((1, "M"),),
    ],
)
def test_what_could_be_something_else_is_left_alone(shapes: tuple[tuple[int | str, ...], ...]) -> None:
    assert named(*shapes) == "tensors"


def test_it_can_be_said_that_a_vector_is_one_of_classes() -> None:
    given = image_interface("x", PREPROCESS, (TensorSpec("y", "float32", (1, 512)),))
    task = recognised_task(given, "classes")
    assert isinstance(task, ClassesTask)
    assert task.classes == 512
    with pytest.raises(UsageError, match="classes has no forms, got classes:softmax"):
        recognised_task(given, "classes:softmax")


def test_logits_become_probabilities_and_probabilities_stay() -> None:
    logits = np.float32([[1.0, 3.0, 2.0, -1e4]])
    expected = np.exp([1.0, 3.0, 2.0]) / np.exp([1.0, 3.0, 2.0]).sum()
    found = ClassesTask(classes=4, top=3).read({"y": logits})
    np.testing.assert_array_equal(found.indices, [1, 2, 0])
    np.testing.assert_allclose(found.probabilities, expected[[1, 2, 0]], rtol=1e-6)
    again = ClassesTask(classes=4).read({"y": np.float32([[*expected, 0.0]])})
    np.testing.assert_allclose(again.probabilities[:3], expected[[1, 2, 0]], rtol=1e-6)


def test_large_logits_do_not_overflow() -> None:
    found = ClassesTask(classes=2, activation="softmax").read({"y": np.float32([[6e4, 0.0]])})
    assert found.probabilities.tolist() == [1.0, 0.0]


@pytest.mark.parametrize(("operator", "activation"), [("Softmax", "none"), ("Gemm", "softmax"), ("Add", "softmax")])
def test_the_last_operator_decides(operator: str, activation: str) -> None:
    task = ClassesTask(classes=3).with_operators({"y": operator})
    assert task.activation == activation
    said = ClassesTask(classes=3, activation="none").with_operators({"y": "Gemm"})
    assert said.activation == "none", "what a user said stays"


def test_equal_values_keep_their_order() -> None:
    assert ClassesTask(classes=4).read({"y": np.zeros((1, 4), np.float32)}).indices.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("tensors", [{"y": np.zeros((1, 5))}, {}, {"y": np.zeros((1, 4)), "z": np.zeros((1, 4))}])
def test_other_outputs(tensors: dict[str, np.ndarray]) -> None:
    with pytest.raises(BackendError, match="expected one output with 4 classes, got"):
        ClassesTask(classes=4).read(tensors)


def test_facts_have_labels_and_numbers() -> None:
    task = ClassesTask(classes=2, labels=("cat", "dog"), top=1)
    found = task.in_frame(task.read({"y": np.float32([[0.25, 0.75]])}), PixelMap((1, 1), (0, 0)), (9, 9))
    assert found.facts() == {"classes": [{"class": 1, "label": "dog", "probability": 0.75}]}
    assert found.figure() == "dog 75%"
    bare = ClassesTask(classes=2).read({"y": np.float32([[0.25, 0.75]])})
    assert bare.facts()["classes"][0]["label"] is None
    assert bare.figure() == "class 1 75%"


def test_a_manifest_keeps_everything() -> None:
    task = ClassesTask(classes=2, labels=("cat", "dog"), top=1, activation="softmax")
    assert task_of(task.record()) == task
    with pytest.raises(UsageError, match="task classes: moon"):
        task_of(TaskRecord(name="classes", parameters={"classes": 2, "moon": 1}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ("a",)}, "expected 2, one for each class"),
        ({"top": 0}, "top: expected 1"),
        ({"activation": "relu"}, "activation: expected one of found, softmax, none"),
        ({"threshold": 0.5}, "threshold: means nothing for a network for classes; its parameters are: activation, top"),
        ({"classes": 3}, "classes: means nothing"),
    ],
)
def test_changes_that_cannot_be_meant(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ClassesTask(classes=2).with_changes(**changes)
    assert ClassesTask(classes=2).with_changes(threshold=None) == ClassesTask(classes=2)


def test_the_archive_tells_the_parser_of_depthai_nodes() -> None:
    outputs = (TensorSpec("y", "float16", (1, 2)),)
    task = ClassesTask(classes=2, labels=("cat", "dog"), activation="softmax")
    (head,) = task.archive_heads(outputs, DeviceRecord())
    assert (head["parser"], head["outputs"]) == ("ClassificationParser", ["y"])
    assert head["metadata"] == {"classes": ["cat", "dog"], "n_classes": 2, "is_softmax": False}
    assert ClassesTask(classes=2).archive_heads(outputs, DeviceRecord()) == [], "nobody knows whether it is logits"
