"""What may be replaced, for every kind of folder alike."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from oakpoint.errors import OutputError
from oakpoint.result_folders import LIST_FILE, FolderKind, check_place, files_in, replacing_result

REPORT = FolderKind(name="a report", option="--report")
OTHER = FolderKind(name="a recording", option="--save")


def write(folder: Path, kind: FolderKind = REPORT, text: str = "1") -> None:
    with replacing_result(folder, kind) as place:
        (place / "figures.json").write_text(text)
        (place / "worst" / "deep").mkdir(parents=True)
        (place / "worst" / "deep" / "1.png").write_bytes(b"\x89")


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


@pytest.fixture
def report(tmp_path: Path) -> Path:
    write(tmp_path / "report")
    return tmp_path / "report"


def test_it_holds_what_was_written_and_a_list_of_it(report: Path) -> None:
    listed = json.loads((report / LIST_FILE).read_text())
    assert listed == {"holds": "a report", "files": {"figures.json": 1, "worst/deep/1.png": 1}}
    assert set(content(report)) == {*listed["files"], LIST_FILE}


def test_a_result_is_replaced_by_the_next_whole(report: Path) -> None:
    with replacing_result(report, REPORT) as place:
        (place / "new.txt").write_text("2")
    assert set(content(report)) == {"new.txt", LIST_FILE}
    write(report)
    write(report)


def test_an_empty_folder_and_a_new_one_are_taken(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "new", "deep/new"):
        write(tmp_path / name)


def test_a_link_to_a_result_is_followed(report: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(report)
    write(tmp_path / "link", text="22")
    assert (tmp_path / "link").is_symlink()
    assert (report / "figures.json").read_text() == "22"


def add_file(report: Path) -> str:
    (report / "thesis.tex").write_text("precious")
    return "thesis.tex is not part of a report there and would be lost; move it away, or choose another --report"


def add_hidden_file(report: Path) -> str:
    (report / ".git").write_text("precious")
    return ".git is not part of a report"


def add_deep_file(report: Path) -> str:
    (report / "worst" / "deep" / "2.png").write_text("precious")
    return "worst/deep/2.png is not part of a report"


def add_empty_folder(report: Path) -> str:
    (report / "mine").mkdir()
    return "mine is not part of a report"


def add_link(report: Path) -> str:
    (report / "link").symlink_to(report.parent)
    return "link is not part of a report"


def change_file(report: Path) -> str:
    (report / "figures.json").write_text("with my notes")
    return "figures.json was changed since oakpoint wrote it, and would be lost"


def put_link_in_place(report: Path) -> str:
    (report / "figures.json").unlink()
    (report / "figures.json").symlink_to(report / "worst" / "deep" / "1.png")
    return "figures.json was changed since"


def put_folder_in_place(report: Path) -> str:
    (report / "figures.json").unlink()
    (report / "figures.json").mkdir()
    (report / "figures.json" / "mine").write_text("precious")
    return "figures.json/mine is not part of a report"


def lose_list(report: Path) -> str:
    (report / LIST_FILE).unlink()
    return "holds figures.json, and is not a report that oakpoint made; choose another --report"


def damage_list(report: Path) -> str:
    (report / LIST_FILE).write_text('{"holds": "a report", "files": ["figures.json"]}')
    return "and is not a report"


def make_other_kind(report: Path) -> str:
    record = json.loads((report / LIST_FILE).read_text())
    (report / LIST_FILE).write_text(json.dumps(record | {"holds": "a recording"}))
    return "and is not a report"


def make_not_utf8(report: Path) -> str:
    Path(os.fsdecode(os.fsencode(report) + b"/\xff.txt")).write_text("precious")
    return r"\xff.txt is not part of a report"


CHANGES = [
    add_file, add_hidden_file, add_deep_file, add_empty_folder, add_link, change_file, put_link_in_place,
    put_folder_in_place, lose_list, damage_list, make_other_kind, make_not_utf8,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_somebodys_stays(report: Path, change: Callable[[Path], str]) -> None:
    said = change(report)
    before = content(report)
    with pytest.raises(OutputError) as refused, replacing_result(report, REPORT):
        pytest.fail("it is refused before anything is done")
    assert said in str(refused.value)
    assert str(refused.value).startswith(f"{report}: ")
    str(refused.value).encode()  # it can be printed
    assert content(report) == before
    assert [path.name for path in report.parent.iterdir()] == ["report"]


@pytest.mark.parametrize("change", CHANGES)
def test_and_what_comes_meanwhile(report: Path, change: Callable[[Path], str]) -> None:
    with pytest.raises(OutputError) as refused, replacing_result(report, REPORT) as place:  # noqa: PT012
        (place / "new.txt").touch()
        said = change(report)
        before = content(report)
    assert said in str(refused.value)
    assert content(report) == before
    assert [path.name for path in report.parent.iterdir()] == ["report"]


def test_a_result_of_another_kind_is_not_replaced(report: Path) -> None:
    with pytest.raises(OutputError, match=r"is not a recording that oakpoint made; choose another --save"):
        write(report, OTHER)


@pytest.mark.parametrize("name", ["evaluation.json", "report.json", "frame_000000.png", "manifest.json"])
def test_a_name_that_a_result_could_have_does_not_make_it_ours(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(OutputError, match=f"holds {name}, and is not a report that oakpoint made"):
        check_place(tmp_path, REPORT)


def test_files_and_links_to_nothing_are_no_folders(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("file", "dangling"):
        with pytest.raises(OutputError, match=f"{name}: expected a folder for a report, got a file or a link"):
            check_place(tmp_path / name, REPORT)


def test_after_an_error_the_old_one_stands(report: Path) -> None:
    before = content(report)
    with pytest.raises(ZeroDivisionError), replacing_result(report, REPORT) as place:
        (place / "half").write_bytes(bytes(1 // 0))
    assert content(report) == before


def test_a_folder_that_keeps_a_record_of_its_own_gets_no_list(tmp_path: Path) -> None:
    own = FolderKind(name="a bundle", option="--out", own_files=lambda folder: {"a": None})
    for text in ("1", "22"):
        with replacing_result(tmp_path / "b", own) as place:
            (place / "a").write_text(text)
    assert content(tmp_path / "b") == {"a": b"22"}


def test_a_folder_that_cannot_be_looked_into_is_refused(report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuses)
    with pytest.raises(OutputError, match="Permission denied"):
        files_in(report)
