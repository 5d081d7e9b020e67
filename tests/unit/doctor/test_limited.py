from __future__ import annotations

import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from oakpoint.doctor import limited
from oakpoint.doctor.limited import Ended, ProbeError, end_running, run_limited, run_probe


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_what_a_program_says_on_both_streams_and_how_it_ended() -> None:
    ended = run_limited(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"), limit_s=20)
    assert ended.code == 3
    assert sorted(ended.text.split()) == ["err", "out"]


def test_a_program_that_hangs_and_has_children_is_ended_in_time() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    start = time.monotonic()
    assert run_limited(python(code), limit_s=0.5).code is None
    assert time.monotonic() - start < 60


def test_ctrl_c_ends_a_program_that_hangs(tmp_path: Path) -> None:
    """As in the doctor: the program runs for a thread, and Ctrl-C reaches the main one alone."""
    started = tmp_path / "started"
    code = f"import pathlib, time; pathlib.Path({str(started)!r}).touch(); time.sleep(600)"
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(run_limited, python(code), limit_s=300)
        while not started.is_file():
            time.sleep(0.01)
        end_running()
        assert ended.result(60).code == -signal.SIGKILL


def test_a_program_that_is_not_there() -> None:
    ended = run_limited(["/no/such/program"], limit_s=1)
    assert ended.code == 127
    assert "/no/such/program: No such file" in ended.text


@pytest.mark.parametrize(
    ("ended", "message"),
    [
        (Ended(None, "[warning] noise\n"), "gave no answer within 7 s"),
        (Ended(1, "Traceback\nImportError: no moon\n"), "ended with code 1: ImportError: no moon"),
        (Ended(-11, ""), "ended with code -11: no message"),
        (Ended(0, f"{limited.PROBE_MARK}not json"), "ended with code 0"),
    ],
)
def test_a_probe_without_an_answer_is_one_line(monkeypatch: pytest.MonkeyPatch, ended: Ended, message: str) -> None:
    monkeypatch.setattr(limited, "run_limited", lambda *_, **__: ended)
    with pytest.raises(ProbeError, match=message) as error:
        run_probe("oakpoint.doctor.probe_openvino", limit_s=7)
    assert "\n" not in str(error.value)


def test_an_answer_counts_even_when_the_runtime_crashes_on_its_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"[warning] noise\n{limited.PROBE_MARK}[1, 2]\nSegmentation fault\n"
    monkeypatch.setattr(limited, "run_limited", lambda *_, **__: Ended(-11, text))
    assert run_probe("m", limit_s=1) == [1, 2]
