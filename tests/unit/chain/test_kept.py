"""Which artefacts are left out after which failure."""

from __future__ import annotations

from typing import Any

import pytest

from oakpoint.bundle.interface import image_interface
from oakpoint.bundle.records import Artifact, StageReport, Verdict
from oakpoint.chain.kept import left_out, something_verified
from oakpoint.chain.options import TARGETS, ConversionOptions
from oakpoint.chain.steps import STEPS, Step
from oakpoint.tasks.keypoints.task import superpoint_preprocess
from oakpoint.verify.superblob import SUPERBLOB_STAGE
from oakpoint.verify.tolerances import BLOB_STAGE, DEVICE_STAGE, IR_STAGE, ONNX_ARCHIVE_STAGE, ONNX_STAGE

EVERYTHING = {"onnx", "ir", "blob", "oak_json", "stage_map", "archive", "superblob"}


def report(stage: str, verdict: Verdict) -> StageReport:
    return StageReport(stage=stage, verdict=verdict, summary=f"{stage} was judged")


def reports(*failed: str) -> list[StageReport]:
    stages = (ONNX_STAGE, IR_STAGE, DEVICE_STAGE, BLOB_STAGE, SUPERBLOB_STAGE)
    return [report(stage, Verdict.FAIL if stage in failed else Verdict.PASS) for stage in stages]


def asked_for(**changes: Any) -> ConversionOptions:
    return ConversionOptions(**{"model": "acorn", "size": (96, 64), "superblob": True} | changes)


def artifact(kind: Any) -> Artifact:
    interface = image_interface("input", superpoint_preprocess((96, 64)))
    return Artifact(kind=kind, files={kind: "0"}, interface=interface, parents=(), tool="t", command="c")


@pytest.mark.parametrize(
    ("failed", "missing"),
    [
        ([], set()),
        ([ONNX_STAGE], EVERYTHING),
        ([IR_STAGE], {"ir"}),
        ([DEVICE_STAGE], {"blob", "oak_json", "stage_map", "archive", "superblob"}),
        ([BLOB_STAGE], {"blob", "oak_json", "stage_map", "archive", "superblob"}),
        ([SUPERBLOB_STAGE], {"superblob"}),
        ([IR_STAGE, SUPERBLOB_STAGE], {"ir", "superblob"}),
    ],
)
def test_what_failed_goes_with_what_was_made_from_it(failed: list[str], missing: set[str]) -> None:
    why = left_out(reports(*failed), asked_for(), None)
    assert set(why) == missing
    assert all(why.values())
    if failed == [BLOB_STAGE]:
        assert why["blob"] == "it failed its verification: onnx → blob was judged"
        assert why["archive"] == "it is made from the blob, which is left out"
    if failed == [DEVICE_STAGE]:
        assert why["blob"] == "it is made from the device graph, which is left out"


@pytest.mark.parametrize(
    ("broken", "missing", "reasons"),
    [
        ("onnx", EVERYTHING, {"not tried, since the onnx could not be made"}),
        ("ir", EVERYTHING - {"onnx"}, {"not tried, since the ir could not be made"}),
        (
            "heads",
            {"blob", "oak_json", "stage_map", "archive", "superblob"},
            {"not tried, since the blob could not be made"},
        ),
        ("onnx archive", {"onnx_archive"}, set()),
        (
            "split",
            {"device_part", "host_tail", "blob", "oak_json", "stage_map", "archive", "superblob"},
            {"not tried, since the split could not be made"},
        ),
        (
            "device graph",
            {"blob", "oak_json", "stage_map", "archive", "superblob"},
            {"not tried, since the blob could not be made"},
        ),
        (
            "blob",
            {"blob", "oak_json", "stage_map", "archive", "superblob"},
            {"not tried, since the blob could not be made"},
        ),
        ("archive", {"archive", "superblob"}, {"not tried, since the archive could not be made"}),
        ("superblob", {"superblob"}, set()),
        ("decoding graph", {"fused"}, set()),
        ("int8", {"ir_int8"}, set()),
    ],
)
def test_what_could_not_be_made_goes_with_what_comes_after_it(
    broken: str, missing: set[str], reasons: set[str]
) -> None:
    options = asked_for(to="onnx-archive", superblob=False) if broken == "onnx archive" else asked_for()
    if broken == "split":
        options = asked_for(split=("auto",))
    if broken == "decoding graph":
        options = asked_for(fused=True)
    if broken == "int8":
        options = asked_for(int8=True)
    why = left_out([], options, (broken, "refused"))
    assert set(why) == missing
    first = {
        "heads": "blob",
        "device graph": "blob",
        "split": "device_part",
        "int8": "ir_int8",
        "decoding graph": "fused",
    }.get(broken, broken.replace(" ", "_"))
    assert why[first] == "refused"
    assert set(why.values()) == {"refused", *reasons}


def test_halves_of_a_network_go_with_their_blob() -> None:
    why = left_out(reports(BLOB_STAGE), asked_for(split=("auto",)), None)
    assert set(why) == {"device_part", "host_tail", "blob", "oak_json", "stage_map", "archive", "superblob"}
    assert why["host_tail"] == "it is for the blob, which is left out"
    assert set(left_out(reports(IR_STAGE), asked_for(split=("auto",)), None)) == {"ir"}


def test_every_step_is_in_that_table() -> None:
    marks = test_what_could_not_be_made_goes_with_what_comes_after_it.pytestmark  # type: ignore[attr-defined]
    assert [row[0] for row in marks[0].args[1]] == [step.name for step in STEPS]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
@pytest.mark.parametrize("superblob", [False, True])
@pytest.mark.parametrize("to", TARGETS)
def test_whatever_breaks_nothing_is_kept_that_stands_on_it(step: Step, to: str, superblob: bool) -> None:
    if superblob and to in ("onnx", "ir", "onnx-archive"):
        return
    options = asked_for(to=to, superblob=superblob, fused=True, int8=to not in ("onnx", "onnx-archive"))
    if not step.wanted(options):
        return
    wanted = [later for later in STEPS if later.wanted(options)]
    gone = left_out([], options, (step.name, "refused"))
    made = [earlier for earlier in wanted[: wanted.index(step)] if earlier.makes]
    kept = {kind for earlier in made for kind in earlier.makes}
    assert set(gone) == {kind for one in wanted for kind in one.makes} - kept
    failing = [report(step.stage, Verdict.FAIL)] if step.stage else []
    fallen = left_out(failing, options, None)
    assert set(fallen) == _standing_on(step, wanted) if failing else not fallen


def _standing_on(step: Step, wanted: list[Step]) -> set[str]:
    """What a step makes, and whatever needs that, however far."""
    gone = {step.name}
    for later in wanted:
        if gone.intersection(later.needs):
            gone.add(later.name)
    return {kind for one in wanted if one.name in gone for kind in one.makes}


def test_only_what_was_asked_for_is_missing() -> None:
    assert set(left_out([], asked_for(to="ir", superblob=False), ("ir", "refused"))) == {"ir"}
    assert set(left_out(reports(BLOB_STAGE), asked_for(to="blob", superblob=False), None)) == {
        "blob",
        "oak_json",
        "stage_map",
    }


def test_heads_that_cannot_be_had_are_missed_where_they_were_wanted() -> None:
    options = asked_for(to="onnx-archive", superblob=False)
    assert left_out([], options, ("heads", "refused")) == {"onnx_archive": "refused"}


def test_an_archive_that_fails_takes_no_onnx_with_it() -> None:
    options = asked_for(to="onnx-archive", superblob=False)
    assert set(left_out([report(ONNX_ARCHIVE_STAGE, Verdict.FAIL)], options, None)) == {"onnx_archive"}
    assert set(left_out([report(ONNX_STAGE, Verdict.FAIL)], options, None)) == {"onnx", "onnx_archive"}


def test_a_failure_and_a_refusal_are_both_said() -> None:
    why = left_out([report(IR_STAGE, Verdict.FAIL)], asked_for(superblob=False), ("blob", "refused"))
    assert why["ir"] == "it failed its verification: onnx → ir was judged"
    assert why["blob"] == "refused"
    assert set(why) == {"ir", "blob", "oak_json", "stage_map", "archive"}


@pytest.mark.parametrize(
    ("kinds", "judged", "expected"),
    [
        (["onnx"], [report(ONNX_STAGE, Verdict.PASS)], True),
        (["onnx"], [report(ONNX_STAGE, Verdict.NOTHING_COMPARED)], False),
        (["onnx"], [report(IR_STAGE, Verdict.PASS)], False),
        (["onnx", "ir"], [report(IR_STAGE, Verdict.PASS)], True),
        ([], [report(ONNX_STAGE, Verdict.PASS)], False),
    ],
)
def test_something_that_is_kept_was_verified(kinds: list[str], judged: list[StageReport], expected: bool) -> None:
    assert something_verified([artifact(kind) for kind in kinds], judged) is expected
