"""Files and folders that are replaced while the process is killed with SIGKILL at moments of its own choosing."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PARTS = 40

WRITER = f"""
import sys, itertools
from pathlib import Path
from oakpoint import files
if sys.argv[2] == "rename":
    files._exchange = lambda first, second: False
target = Path(sys.argv[1])
print("ready", flush=True)
for generation in itertools.count(1):
    if sys.argv[2] == "file":
        with files.replacing_file(target) as path:
            with path.open("w") as stream:
                for part in range({PARTS}):
                    stream.write(f"{{generation}}\\n")
                    stream.flush()
    else:
        with files.replacing_folder(target) as folder:
            for part in range({PARTS}):
                (folder / str(part)).write_text(str(generation))
"""


def generations(target: Path) -> list[str]:
    if target.is_dir():
        return [(target / str(part)).read_text() for part in range(PARTS)]
    return target.read_text().split()


@pytest.mark.parametrize("kind", ["file", "folder", "rename"])
def test_killed_at_any_moment_old_or_new_and_never_half(tmp_path: Path, kind: str) -> None:
    rng = random.Random(f"killed {kind}")
    target = tmp_path / "target"
    last = 0
    for _ in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(target), kind], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdout is not None
        with process, process.stdout as output:
            assert output.readline() == b"ready\n"
            time.sleep(rng.uniform(0.0, 0.06))
            process.send_signal(signal.SIGKILL)
        if not target.exists():
            # Where names cannot be exchanged there is one moment with neither; what was there then lies beside.
            assert last == 0 or (kind == "rename" and list(tmp_path.glob(".target.oakpoint-*")))
            continue
        found = generations(target)
        assert len(found) == PARTS
        assert len(set(found)) == 1, "parts of two generations"
        last += int(found[0])
    assert last > 0, "not once was it given the time to write"
    beside = [path.name for path in tmp_path.iterdir() if path != target]
    assert all(name.startswith(".target.oakpoint-") for name in beside)
