"""What networks and torch write while a command runs never gets into the command's own output.

In processes of their own: torch's loggers keep the standard error that was there when torch was imported.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from oakpoint.cli import training
from oakpoint.networks.registry import load_network
from oakpoint.training import distillation

FOLDER = Path(__file__).resolve().parents[1] / "networks"
SAID = "said by the network"


def oakpoint(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "oakpoint", *map(str, arguments)]
    return subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "network",
    ["talking_network:Talking", pytest.param("sized_network:SequenceNetwork", marks=pytest.mark.slow)],
)
def test_a_conversions_json_is_json_and_its_success_is_quiet(network: str, tmp_path: Path, image_folder: Path) -> None:
    arguments = ["convert", network, "--random", "--size", "160x120", "--to", "onnx", "--json"]
    done = oakpoint(*arguments, "--out", tmp_path / "b", "--images", image_folder)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["stages"][0]["verdict"] == "pass"
    lines = [line.split()[0] for line in done.stderr.splitlines()]
    assert lines[:4] == ["onnx", "verify", "report", "note:"], done.stderr
    assert set(lines[3:]) <= {"note:"}, done.stderr


def test_what_was_written_is_in_the_log(tmp_path: Path, image_folder: Path) -> None:
    image = next(image_folder.iterdir())
    arguments = ["extract", "talking_network:Talking", image, "--size", "96x64", "--backend", "torch"]
    weights = tmp_path / "w.pth"
    import torch

    torch.save(load_network("small_network:SmallNetwork", None, seed=0).module.state_dict(), weights)
    done = oakpoint("-v", *arguments, "--weights", weights, "--out", tmp_path / "f.h5")
    assert done.returncode == 0, done.stderr
    assert SAID not in done.stdout
    for moment in ("on import", "on building", "without an end of line", "on running (1, 1, 64, 96)"):
        assert f"{SAID} {moment}" in done.stderr


def test_what_is_printed_while_training_goes_to_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(distillation, "run_job", lambda *_: sys.stdout.write(f"{SAID}\n"))
    job: Any = SimpleNamespace(training=SimpleNamespace(steps=1))
    training._work(job, None)
    assert capsys.readouterr() == ("", f"{SAID}\n")
