"""Writers in several threads: permissions are the system's, and nothing of the process is changed for them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from oakpoint.files import replacing_file, replacing_folder


@pytest.fixture(params=[0o022, 0o077, 0o002, 0o277], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_permissions_follow_from_the_umask(tmp_path: Path, umask: int) -> None:
    with replacing_file(tmp_path / "a") as temporary:
        temporary.write_text("a")
    with replacing_folder(tmp_path / "b") as folder:
        (folder / "c").write_text("c")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~umask
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o777 & ~umask


def test_the_umask_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def touched(_: int) -> int:
        raise AssertionError("another thread that makes a file now would get other permissions")

    monkeypatch.setattr(os, "umask", touched)

    def write(number: int) -> None:
        with replacing_file(tmp_path / f"{number}.txt") as temporary:
            temporary.write_text("a")
        with replacing_folder(tmp_path / f"{number}"):
            pass

    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(write, range(200)):
            pass
    assert len(list(tmp_path.iterdir())) == 400
