from __future__ import annotations

import fcntl

import pytest

from oakpoint.errors import OutputError
from oakpoint.files import holding_folder, writing


def test_a_folder_is_held_by_one_at_a_time(tmp_path):
    path = tmp_path / "deep" / "run"
    with holding_folder(path):
        with pytest.raises(OutputError, match=f"^{path}: another process is at work there"), holding_folder(path):
            pass
        (path / "file").touch()
    with holding_folder(path):
        assert (path / "file").is_file()


@pytest.mark.parametrize("stood", [True, False])
def test_a_folder_that_was_made_and_left_empty_is_removed(tmp_path, stood):
    path = tmp_path / "run"
    if stood:
        path.mkdir()
    with pytest.raises(KeyError), holding_folder(path):
        raise KeyError
    assert path.is_dir() is stood


def test_without_locks_nobody_is_kept_out(tmp_path, monkeypatch):
    def refuses(*arguments):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuses)
    with holding_folder(tmp_path / "run"), holding_folder(tmp_path / "run"):
        pass


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(OutputError, match=f"^{path}: cannot be made"), holding_folder(path):
            pass


def test_a_full_disk_is_one_line(tmp_path):
    path = tmp_path / "a.bin"
    with pytest.raises(OutputError, match=r"a.bin: cannot be written \(No space left on device\)"), writing(path):
        raise OSError(28, "No space left on device")
    with pytest.raises(OutputError, match=r"a.bin: cannot be written \(9 requested and 3 written\)"), writing(path):
        raise OSError("9 requested and 3 written")  # NumPy's
