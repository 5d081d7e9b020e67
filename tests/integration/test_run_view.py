"""``oakpoint run … --view web`` from the outside: the program, its address, its end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import cv2
import numpy as np
import pytest
from websockets.sync.client import ClientConnection, connect

from oakpoint.run.page.protocol import parts_of_frame
from oakpoint.run.page.server import listen


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, photographs: dict[str, Any]) -> Path:
    """Six frames."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (160, 120))
    for shift in range(6):
        video.write(np.ascontiguousarray(photographs["coffee"][10:130, 5 * shift : 5 * shift + 160]))
    video.release()
    return path


@contextmanager
def running(folder: Path, *arguments: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The program, which prints to the file ``printed``, and the address that it told."""
    with (folder / "printed").open("w") as printed:  # a pipe that nobody reads would hold it up
        program = subprocess.Popen(
            [sys.executable, "-m", "oakpoint", "run", *map(str, arguments), "--view", "web", "--port", "0"],
            cwd=folder,
            env=os.environ | {"TERM": "dumb"},
            stdout=printed,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert program.stderr is not None
    try:
        for line in program.stderr:
            if (found := re.search(r"open (http://\S+)", line)) is not None:
                yield program, found[1]
                break
        else:
            pytest.fail("the program told no address")
    finally:
        program.kill()
        program.communicate()


@contextmanager
def viewer(url: str) -> Iterator[ClientConnection]:
    origin: Any = url.rstrip("/")
    with connect(f"{url.replace('http', 'ws', 1)}frames", origin=origin, max_size=None) as connection:
        yield connection


def state_of(connection: ClientConnection, such: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    while True:
        received = connection.recv(timeout=60)
        if isinstance(received, str):
            state: dict[str, Any] = json.loads(received)
            if such(state):
                return state


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_and_both_recordings_are_whole(
    small_bundle: Path, tmp_path: Path, number: signal.Signals
) -> None:
    long = cv2.VideoWriter(str(tmp_path / "long.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 30, (160, 120))
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    for shift in range(1500):  # more than are taken before it ends
        long.write(np.roll(noise, shift, axis=1))
    long.release()
    with running(tmp_path, small_bundle, "long.avi", "--save", "seen.mp4") as (program, url), viewer(url) as one:
        one.send('{"type":"pause","paused":true}')
        state_of(one, lambda state: state["paused"])
        one.send('{"type":"record","on":true}')
        state_of(one, lambda state: state["recording"] is not None)
        for _ in range(3):
            one.send('{"type":"ready"}')
            index = None
            while index is None:
                received = one.recv(timeout=60)
                index = parts_of_frame(received)[0]["index"] if isinstance(received, bytes) else None
            one.send('{"type":"step"}')
        program.send_signal(number)
        state_of(one, lambda state: state["ended"] == "run")
        said = program.communicate(timeout=60)[1]
    assert program.returncode == 128 + number
    assert "Traceback" not in said
    assert "saved seen.mp4" in (tmp_path / "printed").read_text()
    (recorded,) = (tmp_path / "oakpoint-recordings").iterdir()
    for path in (tmp_path / "seen.mp4", recorded):
        video = cv2.VideoCapture(str(path))
        assert video.read()[0], path
        video.release()
    assert not list(tmp_path.rglob(".*"))


def test_at_the_end_of_a_clip_it_stays_until_it_is_stopped(small_bundle: Path, clip: Path, tmp_path: Path) -> None:
    with running(tmp_path, small_bundle, clip, "--json") as (program, url), viewer(url) as one:
        state = state_of(one, lambda state: state["ended"] == "source")
        assert (state["source"], state["task"]) == ("clip.mp4", "keypoints")
        with urlopen(url + "snapshot.png", timeout=30) as answer:
            assert answer.read(4) == b"\x89PNG"
        program.send_signal(signal.SIGINT)
        said = program.communicate(timeout=60)[1]
    assert program.returncode == 130
    assert json.loads((tmp_path / "printed").read_text())["frames"] == 6
    assert "stopped by Ctrl-C" in said


def test_with_a_number_of_frames_it_ends_by_itself(small_bundle: Path, clip: Path, command: Callable[..., Any]) -> None:
    ran = command("run", small_bundle, clip, "--view", "web", "--port", 0, "--max-frames", 3)
    assert ran.code == 0
    assert "3 frames" in ran.out
    assert re.search(r"open http://127\.0\.0\.1:\d+/ ", ran.err)


def test_any_other_address_has_a_token(small_bundle: Path, clip: Path, command: Callable[..., Any]) -> None:
    ran = command("run", small_bundle, clip, "--view", "web", "--host", "0.0.0.0", "--port", 0, "--max-frames", 1)
    assert ran.code == 0
    assert re.search(r"open http://[\w.-]+:\d+/[\w-]{32}/ ", ran.err)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--view", "window"), "--view: expected web or rerun, got 'window'"),
        (("--port", "8000"), "--port: counts with --view web only"),
        (("--host", "0.0.0.0"), "--host: counts with --view web only"),
        (("--recordings", "x"), "--recordings: counts with --view web only"),
        (("--view", "web", "--port", "99999"), "--port: expected 0 to 65535, got 99999"),
        (("--view", "web", "--host", "203.0.113.9"), "--host: 203.0.113.9 is no address of this machine"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(
    small_bundle: Path, clip: Path, command: Callable[..., Any], options: tuple[str, ...], words: str
) -> None:
    ran = command("run", small_bundle, clip, *options)
    assert ran.code != 0
    assert len(ran.errors) == 1
    assert words in ran.errors[0]


def test_a_port_in_use_is_said_before_anything_is_loaded(clip: Path, command: Callable[..., Any]) -> None:
    with listen(port=0).socket as taken:
        ran = command("run", "no-such-bundle", clip, "--view", "web", "--port", taken.getsockname()[1])
    assert ran.code != 0
    assert "is in use; choose another one" in ran.errors[0]
