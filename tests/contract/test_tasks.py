"""What holds for every task: it survives its record, compares what it reads, and keeps its hands off other networks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from pydantic import TypeAdapter

from oakpoint.backends.base import Backend, Tensors
from oakpoint.bundle.interface import Input, Interface, TensorSpec, image_interface
from oakpoint.bundle.records import DeviceRecord, StageReport, TaskRecord, Verdict
from oakpoint.convert.rewrites.base import apply_all
from oakpoint.errors import BackendError, OakpointError, UsageError
from oakpoint.features.types import DecodeOptions
from oakpoint.geometry import PixelMap
from oakpoint.images.preprocess import Preprocess
from oakpoint.tasks.base import AS_THEY_ARE, Task
from oakpoint.tasks.boxes.layouts.registry import LAYOUTS
from oakpoint.tasks.boxes.task import BoxesTask
from oakpoint.tasks.classes.task import ClassesTask
from oakpoint.tasks.keypoints.families.registry import FAMILIES
from oakpoint.tasks.keypoints.task import Keypoints
from oakpoint.tasks.mask.task import MaskTask
from oakpoint.tasks.registry import TASKS, recognised_task, task_of
from oakpoint.tasks.tensors.task import RawTensors
from oakpoint.verify.stages import verify_stage
from oakpoint.verify.tolerances import BLOB_STAGE, FINITE, FUSED_STAGE, INT8_STAGE, ONNX_STAGE, STAGE_TOLERANCES

ROUNDING_STAGES = [stage for stage in STAGE_TOLERANCES if stage not in (INT8_STAGE, FUSED_STAGE)]
SIZE = (96, 64)
ROWS, COLUMNS = 8, 12
Array = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """A network of one task.

    Attributes:
        task: as it is recognised.
        outputs: shapes by the names that the network itself gives them.
        tensors: outputs for one image that give something to compare, under the chain's names.
        said: what the user has to say for it, where others look the same; None where it is found out.
    """

    task: Task[Any]
    outputs: dict[str, tuple[int | str, ...]]
    tensors: Callable[[np.random.Generator], Tensors]
    said: str | None = None

    @property
    def interface(self) -> Interface:
        specs = tuple(TensorSpec(name, "float32", shape) for name, shape in self.outputs.items())
        return image_interface("picture", Preprocess(size=SIZE, resize="stretch", interpolation="area"), specs)


def logits(rng: np.random.Generator) -> Array:
    """Cells of which one in four has a keypoint that stands out."""
    values = rng.normal(0, 0.3, (1, 65, ROWS, COLUMNS))
    values[:, 64] += 8
    for row, column in np.argwhere(rng.random((ROWS, COLUMNS)) < 0.25):
        values[0, rng.integers(64), row, column] = rng.uniform(8, 12)
    return values.astype(np.float32)


def normal(*shape: int) -> Callable[[np.random.Generator], Array]:
    return lambda rng: rng.normal(size=shape).astype(np.float32)


def cells(rng: np.random.Generator) -> Tensors:
    return {"semi": logits(rng), "desc": normal(1, 16, ROWS, COLUMNS)(rng)}


def cells_last(rng: np.random.Generator) -> Tensors:
    return {name: np.moveaxis(array, 1, -1) for name, array in cells(rng).items()}


def reliability(rng: np.random.Generator) -> Tensors:
    trust = rng.uniform(0.5, 1, (1, 1, ROWS, COLUMNS)).astype(np.float32)
    return {"keypoint_logits": logits(rng), "reliability": trust, "descriptors": normal(1, 16, ROWS, COLUMNS)(rng)}


def score_map(rng: np.random.Generator) -> Tensors:
    scores = np.full((1, 1, SIZE[1], SIZE[0]), -9.0, np.float32)
    for row, column in rng.integers(8, 56, (12, 2)):
        scores[0, 0, row, column] = rng.uniform(1, 4)
    return {"scores": scores, "descriptors": normal(1, 16, 2 * ROWS, 2 * COLUMNS)(rng)}


def keypoints(family: str, dim: int = 16) -> Keypoints:
    decode = DecodeOptions.preset(FAMILIES[family].decode_preset)
    return Keypoints(decode=decode, descriptor_dim=dim, family=family)


CLASSES, BOXES = 4, 3
CELLS = 12 * 8 + 6 * 4 + 3 * 2
"""Of maps at strides 8, 16 and 32."""


def box_list(of_a_cell: int, *, objectness: bool) -> Callable[[np.random.Generator], Array]:
    """(A, 4 [+ 1] + C) of centres and sizes in pixels and probabilities, one box in ten likely."""

    def make(rng: np.random.Generator) -> Array:
        count = of_a_cell * CELLS
        box = np.concatenate([rng.uniform(0, 1, (count, 2)) * SIZE, rng.uniform(8, 40, (count, 2))], axis=1)
        scores = rng.uniform(0, 0.05, (count, CLASSES)) + 0.9 * (rng.random((count, 1)) < 0.1)
        sure = np.full((count, 1), 0.98)
        return np.concatenate([box, sure, scores] if objectness else [box, scores], axis=1).astype(np.float32)

    return make


def on_grid(rng: np.random.Generator) -> Array:
    """The same as offsets from cells and logarithms of sizes."""
    values = box_list(1, objectness=True)(rng)
    values[:, :2], values[:, 2:4] = rng.uniform(0, 1, (CELLS, 2)), rng.uniform(-0.5, 1.0, (CELLS, 2))
    return values


def maps(rng: np.random.Generator) -> Tensors:
    found = {}
    for name, stride in (("a", 8), ("b", 16), ("c", 32)):
        values = rng.normal(0, 1, (1, BOXES, 5 + CLASSES, SIZE[1] // stride, SIZE[0] // stride))
        values[:, :, 4:] -= 1.5
        found[name] = values.reshape(1, -1, *values.shape[3:]).astype(np.float32)
    return found


def boxes(layout: str) -> BoxesTask:
    threshold, iou_threshold, most = LAYOUTS[layout].preset
    return BoxesTask(
        layout=layout, classes=CLASSES, strides=(8, 16, 32), size=SIZE, threshold=threshold,
        iou_threshold=iou_threshold, max_boxes=most,
    )  # fmt: skip


def sharp(*shape: int, factor: float = 4.0) -> Callable[[np.random.Generator], Array]:
    return lambda rng: (factor * rng.normal(size=shape)).astype(np.float32)


CASES: dict[str, Case] = {
    "keypoints, cells": Case(keypoints("cells"), {"a": ("N", 16, ROWS, COLUMNS), "b": ("N", 65, ROWS, COLUMNS)}, cells),
    "keypoints, cells_last": Case(
        keypoints("cells_last"), {"a": ("N", ROWS, COLUMNS, 65), "b": ("N", ROWS, COLUMNS, 16)}, cells_last
    ),
    "keypoints, cells_reliability": Case(
        keypoints("cells_reliability"),
        {"a": (1, 1, ROWS, COLUMNS), "b": (1, 65, ROWS, COLUMNS), "c": (1, 16, ROWS, COLUMNS)},
        reliability,
    ),
    "keypoints, score_map": Case(
        keypoints("score_map"), {"a": (1, 1, 64, 96), "b": (1, 16, 2 * ROWS, 2 * COLUMNS)}, score_map
    ),
    "classes": Case(ClassesTask(classes=10), {"a": ("N", 10)}, lambda rng: {"a": sharp(1, 10)(rng)}),
    "classes, as a map": Case(
        ClassesTask(classes=10), {"a": (1, 10, 1, 1)}, lambda rng: {"a": sharp(1, 10, 1, 1)(rng)}
    ),
    "classes, as many as an embedding's values": Case(
        ClassesTask(classes=128), {"a": (1, 128)}, lambda rng: {"a": sharp(1, 128)(rng)}, said="classes"
    ),
    "mask": Case(
        MaskTask(channels=5), {"a": ("N", 5, SIZE[1], SIZE[0])}, lambda rng: {"a": sharp(1, 5, SIZE[1], SIZE[0])(rng)}
    ),
    "mask of one channel": Case(
        MaskTask(channels=1, stride=4),
        {"a": (1, 1, SIZE[1] // 4, SIZE[0] // 4)},
        lambda rng: {"a": sharp(1, 1, SIZE[1] // 4, SIZE[0] // 4)(rng)},
        said="mask",
    ),
    "boxes, yolov8": Case(
        boxes("yolov8"),
        {"a": (1, 4 + CLASSES, CELLS)},
        lambda rng: {"a": np.ascontiguousarray(box_list(1, objectness=False)(rng).T[None])},
    ),
    "boxes, yolov5": Case(
        boxes("yolov5"),
        {"a": (1, BOXES * CELLS, 5 + CLASSES)},
        lambda rng: {"a": box_list(BOXES, objectness=True)(rng)[None]},
    ),
    "boxes, yolov5-maps": Case(
        boxes("yolov5-maps"),
        {"a": (1, 27, 8, 12), "b": (1, 27, 4, 6), "c": (1, 27, 2, 3)},
        maps,
    ),
    "boxes, yolov6": Case(
        boxes("yolov6"),
        {"a": (1, CELLS, 5 + CLASSES)},
        lambda rng: {"a": box_list(1, objectness=True)(rng)[None]},
        said="boxes:yolov6",
    ),
    "boxes, yolox": Case(
        boxes("yolox"), {"a": (1, CELLS, 5 + CLASSES)}, lambda rng: {"a": on_grid(rng)[None]}, said="boxes:yolox"
    ),
    "tensors": Case(
        RawTensors(),
        {"a": (1, 7), "b": (1, 5, 3, 4)},
        lambda rng: {"a": normal(1, 7)(rng), "b": normal(1, 5, 3, 4)(rng)},
    ),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))


def test_every_task_and_every_form_of_it_has_a_case() -> None:
    assert {case.task.name for case in CASES.values()} == set(TASKS)
    assert {c.task.family for c in CASES.values() if isinstance(c.task, Keypoints)} == set(FAMILIES)
    assert {c.task.layout for c in CASES.values() if isinstance(c.task, BoxesTask)} == set(LAYOUTS)


@every_case
def test_it_is_recognised_by_what_it_gives_in_any_order(case: Case) -> None:
    turned = replace(case.interface, outputs=case.interface.outputs[::-1])
    for interface in (case.interface, turned):
        assert recognised_task(interface, case.said) == case.task
        if case.said is None:
            assert recognised_task(interface, case.task.name) == case.task
        else:
            assert isinstance(recognised_task(interface), RawTensors), "left to what the user says"


@every_case
def test_another_task_s_name_takes_it_for_that_or_is_refused(case: Case) -> None:
    for name in TASKS:
        said = None
        try:
            found = recognised_task(case.interface, name)
        except UsageError as error:
            said = str(error)
        if said is None:
            assert found.name == name
        else:
            assert said.startswith("task: ")


@every_case
def test_it_is_not_recognised_where_no_image_comes_in(case: Case) -> None:
    vector = Input(tensor=TensorSpec("vector", "float32", (1, 40)))
    assert isinstance(recognised_task(replace(case.interface, inputs=(vector,))), RawTensors)


@every_case
def test_it_survives_its_record_and_json(case: Case) -> None:
    record = case.task.record()
    assert record.name == case.task.name
    adapter = TypeAdapter(TaskRecord)
    again = adapter.validate_json(adapter.dump_json(record))
    assert task_of(again) == case.task
    assert task_of(again).record() == record


@every_case
def test_names_in_the_chain_are_new_names_of_what_is_there(case: Case) -> None:
    names = case.task.chain_names(case.interface)
    assert set(names) <= {"picture", *case.outputs}
    assert len(set(names.values())) == len(names)
    in_chain = case.interface.renamed(names)
    assert recognised_task(in_chain, case.said) == case.task
    assert case.task.with_interface(in_chain, {}) == case.task
    expected = set(case.tensors(np.random.default_rng(0)))
    assert {spec.name for spec in in_chain.outputs} == expected


@every_case
def test_what_it_reads_says_itself(case: Case) -> None:
    found = case.task.read(case.tensors(np.random.default_rng(0)))
    assert found.figure()
    facts = found.facts()
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    moved = case.task.in_frame(found, PixelMap((2.0, 2.0), (0.5, 0.5)), (2 * SIZE[0], 2 * SIZE[1]))
    assert type(moved) is type(found)


@every_case
def test_a_result_differs_from_itself_in_nothing_and_from_others_in_what_it_says(case: Case) -> None:
    results = [case.task.read(case.tensors(np.random.default_rng(seed))) for seed in (0, 1)]
    same, other = (case.task.differences(results[0], result) for result in results)
    if isinstance(case.task, RawTensors):
        assert same is None
        return
    assert same is not None
    assert other is not None
    assert (same.missing, same.extra) == (0, 0)
    assert same.common > 0
    assert other.common + other.missing == same.common
    assert other.missing > 0
    for count, part in ((other.missing, other.missing_part), (other.extra, other.extra_part)):
        assert type(part) is type(results[0])
        seen = sum(part.pixels().values()) if case.task.name == "mask" else len(part)
        assert seen == count


@every_case
def test_outputs_of_its_kind_pass_its_check(case: Case) -> None:
    case.task.check("mine", case.tensors(np.random.default_rng(0)), SIZE)


class Numbered(Backend):
    """Gives the outputs of one image after the other, whatever the images are."""

    def __init__(self, case: Case, change: Callable[[Tensors], Tensors]) -> None:
        self.description, self.inputs, self.outputs = "numbered", case.interface.at(SIZE).tensors, ()
        self._case, self._change, self._runs = case, change, 0

    def _run(self, tensors: Mapping[str, Array]) -> Tensors:
        self._runs += 1
        return self._change(self._case.tensors(np.random.default_rng(self._runs)))


def judged(case: Case, stage: str, candidate: Callable[[Tensors], Tensors]) -> StageReport:
    """What a stage says of four images."""
    images = {name: np.full((SIZE[1], SIZE[0]), 30, np.uint8) for name in "abcd"}
    return verify_stage(
        stage,
        lambda: Numbered(case, lambda tensors: tensors),
        lambda: Numbered(case, candidate),
        case.task.comparison(stage),
        images=images,
        feed=case.interface.feed,
        further={t.figure: lambda: 1.0 for t in STAGE_TOLERANCES[stage] if t.figure != FINITE},
    )


@every_case
@pytest.mark.parametrize("stage", ROUNDING_STAGES)
def test_equal_tensors_agree(case: Case, stage: str) -> None:
    report = judged(case, stage, lambda tensors: {name: array.copy() for name, array in tensors.items()})
    assert report.verdict is Verdict.PASS, report.summary
    assert report.images == 8
    assert report.summary


def _noise(tensors: Tensors) -> Tensors:
    rng = np.random.default_rng(9)
    return {
        name: (array * (1 + rng.normal(0, 1e-7, array.shape))).astype(np.float32) for name, array in tensors.items()
    }


@every_case
@pytest.mark.parametrize("stage", ROUNDING_STAGES)
def test_float32s_last_bit_is_no_fault(case: Case, stage: str) -> None:
    report = judged(case, stage, _noise)
    assert report.verdict is Verdict.PASS, report.summary


def _each(change: Callable[[Array], Array]) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {name: np.asarray(change(array), np.float32) for name, array in tensors.items()}


def _last_axis(array: Array) -> int:
    """The last axis of more than one."""
    return max(axis for axis, side in enumerate(array.shape) if side > 1)


FAULTS: dict[str, Callable[[Tensors], Tensors]] = {
    "zeros": _each(lambda a: a * 0),
    "scaled": _each(lambda a: a * 1.5),
    "mirrored": _each(lambda a: np.flip(a, _last_axis(a))),
    "moved": _each(lambda a: np.roll(a, 1, _last_axis(a))),
    "negative": _each(lambda a: -a),
    "not a number": _each(lambda a: a + np.nan),
}


@every_case
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stage", [ONNX_STAGE, BLOB_STAGE])  # the narrowest limits and the widest
def test_faults_are_caught(case: Case, fault: str, stage: str) -> None:
    report = judged(case, stage, FAULTS[fault])
    assert report.verdict is Verdict.FAIL
    assert report.summary
    assert "\n" not in report.summary


@every_case
def test_a_fault_in_one_output_alone_is_caught(case: Case) -> None:
    for name in case.tensors(np.random.default_rng(0)):

        def altered(tensors: Tensors, name: str = name) -> Tensors:
            return tensors | {name: np.ascontiguousarray(np.flip(tensors[name], _last_axis(tensors[name])))}

        assert judged(case, BLOB_STAGE, altered).verdict is Verdict.FAIL, name


@every_case
def test_outputs_of_another_network_are_one_clear_error(case: Case) -> None:
    tensors = case.tensors(np.random.default_rng(0))
    comparison = case.task.comparison("onnx → ir")
    expected = comparison.reference(tensors)
    first = next(iter(tensors))
    for other in ({}, {"else": np.zeros((1, 3), np.float32)}, {n: a for n, a in tensors.items() if n != first}):
        with pytest.raises(BackendError) as caught:
            comparison.add([expected] * 2, [comparison.candidate(other)] * 2)
        assert "\n" not in str(caught.value)


@every_case
def test_heads_as_they_are_are_offered_and_others_refused(case: Case) -> None:
    interface = case.interface.renamed(case.task.chain_names(case.interface))
    assert AS_THEY_ARE in case.task.heads
    case.task.device_rewrites(DeviceRecord(), interface)
    with pytest.raises(UsageError, match=r"heads: expected one of .*dense.*, got 'moon'"):
        case.task.device_rewrites(DeviceRecord(heads="moon"), interface)


@every_case
def test_heads_as_they_are_leave_the_graph_as_it_is(case: Case) -> None:
    names = case.task.chain_names(case.interface)
    interface = case.interface.renamed(names)
    shapes = {name: array.shape for name, array in case.tensors(np.random.default_rng(0)).items()}
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Identity", [f"in_{name}"], [name]) for name in shapes],
            "g",
            [helper.make_tensor_value_info(f"in_{name}", TensorProto.FLOAT, shape) for name, shape in shapes.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        ),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=7,
    )
    before = [output.name for output in model.graph.output], len(model.graph.node)
    apply_all(model, case.task.device_rewrites(DeviceRecord(), interface))
    assert ([output.name for output in model.graph.output], len(model.graph.node)) == before
    onnx.checker.check_model(model)


@every_case
def test_what_an_archive_says_of_it_is_json(case: Case) -> None:
    interface = case.interface.renamed(case.task.chain_names(case.interface))
    heads = case.task.archive_heads(interface.outputs, DeviceRecord())
    assert json.loads(json.dumps(heads, allow_nan=False)) == heads
    for head in heads:
        assert set(head) <= {"name", "parser", "outputs", "metadata"}
        assert set(head["outputs"]) <= {spec.name for spec in interface.outputs}


@every_case
def test_heads_as_they_are_need_nothing_measured(case: Case, tmp_path: Path) -> None:
    interface = case.interface.renamed(case.task.chain_names(case.interface))
    measured = case.task.measured_heads(AS_THEY_ARE, tmp_path / "not-there.onnx", {}, interface)
    assert measured == (DeviceRecord(heads=AS_THEY_ARE), "")


@every_case
def test_parameters_that_a_user_may_change(case: Case) -> None:
    assert case.task.with_changes() == case.task
    nothing = case.task.with_changes(**dict.fromkeys(case.task.changeable))
    assert nothing == case.task, "what is given as None stays"
    with pytest.raises(UsageError, match=r"moon"):
        case.task.with_changes(moon=3)


@every_case
def test_sizes_it_does_not_take_are_refused_with_the_nearest(case: Case) -> None:
    assert case.task.require_size(SIZE) == SIZE
    step = case.task.size_step_px
    if step == 1:
        return
    with pytest.raises(UsageError, match=rf"size: expected positive multiples of {step}, got 97x64; the nearest is "):
        case.task.require_size((97, 64))


@every_case
def test_packed_or_not_values_are_numbers_whose_differences_mean_something(case: Case) -> None:
    tensors = case.tensors(np.random.default_rng(0))
    values = case.task.values(tensors)
    assert values.keys() == tensors.keys()
    assert all(np.array_equal(values[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("parameters", [{"surprise": 1}, {"decode": 7}, {"decode": None}])
def test_parameters_that_cannot_be_meant_are_one_error_or_ignored_by_a_task_without_any(
    name: str, parameters: dict[str, Any]
) -> None:
    if TASKS[name] is not RawTensors:
        with pytest.raises(OakpointError, match=f"task {name}: ") as caught:
            TASKS[name].from_record(TaskRecord(name=name, parameters=parameters))
        assert "\n" not in str(caught.value)


def test_a_later_task_that_needs_the_hosts_model_gets_it(tmp_path: Path) -> None:
    """Heads are compared through the host's model where there are such."""
    task = keypoints("cells")
    comparison = task.comparison("onnx → blob", device=DeviceRecord(heads="heatmap"), onnx=tmp_path / "m.onnx")
    assert comparison.images == 0
