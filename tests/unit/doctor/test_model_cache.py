"""What the doctor says of the compiled models that are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from oakpoint.backends.compiled_models import VARIABLE
from oakpoint.doctor.findings import healthy
from oakpoint.doctor.model_cache import examine_model_cache


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OAKPOINT_CACHE", str(tmp_path))
    monkeypatch.delenv(VARIABLE, raising=False)
    return tmp_path / "openvino"


def test_it_tells_where_they_are_and_how_large(folder: Path) -> None:
    folder.mkdir()
    for name, size in (("a.compiled", 3_000_000), ("b.compiled", 4_000_000), ("other", 9_000_000)):
        (folder / name).write_bytes(bytes(size))
    (finding,) = examine_model_cache()
    assert finding.state == "good"
    assert finding.text == f"2 in {folder}, 7 of at most 537 MB"


def test_none_are_there_yet(folder: Path) -> None:
    (finding,) = examine_model_cache()
    assert (finding.state, finding.text) == ("good", f"0 in {folder}, 0 of at most 537 MB")


def test_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "off")
    (finding,) = examine_model_cache()
    assert finding.text == "none are kept: OAKPOINT_MODEL_CACHE is off"
    assert healthy([finding])
