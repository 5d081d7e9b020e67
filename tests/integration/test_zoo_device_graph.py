"""Networks that nobody made for this project: the device graph finds what the ONNX finds, which needs no compiler."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zoo
from numpy.typing import NDArray

from oakpoint.bundle.records import StageReport, Verdict
from oakpoint.chain.listener import Listener
from oakpoint.chain.make_blob import judge_device_graph, make_device_graph
from oakpoint.chain.make_onnx import make_onnx
from oakpoint.chain.making import Making
from oakpoint.chain.options import ConversionOptions
from oakpoint.chain.verification import StageVerifier
from oakpoint.errors import UnsupportedNetworkError
from oakpoint.models.naming import model_of
from oakpoint.verify.photographs import load_photographs

if TYPE_CHECKING:
    from collections.abc import Mapping


class Silent(Listener):
    def started(self, step: str) -> None:
        pass

    def finished(self, step: str, seconds: float, note: str, report: StageReport | None) -> None:
        pass


@pytest.fixture(scope="module")
def photographs() -> Mapping[str, NDArray[np.uint8]]:
    return dict(list(load_photographs(None).items())[:4])


def device_stage(model: Path, photographs: Mapping[str, NDArray[np.uint8]], folder: Path) -> tuple[StageReport, str]:
    """The verdict on the device graph of an ONNX, and the task that it was recognised as."""
    options = ConversionOptions(model=str(model), to="blob")
    making = Making(options, model_of(str(model), options.said).origin(None), Silent())
    making.verifier = StageVerifier(photographs, making.interface, making.task)
    making.folder = folder
    make_onnx(making)
    make_device_graph(making)
    return judge_device_graph(making), making.task.name


@pytest.mark.parametrize("member", zoo.MEMBERS, ids=lambda member: member.name)
def test_the_device_graph_finds_the_same(
    member: zoo.Member, photographs: Mapping[str, NDArray[np.uint8]], tmp_path: Path
) -> None:
    model = member.export(tmp_path / "network.onnx")
    if member.refused:
        with pytest.raises(UnsupportedNetworkError, match=re.escape(f"({member.refused}): ")):
            device_stage(model, photographs, tmp_path)
        return
    report, task = device_stage(model, photographs, tmp_path)
    assert report.verdict is Verdict.PASS, report.summary
    assert task == member.task
