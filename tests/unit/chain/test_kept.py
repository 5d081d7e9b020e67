"""Which artefacts are left out after which failure."""

from __future__ import annotations

from typing import Any

import pytest

from oakpoint.bundle.records import Artifact, StageReport, Verdict
from oakpoint.chain.kept import STAGES, left_out, something_verified
from oakpoint.chain.options import ConversionOptions
from oakpoint.images.preprocess import Preprocess
from oakpoint.verify.superblob import SUPERBLOB_STAGE
from oakpoint.verify.tolerances import BLOB_STAGE, IR_STAGE, ONNX_STAGE

EVERYTHING = {"onnx", "ir", "blob", "oak_json", "archive", "superblob"}


def report(stage: str, verdict: Verdict) -> StageReport:
    return StageReport(stage=stage, verdict=verdict, summary=f"{stage} was judged")


def reports(*failed: str) -> list[StageReport]:
    stages = (ONNX_STAGE, IR_STAGE, BLOB_STAGE, SUPERBLOB_STAGE)
    return [report(stage, Verdict.FAIL if stage in failed else Verdict.PASS) for stage in stages]


def asked_for(**changes: Any) -> ConversionOptions:
    return ConversionOptions(**{"model": "acorn", "size": (96, 64), "superblob": True} | changes)


def artifact(kind: Any) -> Artifact:
    preprocess = Preprocess(size=(96, 64), resize="stretch", interpolation="area", colour="grey", scale=1 / 255)
    return Artifact(
        kind=kind, files={kind: "0"}, inputs=(), outputs=(), preprocess=preprocess, parents=(), tool="t", command="c"
    )


@pytest.mark.parametrize(
    ("failed", "missing"),
    [
        ([], set()),
        ([ONNX_STAGE], EVERYTHING),
        ([IR_STAGE], {"ir"}),
        ([BLOB_STAGE], {"blob", "oak_json", "archive", "superblob"}),
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


@pytest.mark.parametrize(
    ("broken", "missing"),
    [
        ("onnx", EVERYTHING),
        ("ir", EVERYTHING - {"onnx"}),
        ("blob", {"blob", "oak_json", "archive", "superblob"}),
        ("archive", {"archive", "superblob"}),
        ("superblob", {"superblob"}),
    ],
)
def test_what_could_not_be_made_goes_with_what_comes_after_it(broken: Any, missing: set[str]) -> None:
    why = left_out([], asked_for(), (broken, "refused"))
    assert set(why) == missing
    assert why[broken] == "refused"
    assert set(why.values()) <= {"refused", f"not tried, since the {broken} could not be made"}


def test_only_what_was_asked_for_is_missing() -> None:
    assert set(left_out([], asked_for(to="ir", superblob=False), ("ir", "refused"))) == {"ir"}
    assert set(left_out(reports(BLOB_STAGE), asked_for(to="blob", superblob=False), None)) == {"blob", "oak_json"}


def test_a_failure_and_a_refusal_are_both_said() -> None:
    why = left_out([report(IR_STAGE, Verdict.FAIL)], asked_for(superblob=False), ("blob", "refused"))
    assert why["ir"] == "it failed its verification: onnx → ir was judged"
    assert why["blob"] == "refused"
    assert set(why) == {"ir", "blob", "oak_json", "archive"}


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


def test_stages_stand_in_the_order_of_making() -> None:
    assert STAGES[0] == "onnx"
    assert STAGES.index("archive") < STAGES.index("superblob"), "a superblob that fails takes no archive with it"
