from __future__ import annotations

from pathlib import Path

import pytest

from oakpoint.memory import available_bytes, gigabytes

GB = 1_000_000_000


def machine(folder: Path, files: dict[str, str]) -> dict[str, Path]:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {"meminfo": folder / "meminfo", "cgroups": folder / "cgroup", "cgroup_root": folder / "fs"}


MEMINFO = "MemTotal:       16000000 kB\nMemFree:         1000000 kB\nMemAvailable:    8000000 kB\n"


def test_of_the_machine_what_the_kernel_says_is_available(tmp_path):
    assert available_bytes(**machine(tmp_path, {"meminfo": MEMINFO, "cgroup": "0::/\n"})) == 8_000_000 * 1024


def test_a_container_s_limit_less_what_cannot_be_given_back(tmp_path):
    files = {
        "meminfo": MEMINFO,
        "cgroup": "0::/\n",
        "fs/memory.max": f"{4 * GB}\n",
        "fs/memory.current": f"{3 * GB}\n",
        "fs/memory.stat": f"anon 5\nfile 9\ninactive_file {GB}\n",
    }
    assert available_bytes(**machine(tmp_path, files)) == 2 * GB


def test_the_tightest_group_above_counts(tmp_path):
    files = {
        "meminfo": MEMINFO,
        "cgroup": "0::/user.slice/app.scope\n",
        "fs/user.slice/memory.max": f"{2 * GB}\n",
        "fs/user.slice/memory.current": f"{GB}\n",
        "fs/user.slice/app.scope/memory.max": "max\n",
        "fs/user.slice/app.scope/memory.current": "5\n",
    }
    assert available_bytes(**machine(tmp_path, files)) == GB


def test_version_1_whose_path_may_be_the_host_s(tmp_path):
    files = {
        "meminfo": MEMINFO,
        "cgroup": "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/\n",
        "fs/memory/memory.limit_in_bytes": f"{3 * GB}\n",
        "fs/memory/memory.usage_in_bytes": f"{2 * GB}\n",
        "fs/memory/memory.stat": f"total_inactive_file {GB // 2}\n",
    }
    assert available_bytes(**machine(tmp_path, files)) == 3 * GB // 2


def test_a_group_over_its_limit_leaves_nothing(tmp_path):
    files = {"cgroup": "0::/\n", "fs/memory.max": "10\n", "fs/memory.current": "20\n"}
    assert available_bytes(**machine(tmp_path, files)) == 0


def test_where_nobody_says(tmp_path):
    assert available_bytes(**machine(tmp_path, {})) is None


def test_here():
    available = available_bytes()
    assert available is not None
    assert 1_000_000 < available < 1 << 50


@pytest.mark.parametrize(("count", "text"), [(7.64 * GB, "7.6 GB"), (GB / 10, "0.1 GB"), (4_200_000, "0.004 GB")])
def test_for_people(count, text):
    assert gigabytes(count) == text
