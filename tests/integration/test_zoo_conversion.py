"""Networks that nobody made for this project, through the whole chain: a verified blob, or findings that say why."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import zoo

from oakpoint.bundle.folder import open_bundle
from oakpoint.bundle.records import Verdict
from oakpoint.chain.conversion import attempt
from oakpoint.chain.listener import Listener
from oakpoint.chain.options import ConversionOptions
from oakpoint.errors import UnsupportedNetworkError
from oakpoint.verify.tolerances import BLOB_STAGE, DEVICE_STAGE, IR_STAGE

pytestmark = [pytest.mark.compiler, pytest.mark.slow]


@pytest.mark.parametrize("member", zoo.MEMBERS, ids=lambda member: member.name)
def test_a_network_ends_in_a_verified_bundle_or_in_findings(
    member: zoo.Member, image_folder: Path, listener: Listener, tmp_path: Path
) -> None:
    model, out = member.export(tmp_path / "network.onnx"), tmp_path / "bundle"
    outcome = attempt(ConversionOptions(model=str(model), images=image_folder, to="blob"), out, listener)
    verdicts = {report.stage: report.verdict for report in outcome.reports}
    manifest = open_bundle(out).manifest
    assert manifest.task.name == member.task
    if not member.refused:
        assert outcome.failure is None, outcome.failure
        assert verdicts == manifest.verdicts == dict.fromkeys((IR_STAGE, DEVICE_STAGE, BLOB_STAGE), Verdict.PASS)
        return
    failure = outcome.failure
    assert isinstance(failure, UnsupportedNetworkError)
    assert verdicts == {IR_STAGE: Verdict.PASS}, "what was made before is kept"
    assert {finding.operator for finding in failure.findings} == {member.refused}
    for finding in failure.findings:
        assert finding.problem
        assert finding.remedy
        assert re.search(f"{re.escape(finding.layer)}.*{finding.operator}.*{re.escape(finding.remedy)}", str(failure))
