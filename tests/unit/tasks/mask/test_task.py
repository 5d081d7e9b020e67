from __future__ import annotations

import numpy as np
import pytest

from oakpoint.bundle.interface import TensorSpec, image_interface
from oakpoint.bundle.records import DeviceRecord
from oakpoint.errors import BackendError, UsageError
from oakpoint.images.preprocess import Preprocess, Resize
from oakpoint.tasks.mask.result import NOT_SEEN, Mask
from oakpoint.tasks.mask.task import MaskTask
from oakpoint.tasks.registry import recognised_task, task_of

PREPROCESS = Preprocess(size=(64, 48), resize="stretch", interpolation="area", colour="rgb")


def interface(*shapes: tuple[int | str, ...]):  # type: ignore[no-untyped-def]
    outputs = tuple(TensorSpec(f"y{i}", "float32", shape) for i, shape in enumerate(shapes))
    return image_interface("x", PREPROCESS, outputs)


@pytest.mark.parametrize("shape", [("N", 2, 48, 64), (1, 21, 48, 64), (1, 150, 48, 64)])
def test_classes_for_every_pixel_are_a_mask(shape: tuple[int | str, ...]) -> None:
    assert recognised_task(interface(shape)).name == "mask"


@pytest.mark.parametrize(
    "shapes",
    [
        ((1, 1, 48, 64),),  # a depth, as likely
        ((1, 3, 48, 64),),  # an image
        ((1, 64, 6, 8),),  # features
        ((1, 17, 12, 16),),  # heat maps of a body's points
        ((1, 21, 48, 48),),
        ((1, 21, 96, 128),),
        ((1, 2, 48, 64), (1, 2, 48, 64)),
        ((1, 21, "H", "W"),),
    ],
)
def test_what_could_be_something_else_is_left_alone(shapes: tuple[tuple[int | str, ...], ...]) -> None:
    assert recognised_task(interface(*shapes)).name == "tensors"


@pytest.mark.parametrize(
    ("shape", "channels", "stride"), [((1, 1, 48, 64), 1, 1), ((1, 19, 6, 8), 19, 8), ((1, 3, 12, 16), 3, 4)]
)
def test_it_can_be_said_that_an_output_is_a_mask(shape: tuple[int, ...], channels: int, stride: int) -> None:
    task = recognised_task(interface(shape), "mask")
    assert isinstance(task, MaskTask)
    assert (task.channels, task.stride) == (channels, stride)


def test_the_largest_class_is_a_pixels_and_the_first_of_equal_ones() -> None:
    values = np.zeros((1, 3, 1, 4), np.float32)
    values[0, :, 0] = [[1, 0, 5, 2], [0, 3, 5, 2], [0, 0, 4, 3]]
    assert MaskTask(channels=3).read({"y": values}).classes.tolist() == [[0, 1, 0, 2]]


def test_one_channel_is_a_probability_or_a_logit() -> None:
    probabilities, logits = np.float32([[[[0.2, 0.5, 0.9]]]]), np.float32([[[[-1.0, 0.0, 2.0]]]])
    for activation, values in (
        ("found", probabilities),
        ("none", probabilities),
        ("found", logits),
        ("sigmoid", logits),
    ):
        assert MaskTask(channels=1, activation=activation).read({"y": values}).classes.tolist() == [[0, 1, 1]]
    strict = MaskTask(channels=1, activation="sigmoid", threshold=0.8)
    assert strict.read({"y": np.float32([[[[1.0, 1.4, 2.0]]]])}).classes.tolist() == [[0, 1, 1]], "logit of 0.8: 1.386"


@pytest.mark.parametrize(
    ("operator", "activation"), [("Sigmoid", "none"), ("HardSigmoid", "none"), ("Conv", "sigmoid")]
)
def test_the_last_operator_decides(operator: str, activation: str) -> None:
    assert MaskTask(channels=1).with_operators({"y": operator}).activation == activation


def placed(resize: Resize, stride: int, image_size: tuple[int, int], size: tuple[int, int] = (64, 32)) -> np.ndarray:
    """A mask whose left half is 0 and whose right half is 1, on an image of another size."""
    preprocess = Preprocess(size=size, resize=resize, interpolation="area", colour="rgb")
    task = MaskTask(channels=2, stride=stride)
    columns = size[0] // stride
    classes = np.tile((np.arange(columns) >= columns // 2).astype(np.int16), (size[1] // stride, 1))
    return task.in_frame(Mask(classes), preprocess.original_from_tensor(image_size), image_size).classes


@pytest.mark.parametrize("stride", [1, 4, 8])
def test_a_stretched_image_gets_a_class_for_each_pixel(stride: int) -> None:
    classes = placed("stretch", stride, (200, 90))
    assert classes.shape == (90, 200)
    assert classes.dtype == np.int16
    np.testing.assert_array_equal(classes, np.tile(np.arange(200) >= 100, (90, 1)))


def test_a_letterboxes_borders_are_no_part_of_the_image() -> None:
    classes = placed("letterbox", 1, (40, 40))  # 32 of 64 columns are the image
    np.testing.assert_array_equal(classes, np.tile(np.arange(40) >= 20, (40, 1)))


def test_what_a_crop_leaves_out_was_not_seen() -> None:
    classes = placed("crop", 1, (100, 100))  # the middle 50 rows
    seen = np.zeros((100, 1), np.bool_)
    seen[25:75] = True
    np.testing.assert_array_equal(classes, np.where(seen, np.arange(100) >= 50, NOT_SEEN))


def test_facts_count_pixels_and_keep_every_one() -> None:
    mask = Mask(np.int16([[0, 0, 2], [2, 2, -1]]), ("sky", "sea", "sand"))
    facts = mask.facts()
    assert facts["size"] == [3, 2]
    assert facts["classes"] == [
        {"class": 0, "label": "sky", "pixels": 2},
        {"class": 2, "label": "sand", "pixels": 3},
    ]
    rebuilt = np.concatenate([np.full(length, index) for index, length in facts["runs"]])
    np.testing.assert_array_equal(rebuilt.reshape(2, 3), mask.classes)
    assert mask.figure() == "sand 60%, sky 40%"
    assert Mask(np.full((2, 2), NOT_SEEN, np.int16)).figure() == "nothing"


@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (2, 4, 4), (2, 2, 4, 4)])
def test_other_outputs(shape: tuple[int, ...]) -> None:
    with pytest.raises(BackendError, match=r"expected one output \(1, 2, rows, columns\), got y"):
        MaskTask(channels=2).read({"y": np.zeros(shape, np.float32)})


def test_a_manifest_keeps_everything() -> None:
    task = MaskTask(channels=1, stride=4, activation="none", threshold=0.3, labels=("road", "other"))
    assert task_of(task.record()) == task


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ("a",)}, "expected 2, one for each class"),
        ({"threshold": 1.0}, "threshold: expected a probability between 0 and 1"),
        ({"max_keypoints": 3}, "max_keypoints: means nothing for a network for mask"),
    ],
)
def test_changes_that_cannot_be_meant(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        MaskTask(channels=1).with_changes(**changes)


def test_the_archive_tells_the_segmentation_parser() -> None:
    outputs = (TensorSpec("y", "float16", (1, 2, 48, 64)),)
    (head,) = MaskTask(channels=2, labels=("sky", "sea")).archive_heads(outputs, DeviceRecord())
    assert (head["parser"], head["outputs"]) == ("SegmentationParser", ["y"])
    assert head["metadata"] == {"classes": ["sky", "sea"], "n_classes": 2, "is_softmax": False}
    (one,) = MaskTask(channels=1, activation="sigmoid").archive_heads(outputs, DeviceRecord())
    assert one["metadata"]["conf_threshold"] == 0.0, "a logit"
    assert MaskTask(channels=1).archive_heads(outputs, DeviceRecord()) == []
