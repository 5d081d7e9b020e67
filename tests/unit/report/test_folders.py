from __future__ import annotations

import json
from pathlib import Path

import pytest

from oakpoint.errors import OutputError
from oakpoint.report.folders import CAMERA, CHECK, DEBUGGING, EVALUATION, VERIFICATION, ReportFolder

KINDS = (VERIFICATION, CHECK, DEBUGGING, EVALUATION, CAMERA)


def write_more(folder: Path) -> None:
    (folder / "more.txt").write_text("m")


def test_a_report_is_written_with_its_facts_and_replaced(tmp_path: Path) -> None:
    place = tmp_path / "r"
    CHECK.write(place, "<p>1</p>", {"n": 1}, write_more)
    assert (place / "report.html").read_text() == "<p>1</p>"
    assert json.loads((place / "check.json").read_text()) == {"n": 1}
    CHECK.check(place)
    CHECK.write(place, "<p>2</p>", {"n": 2})
    assert sorted(path.name for path in place.iterdir()) == [".oakpoint-files.json", "check.json", "report.html"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.facts_file)
def test_what_is_not_ours_is_refused(kind: ReportFolder, tmp_path: Path) -> None:
    kind.check(None)
    place = tmp_path / "r"
    kind.write(place, "", {})
    (place / "mine.txt").touch()
    with pytest.raises(OutputError, match=f"mine.txt is not part of {kind.name} there and would be lost"):
        kind.check(place)
    (place / "mine.txt").unlink()
    (place / "report.html").write_text("changed")
    with pytest.raises(OutputError, match="was changed since oakpoint wrote it"):
        kind.write(place, "", {})


def test_a_report_of_one_kind_does_not_replace_one_of_another(tmp_path: Path) -> None:
    DEBUGGING.write(tmp_path / "r", "", {})
    for kind in KINDS:
        if kind is not DEBUGGING:
            with pytest.raises(OutputError, match=r"holds debug\.json, and is not"):
                kind.check(tmp_path / "r")


def test_nothing_is_left_of_a_report_that_could_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        CHECK.write(tmp_path / "r", "", {"n": float("nan")})
    assert not list(tmp_path.iterdir())
