"""What killed writers leave is removed by the next writer of the same path, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from oakpoint import files


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from oakpoint.files import replacing_folder\n"
        "with replacing_folder(Path(sys.argv[1])) as f: os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "b")], check=False)
    (left,) = tmp_path.iterdir()
    with files.replacing_folder(tmp_path / "b"):
        pass
    assert left.exists(), "made just now: its writer may not have come to lock it"
    old = time.time() - 10
    os.utime(left, (old, old))
    with files.replacing_folder(tmp_path / "b"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_writer_at_work_and_other_names_are_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / ".b-abcdefgh"
    mine.mkdir()
    old = time.time() - 10
    os.utime(mine, (old, old))
    with files.replacing_folder(tmp_path / "b") as first:
        os.utime(first, (old, old))
        with files.replacing_folder(tmp_path / "b"):
            pass
        assert first.is_dir()
    assert mine.is_dir()
