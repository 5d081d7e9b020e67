from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from oakpoint.errors import CompilerUnavailableError
from oakpoint.files import sha256_of_file
from oakpoint.myriad import toolchain
from oakpoint.myriad.toolchain import WHEELS, PinnedWheel, default_cache, ensure_toolchain, tool_folder

pytestmark = pytest.mark.skipif(not toolchain.supported_platform(), reason="the compiler is a Linux x86-64 program")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No package index: pip is told to ask none and finds nothing of the user's settings."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.fixture(scope="session")
def wheels(made_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """The two pinned wheels, fetched once through pip."""

    def fetch(folder: Path) -> None:
        folder.mkdir()
        for wheel in WHEELS:
            command = [sys.executable, "-m", "pip", "--quiet", *wheel.pip_arguments(), "--dest", str(folder)]
            subprocess.run(command, check=True, capture_output=True)

    return made_once("wheels", fetch)


@pytest.fixture
def offered(wheels: Path, tmp_path: Path) -> Path:
    """A cache in which the two wheels were put, and nothing else."""
    shutil.copytree(wheels, tmp_path / "cache" / "wheels")
    return tmp_path / "cache"


def tiny_wheels(cache: Path, monkeypatch: pytest.MonkeyPatch, **extra: str) -> tuple[PinnedWheel, ...]:
    """Two small wheels in place of the pinned ones, with the same members and whatever else is given."""
    folder = cache / "wheels"
    folder.mkdir(parents=True)
    pinned = []
    for wheel in WHEELS:
        path = folder / wheel.filename
        with zipfile.ZipFile(path, "w") as archive:
            for member in wheel.members:
                content = toolchain._GLOBAL_LOCK if member.endswith("libmyriadPlugin.so") else member.encode()
                archive.writestr(member, content)
            for name, content_ in extra.items():
                archive.writestr(name, content_)
        pinned.append(replace(wheel, sha256=sha256_of_file(path)))
    monkeypatch.setattr(toolchain, "WHEELS", tuple(pinned))
    return tuple(pinned)


def names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_the_cache_is_the_users_or_the_one_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OAKPOINT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "oakpoint"
    monkeypatch.setenv("OAKPOINT_CACHE", str(tmp_path / "mine"))
    assert default_cache() == tmp_path / "mine"


@pytest.mark.usefixtures("offline")
def test_offline_with_a_filled_cache(tmp_path: Path) -> None:
    tools = tool_folder(tmp_path)
    tools.mkdir()
    (tools / "myriad_compile").touch()
    assert ensure_toolchain(tmp_path) == tools
    assert names_in(tmp_path) == {tools.name, f"{tools.name}/myriad_compile"}


@pytest.mark.usefixtures("offline")
def test_offline_with_nothing_it_says_what_to_fetch_and_where_to_put_it(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(CompilerUnavailableError) as caught:
        ensure_toolchain(cache)
    message = str(caught.value)
    for wheel in WHEELS:
        assert f"pip {' '.join(wheel.pip_arguments())}" in message
    assert "could not fetch openvino==2021.3.0 (ERROR: No matching distribution" in message
    assert message.endswith(f"put them into {cache / 'wheels'}")
    assert names_in(cache) == set(), "nothing is left behind"


@pytest.mark.usefixtures("offline")
def test_the_command_it_names_is_one_that_pip_takes(tmp_path: Path) -> None:
    """With no index the command fails for that reason, not for an option that pip does not know."""
    for wheel in WHEELS:
        done = subprocess.run(
            [sys.executable, "-m", "pip", *wheel.pip_arguments(), "--dest", str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "No matching distribution" in done.stderr


@pytest.mark.compiler
@pytest.mark.usefixtures("offline")
def test_offline_with_the_two_wheels_put_there(offered: Path) -> None:
    tools = ensure_toolchain(offered)
    expected = {name for wheel in WHEELS for name in wheel.members.values()}
    assert names_in(tools) == expected
    assert os.access(tools / "myriad_compile", os.X_OK)
    plugin = (tools / "libmyriadPlugin.so").read_bytes()
    assert b"/tmp/mvnc.mutex" not in plugin
    environment = {"LD_LIBRARY_PATH": str(tools), "PATH": os.defpath}
    done = subprocess.run(
        [tools / "myriad_compile", "-h"], env=environment, capture_output=True, text=True, check=False
    )
    assert "VPU_NUMBER_OF_SHAVES" in done.stdout
    assert names_in(offered) == {"wheels", tools.name} | {f"{tools.name}/{n}" for n in expected} | {
        f"wheels/{wheel.filename}" for wheel in WHEELS
    }


@pytest.mark.compiler
def test_two_processes_at_once_on_an_empty_cache(offered: Path) -> None:
    code = "from oakpoint.myriad.toolchain import ensure_toolchain; print(ensure_toolchain())"
    environment = os.environ | {"OAKPOINT_CACHE": str(offered)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    ended = [process.communicate(timeout=120) for process in processes]
    tools = tool_folder(offered)
    assert ended == [(f"{tools}\n", "")] * 3
    assert {path.name for path in offered.iterdir()} == {"wheels", tools.name}


@pytest.mark.parametrize("which", [0, 1])
def test_a_wheel_of_another_content_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: int) -> None:
    pinned = tiny_wheels(tmp_path, monkeypatch)
    path = tmp_path / "wheels" / pinned[which].filename
    path.write_bytes(path.read_bytes() + b"\0")
    message = rf"{path.name}: expected sha256 {pinned[which].sha256}, got \w+; .* put the right one into {path.parent}"
    with pytest.raises(CompilerUnavailableError, match=message.replace("+", r"\+").replace(r"\w\+", r"\w+")):
        ensure_toolchain(tmp_path)
    assert names_in(tmp_path) == {"wheels"} | {f"wheels/{wheel.filename}" for wheel in pinned}


def test_only_the_wanted_members_under_fixed_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    tiny_wheels(cache, monkeypatch, **{"../../escaped": "x", "/absolute": "x", "openvino/libs/other.so": "x"})
    tools = ensure_toolchain(cache)
    assert names_in(tools) == {name for wheel in WHEELS for name in wheel.members.values()}
    assert names_in(tmp_path) == {"cache"} | {f"cache/{name}" for name in names_in(cache)}


def test_a_folder_that_lost_its_program_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_wheels(tmp_path, monkeypatch)
    broken = tool_folder(tmp_path)
    broken.mkdir()
    (broken / "rest").touch()
    assert ensure_toolchain(tmp_path) == broken
    assert "rest" not in names_in(broken)
    assert (broken / "myriad_compile").is_file()


def test_a_new_pin_gets_a_new_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tool_folder(tmp_path)
    tiny_wheels(tmp_path, monkeypatch)
    assert tool_folder(tmp_path) != before


@pytest.mark.parametrize(("system", "machine"), [("darwin", "arm64"), ("win32", "AMD64"), ("linux", "aarch64")])
def test_another_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, system: str, machine: str) -> None:
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    with pytest.raises(CompilerUnavailableError, match=f"Linux x86-64 only, this is {system} {machine}: .*--to ir"):
        ensure_toolchain(tmp_path)


@pytest.mark.usefixtures("offline")
def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CompilerUnavailableError, match=r"file/cache: .*\(Not a directory\); set OAKPOINT_CACHE"):
        ensure_toolchain(tmp_path / "file" / "cache")


def test_pip_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "python"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(slow))
    monkeypatch.setattr(toolchain, "DOWNLOAD_TIMEOUT_S", 0.3)
    with pytest.raises(CompilerUnavailableError, match=r"could not fetch openvino==2021.3.0 \(.*timed out after 0.3 s"):
        ensure_toolchain(tmp_path / "cache")
