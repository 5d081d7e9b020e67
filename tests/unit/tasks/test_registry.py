from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from oakpoint.bundle.folder import Bundle
from oakpoint.bundle.interface import Input, Interface, TensorSpec, image_interface
from oakpoint.bundle.manifest import Manifest
from oakpoint.bundle.records import DeviceRecord, TaskRecord, WeightsRecord
from oakpoint.errors import BundleError, UsageError
from oakpoint.features.types import DecodeOptions
from oakpoint.tasks.base import AS_THEY_ARE
from oakpoint.tasks.keypoints.task import Keypoints, superpoint_preprocess
from oakpoint.tasks.registry import ALL_HEADS, TASKS, recognised_task, task_of, task_of_bundle
from oakpoint.tasks.tensors.task import RawTensors


def interface(*outputs: tuple[str, tuple[int | str, ...]]) -> Interface:
    specs = tuple(TensorSpec(name, "float32", shape) for name, shape in outputs)
    return image_interface("x", superpoint_preprocess((96, 64)), specs)


KEYPOINTS = interface(("semi", ("N", 65, 8, 12)), ("desc", ("N", 16, 8, 12)))
OTHER = interface(("features", ("N", 512)))


def test_tasks_stand_under_their_names_and_the_last_takes_whatever_comes() -> None:
    assert all(task.name == name for name, task in TASKS.items())
    assert list(TASKS)[-1] == "tensors"
    assert set(ALL_HEADS) == {heads for task in TASKS.values() for heads in task.heads}
    assert ALL_HEADS[0] == AS_THEY_ARE


def test_the_first_task_that_recognises_a_network_takes_it() -> None:
    assert isinstance(recognised_task(KEYPOINTS), Keypoints)
    assert isinstance(recognised_task(OTHER), RawTensors)
    assert isinstance(recognised_task(interface()), RawTensors)


def test_a_task_that_was_said() -> None:
    assert isinstance(recognised_task(KEYPOINTS, "tensors"), RawTensors)
    assert isinstance(recognised_task(KEYPOINTS, "keypoints"), Keypoints)
    with pytest.raises(UsageError, match=r"task: the network's outputs are not those of keypoints: features \("):
        recognised_task(OTHER, "keypoints")
    with pytest.raises(UsageError, match=r"task: expected one of keypoints, .*tensors, got 'moon'"):
        recognised_task(OTHER, "moon")


def test_an_unknown_task_of_a_manifest() -> None:
    with pytest.raises(UsageError, match=r"task: expected one of .*, got 'moon'; a newer oakpoint reads it"):
        task_of(TaskRecord(name="moon", parameters={}))


PREPROCESS = superpoint_preprocess((96, 64))
MANIFEST = Manifest(
    oakpoint_version="0.1.0",
    network="mine",
    weights=WeightsRecord(file=None, sha256=None, name="unknown", licence="unknown", origin="unknown"),
    task=Keypoints(decode=DecodeOptions.preset("superpoint"), descriptor_dim=16).record(),
    interface=KEYPOINTS,
    device=DeviceRecord(),
    artifacts=(),
    verdicts={},
)


def bundle(**changes: object) -> Bundle:
    return Bundle(Path("folder"), replace(MANIFEST, **changes))  # type: ignore[arg-type]


def test_the_task_of_a_bundle() -> None:
    task = task_of_bundle(bundle())
    assert isinstance(task, Keypoints)
    assert task.record() == MANIFEST.task


def parameters(change: Callable[[dict[str, object]], object]) -> TaskRecord:
    record = Keypoints(decode=DecodeOptions.preset("superpoint")).record()
    change(record.parameters)
    return record


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"task": TaskRecord(name="moon", parameters={})}, "task: expected one of .*, got 'moon'"),
        ({"task": parameters(lambda p: p.pop("decode"))}, "task keypoints: decode: "),
        ({"task": parameters(lambda p: p["decode"].update(threshold=7.0))}, "threshold: expected a probability"),
        ({"task": parameters(lambda p: p["decode"].update(subpixel="cubic"))}, "decode.subpixel: |subpixel: expected"),
        ({"task": parameters(lambda p: p["decode"].update(surprise=1))}, "decode.surprise: "),
        ({"task": parameters(lambda p: p.update(surprise=1))}, "surprise: "),
        ({"task": parameters(lambda p: p.update(family="moon"))}, "family: expected one of cells, .*, got 'moon'"),
        ({"task": parameters(lambda p: p.update(descriptor_dim="many"))}, "descriptor_dim: "),
        ({"device": DeviceRecord(heads="moon")}, "heads: expected one of dense, .*, got 'moon'"),
        ({"device": DeviceRecord(heads="normalised", measured={"moon": 1})}, "heads normalised: .*measured.*moon"),
        (
            {"task": TaskRecord(name="tensors", parameters={}), "device": DeviceRecord(heads="packed")},
            "heads: expected",
        ),
    ],
)
def test_a_manifest_that_tells_of_what_is_not_there(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(BundleError, match=rf"folder/manifest\.json: not a valid manifest: .*({problem})") as caught:
        task_of_bundle(bundle(**changes))
    assert "\n" not in str(caught.value)


def test_a_network_without_an_image_finds_tensors_whatever_its_outputs_look_like() -> None:
    blind = replace(KEYPOINTS, inputs=(Input(tensor=TensorSpec("x", "float32", (1, 4, 64, 96))),))
    assert isinstance(recognised_task(blind), RawTensors)
    assert isinstance(recognised_task(blind, "tensors"), RawTensors)
    with pytest.raises(UsageError, match="keypoints is what is found in an image, and the network takes none"):
        recognised_task(blind, "keypoints")


def test_heads_of_the_device_are_keypoints_by_their_names() -> None:
    heads = interface(("heatmap_packed", (1, 64, 24)), ("descriptors_packed", (1, 8, 12, 4)))
    assert not isinstance(recognised_task(heads), Keypoints)
    assert isinstance(recognised_task(heads, on_device=True), Keypoints)
    assert isinstance(recognised_task(heads, "keypoints", on_device=True), Keypoints)
    with pytest.raises(UsageError, match="not those of keypoints"):
        recognised_task(heads, "keypoints")
