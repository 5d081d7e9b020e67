from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from oakpoint.bundle.interface import Interface, TensorSpec, image_interface
from oakpoint.bundle.records import DeviceRecord, TaskRecord
from oakpoint.errors import BackendError, ConversionError, UsageError
from oakpoint.features.packed import unpacked
from oakpoint.features.types import DecodeOptions, HeatmapOutputs
from oakpoint.images.preprocess import Preprocess
from oakpoint.tasks.keypoints.heads.registry import HEADS, KeypointHeads
from oakpoint.tasks.keypoints.task import Keypoints, require_keypoints, superpoint_preprocess
from oakpoint.tasks.tensors.task import RawTensors

DECODE = DecodeOptions.preset("superpoint")
KEYPOINTS = Keypoints(decode=DECODE, descriptor_dim=16)
SIZE = (96, 64)


def interface(*outputs: tuple[str, tuple[Any, ...]]) -> Interface:
    specs = tuple(TensorSpec(name, "float32", shape) for name, shape in outputs)
    return image_interface("x", superpoint_preprocess(SIZE), specs)


CELLS = interface(("semi", ("N", 65, 8, 12)), ("desc", ("N", 16, 8, 12)))


@pytest.mark.parametrize(
    ("outputs", "family"),
    [
        ([("a", ("N", 65, 8, 12)), ("b", ("N", 8, 8, 12))], "cells"),
        ([("b", (4, 256, 8, 12)), ("a", (4, 65, 8, 12))], "cells"),
        ([("semi", (1, 65, 8, 12)), ("desc", (1, 65, 8, 12))], "cells"),  # by name, of 65 values both
        ([("more", (1, 3)), ("semi", (1, 65, 8, 12)), ("desc", (1, 16, 8, 12))], "cells"),
        ([("a", ("N", 8, 12, 65)), ("b", ("N", 8, 12, 16))], "cells_last"),
        ([("a", (1, 65, 8, 12)), ("b", (1, 1, 8, 12)), ("c", (1, 64, 8, 12))], "cells_reliability"),
        ([("a", (1, 1, 64, 96)), ("b", (1, 64, 64, 96))], "score_map"),
        ([("a", (1, 64, 96)), ("b", (1, 48, 16, 24))], "score_map"),
    ],
)
def test_families_are_told_by_shapes_in_any_order(outputs: list[Any], family: str) -> None:
    for order in (outputs, outputs[::-1]):
        found = Keypoints.recognised(interface(*order))
        assert found is not None
        assert found.family == family
        assert found.descriptor_dim is not None


@pytest.mark.parametrize(
    "outputs",
    [
        [("a", (1, 64, 8, 12)), ("b", (1, 8, 8, 12))],  # 64 channels are no cells with a dustbin
        [("a", (1, 65, 8, 12)), ("b", (1, 65, 8, 12))],  # which is which?
        [("a", (1, 65, 16, 24)), ("b", (1, 8, 16, 24))],  # at a quarter of the image
        [("a", (1, 65, 12, 8)), ("b", (1, 8, 12, 8))],  # the other way round
        [("a", (1, 65, 8, 12))],
        [("a", (1, 65, 8, 12)), ("b", (1, 4, 8, 12))],  # four values describe nothing
        [("a", (1, 65, 8, 12)), ("b", (1, 8, 8, 12)), ("c", (1, 8, 8, 12))],
        [("a", (1, 65)), ("b", (1, 256))],
        [("a", (1, 1, 64, 96)), ("b", (1, 64, 9, 12))],  # no whole stride
        [("a", (1, 1, 64, 96)), ("b", (1, 64, 8, 24))],  # two strides
        [],
    ],
)
def test_what_is_no_keypoint_network(outputs: list[Any]) -> None:
    assert Keypoints.recognised(interface(*outputs)) is None


@pytest.mark.parametrize("size", [(100, 66), (97, 64), (96, 71)])
@pytest.mark.parametrize("rounded", [np.floor, np.ceil])
@pytest.mark.parametrize(
    ("channels", "last"), [((65, 16), False), ((65, 16), True), ((65, 1, 16), False)], ids=["cells", "last", "xfeat"]
)
def test_a_size_that_is_no_whole_number_of_cells_makes_no_other_network_of_it(
    size: tuple[int, int], rounded: Any, channels: tuple[int, ...], last: bool
) -> None:
    """It is told as a size that cannot be, and not taken in silence as a network that gives tensors."""
    columns, rows = (int(rounded(side / 8)) for side in size)
    shapes = [(1, rows, columns, c) if last else (1, c, rows, columns) for c in channels]
    specs = tuple(TensorSpec(f"o{n}", "float32", shape) for n, shape in enumerate(shapes))
    preprocess = Preprocess(size=size, resize="stretch", interpolation="area")
    task = Keypoints.recognised(image_interface("x", preprocess, specs))
    assert task is not None
    with pytest.raises(UsageError, match="size: expected positive multiples of 8, got"):
        task.require_size(size)


def test_an_unknown_family_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"family: expected one of cells, .*score_map, got 'moon'"):
        Keypoints(decode=DECODE, family="moon")


def test_parameters_are_read_and_checked() -> None:
    record = KEYPOINTS.record()
    assert record.parameters["decode"]["threshold"] == DECODE.threshold
    earlier = TaskRecord(name="keypoints", parameters={"decode": record.parameters["decode"], "descriptor_dim": 16})
    assert Keypoints.from_record(earlier) == KEYPOINTS, "what schema 1 knew"
    with pytest.raises(UsageError, match=r"task keypoints: decode\.surprise: "):
        Keypoints.from_record(replace(record, parameters={"decode": {**record.parameters["decode"], "surprise": 1}}))


def test_changes_are_those_of_decoding() -> None:
    changed = KEYPOINTS.with_changes(threshold=0.5, max_keypoints=7)
    assert changed.decode == DECODE.with_changes(threshold=0.5, max_keypoints=7)
    assert replace(changed, decode=DECODE) == KEYPOINTS
    with pytest.raises(UsageError, match="threshold"):
        KEYPOINTS.with_changes(threshold=7.0)


@pytest.mark.parametrize(("producer", "activated"), [("Sigmoid", True), ("Softmax", True), ("Conv", False)])
def test_whether_a_score_map_holds_probabilities_is_told_by_what_computes_it(producer: str, activated: bool) -> None:
    task = Keypoints(decode=DECODE, family="score_map")
    told = interface(("scores", (1, 1, 64, 96)), ("descriptors", (1, 32, 16, 24)))
    found = task.with_interface(told, {"scores": producer, "descriptors": "Conv"})
    assert (found.activated, found.descriptor_dim) == (activated, 32)
    scores = np.full((1, 1, 64, 96), 0.5, np.float32)
    outputs = found.outputs({"scores": scores, "descriptors": np.ones((1, 32, 16, 24), np.float32)})
    assert isinstance(outputs, HeatmapOutputs)
    np.testing.assert_allclose(outputs.heatmap, 0.5 if activated else 1 / (1 + np.exp(-0.5)))
    assert (outputs.image_size, outputs.stride_px) == (SIZE, 4)


def test_reliability_weighs_the_scores_of_its_cell() -> None:
    task = Keypoints(decode=DECODE, family="cells_reliability")
    logits = np.zeros((1, 65, 8, 12), np.float32)
    trust = np.zeros((1, 1, 8, 12), np.float32)
    trust[0, 0, 4, 6] = 1.0
    descriptors = np.ones((1, 8, 8, 12), np.float32)
    tensors = {"keypoint_logits": logits, "reliability": trust, "descriptors": descriptors}
    heat = task.outputs(tensors).heatmap  # type: ignore[union-attr]
    assert np.unravel_index(heat.argmax(), heat.shape)[0] // 8 == 4
    assert heat.max() == pytest.approx(1 / 65, rel=0.15)
    assert heat[:16].max() == 0


@pytest.mark.parametrize("heads", HEADS)
def test_each_head_has_its_rewrite(heads: str) -> None:
    (rewrite,) = KEYPOINTS.device_rewrites(DeviceRecord(heads=heads), CELLS)
    assert isinstance(rewrite, KeypointHeads)


@pytest.mark.parametrize("family", ["cells_last", "cells_reliability", "score_map"])
def test_other_families_are_left_as_they_are(family: str) -> None:
    task = Keypoints(decode=DECODE, family=family)
    assert task.device_rewrites(DeviceRecord(), CELLS) == ()
    with pytest.raises(UsageError, match="heads: expected one of dense for a network of this form, got 'packed'"):
        task.device_rewrites(DeviceRecord(heads="packed"), CELLS)


def test_what_was_measured_and_is_not_known() -> None:
    with pytest.raises(UsageError, match="heads normalised: nothing is known of what was measured for them, moon"):
        KEYPOINTS.device_rewrites(DeviceRecord(heads="normalised", measured={"moon": 1}), CELLS)


def test_a_grid_for_another_image_is_refused() -> None:
    tensors = {"semi": np.zeros((1, 65, 8, 12), np.float32), "desc": np.ones((1, 16, 8, 12), np.float32)}
    KEYPOINTS.check("mine", tensors, SIZE)
    with pytest.raises(ConversionError, match="mine: expected outputs for images of 320x200, got a grid for 96x64"):
        KEYPOINTS.check("mine", tensors, (320, 200))
    with pytest.raises(BackendError, match="expected the outputs semi and desc, got semi"):
        KEYPOINTS.check("mine", {"semi": tensors["semi"]}, SIZE)


def test_packed_values_are_compared_as_what_they_stand_for(rng: np.random.Generator) -> None:
    packed = rng.integers(-(2**31), 2**31, (1, 16, 3, 5)).astype(np.int32)
    values = KEYPOINTS.values({"heatmap_packed": packed, "other": np.ones(3, np.float32)})
    np.testing.assert_array_equal(values["heatmap_packed"], unpacked(packed[0]))
    np.testing.assert_array_equal(values["other"], np.ones(3))


@pytest.mark.parametrize("subpixel", ["none", "soft_argmax"])
def test_an_archive_says_how_to_decode(subpixel: str) -> None:
    task = KEYPOINTS.with_changes(subpixel=subpixel)
    (head,) = task.archive_heads(CELLS.outputs, DeviceRecord(heads="rtabmap"))
    assert (head["name"], head["parser"], head["outputs"]) == ("keypoints", "Keypoints", ["semi", "desc"])
    assert head["metadata"]["heads"] == "rtabmap"
    assert head["metadata"]["subpixel"] == subpixel
    assert (head["metadata"]["cell_size_px"], head["metadata"]["nms_radius_px"]) == (8, 4)
    assert head["metadata"]["threshold"] == DECODE.threshold


def test_an_archive_says_of_a_score_map_that_it_is_one() -> None:
    task = replace(KEYPOINTS, family="score_map", activated=True)
    (head,) = task.archive_heads(CELLS.outputs, DeviceRecord(heads="dense"))
    assert (head["metadata"]["family"], head["metadata"]["activated"]) == ("score_map", True)
    assert "cell_size_px" not in head["metadata"]


@pytest.mark.parametrize(
    ("task", "size", "nearest"),
    [
        (KEYPOINTS, (321, 200), "320x200"),
        (KEYPOINTS, (3, 200), "8x200"),
        (replace(KEYPOINTS, multiple=32), (328, 200), "320x192"),
    ],
)
def test_sizes_are_multiples_of_what_the_network_asks_for(task: Keypoints, size: tuple[int, int], nearest: str) -> None:
    with pytest.raises(UsageError, match=f"positive multiples of {task.size_step_px}, .*; the nearest is {nearest}"):
        task.require_size(size)
    assert replace(KEYPOINTS, multiple=1).require_size((321, 199)) == (321, 199)


def test_where_keypoints_are_wanted() -> None:
    assert require_keypoints(KEYPOINTS, "mine", "run serves others") is KEYPOINTS
    with pytest.raises(UsageError, match="mine: expected a network with keypoints, got one for tensors; run serves"):
        require_keypoints(RawTensors(), "mine", "run serves others")


def test_descriptors_are_the_vectors_whose_norms_matter() -> None:
    (vectors,) = KEYPOINTS.vectors
    assert (vectors.output, vectors.axis, vectors.safe_heads) == ("desc", 1, "normalised")
    (last,) = replace(KEYPOINTS, family="cells_last").vectors
    assert (last.output, last.axis, last.safe_heads) == ("desc", -1, "")
    assert RawTensors().vectors == ()
