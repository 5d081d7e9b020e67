from __future__ import annotations

import json
import math

import pytest

from oakpoint.bundle.records import Check, StageReport, Verdict


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_could_not_be_measured_is_null_for_machines(value: float) -> None:
    check = Check(name="error", value=value, limit=0.1, kind="at_most", passed=False)
    report = StageReport(
        stage="a → b", verdict=Verdict.FAIL, summary="off", images=2, checks=(check,), figures={"error": value, "n": 1}
    )
    facts = json.loads(json.dumps(report.facts(), allow_nan=False))
    assert (facts["verdict"], facts["figures"]) == ("fail", {"error": None, "n": 1})
    assert facts["checks"] == [{"name": "error", "value": None, "limit": 0.1, "kind": "at_most", "passed": False}]


def test_an_infinite_limit_is_none_for_machines() -> None:
    """Of outputs that are not finite, what rounding explains is without bounds as well."""
    check = Check(name="largest", value=math.inf, limit=math.inf, kind="at_most", passed=True)
    report = StageReport(stage="onnx → ir", verdict=Verdict.FAIL, summary="s", checks=(check,))
    facts = json.loads(json.dumps(report.facts(), allow_nan=False))
    assert facts["checks"] == [{"name": "largest", "value": None, "limit": None, "kind": "at_most", "passed": True}]
