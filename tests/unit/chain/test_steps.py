"""The conversion as data: the list of its steps holds together."""

from __future__ import annotations

from typing import get_args

import pytest

from oakpoint.bundle.records import ArtifactKind
from oakpoint.chain.options import TARGETS, ConversionOptions
from oakpoint.chain.steps import STEPS, Step
from oakpoint.tasks.registry import TASKS
from oakpoint.verify.superblob import SUPERBLOB_STAGE
from oakpoint.verify.tolerances import STAGE_TOLERANCES

NAMES = [step.name for step in STEPS]


def test_every_kind_of_artefact_is_made_by_exactly_one_step() -> None:
    made = [kind for step in STEPS for kind in step.makes]
    assert sorted(made) == sorted(get_args(ArtifactKind))


def test_no_name_and_no_stage_stands_twice() -> None:
    stages = [step.stage for step in STEPS if step.stage]
    assert len(NAMES) == len(set(NAMES))
    assert len(stages) == len(set(stages))


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_what_a_step_needs_comes_before_it(step: Step) -> None:
    before = NAMES[: NAMES.index(step.name)]
    assert set(step.needs) <= set(before)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_step_is_judged_by_a_stage_or_not_at_all(step: Step) -> None:
    assert (step.judge is None) == (step.stage == "")
    assert step.stage in ("", SUPERBLOB_STAGE, *STAGE_TOLERANCES)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_step_that_makes_nothing_is_needed_by_one_that_does(step: Step) -> None:
    assert step.makes or any(step.name in later.needs for later in STEPS if later.makes)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("superblob", [False, True])
@pytest.mark.parametrize("target", TARGETS)
def test_whatever_is_asked_for_all_that_it_needs_is_done(target: str, superblob: bool, int8: bool, fused: bool) -> None:
    if (superblob and target in ("onnx", "ir", "onnx-archive")) or (int8 and target in ("onnx", "onnx-archive")):
        return
    options = ConversionOptions(
        model="acorn",
        size=(96, 64),
        to=target,  # type: ignore[arg-type]
        superblob=superblob,
        int8=int8,
        fused=fused,
    )
    wanted = [step for step in STEPS if step.wanted(options)]
    names = {step.name for step in wanted}
    assert all(set(step.needs) <= names for step in wanted)
    made = {kind for step in wanted for kind in step.makes}
    expected = {"onnx": 1, "onnx-archive": 2, "ir": 2, "blob": 5, "archive": 6}[target] + superblob + int8 + fused
    assert len(made) == expected
    assert target.replace("-", "_") in made
    assert ("onnx_archive" in made) == (target == "onnx-archive"), "no later target passes it"
    assert ("superblob" in made) == superblob
    assert ("ir_int8" in made) == int8


def test_a_superblob_that_fails_takes_no_archive_with_it() -> None:
    assert NAMES.index("archive") < NAMES.index("superblob")


def test_the_device_graph_is_judged_before_it_is_compiled() -> None:
    """So that a rewrite's fault and the compiler's are told apart."""
    assert NAMES.index("device graph") < NAMES.index("blob")
    assert next(step for step in STEPS if step.name == "device graph").judge is not None


def test_every_task_has_heads_that_leave_the_outputs_alone() -> None:
    """``--heads`` has a default that every network takes."""
    default = ConversionOptions(model="acorn").heads
    assert all(default in task.heads for task in TASKS.values())
