from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from oakpoint.errors import MissingExtraError, OutputError
from oakpoint.tune.search import import_optuna
from oakpoint.tune.space import Parameter, Space
from oakpoint.tune.study import BLOBS_FOLDER, JOURNAL_FILE, open_study
from oakpoint.tune.trial import Failed, Interval, Measured, Trial

pytest.importorskip("optuna")

SPACE = Space((Parameter("size", ("8x8", "16x16")), Parameter("heads", ("dense", "packed"))))
OF = {"model": "0123", "images": "4567", "seed": 0}
GOOD = Measured(accuracy=Interval(0.5, 0.4, 0.6), time=Interval(2.0, 1.0, float("inf")), reference_ms=3.0)


def trial(number: int, outcome=GOOD) -> Trial:
    return Trial(number=number, configuration=SPACE.at(number - 1), outcome=outcome, seconds=1.5)


def kept(folder) -> tuple[Trial, ...]:
    with open_study(folder, SPACE, OF) as study:
        return study.trials


def test_trials_are_there_again(tmp_path):
    trials = (trial(1), trial(2, Failed("not taken")), trial(3))
    with open_study(tmp_path / "s", SPACE, OF) as study:
        assert study.trials == ()
        for one in trials:
            study.add(one)
        assert study.trials == trials
    assert kept(tmp_path / "s") == trials


def test_a_journal_is_one_that_optuna_reads(tmp_path):
    optuna = import_optuna()
    with open_study(tmp_path / "s", SPACE, OF) as study:
        study.add(trial(1))
        study.add(trial(2, Failed("not taken")))
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "s" / JOURNAL_FILE))
    (loaded,) = optuna.get_all_study_summaries(optuna.storages.JournalStorage(backend))
    assert loaded.n_trials == 2


@pytest.mark.parametrize(
    ("changed", "named"), [({"model": "89ab"}, "model"), ({"images": "x"}, "images"), ({"seed": 1}, "seed")]
)
def test_a_study_of_something_else_is_refused(tmp_path, changed, named):
    with open_study(tmp_path / "s", SPACE, OF) as study:
        study.add(trial(1))
    with (
        pytest.raises(OutputError, match=f"holds a study with another {named} ") as error,
        open_study(tmp_path / "s", SPACE, OF | changed),
    ):
        pass
    assert "\n" not in str(error.value)
    assert len(kept(tmp_path / "s")) == 1


def test_one_of_another_space_is_refused(tmp_path):
    kept(tmp_path / "s")
    with (
        pytest.raises(OutputError, match="another space"),
        open_study(tmp_path / "s", SPACE.limited(["heads=packed"]), OF),
    ):
        pass


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="is not a study that oakpoint made"), open_study(tmp_path, SPACE, OF):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    kept(tmp_path / "s")
    (tmp_path / "s" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"notes\.txt is not part of a study"), open_study(tmp_path / "s", SPACE, OF):
        pass


def test_its_blobs_are_part_of_it(tmp_path):
    kept(tmp_path / "s")
    (tmp_path / "s" / BLOBS_FOLDER).mkdir()
    (tmp_path / "s" / BLOBS_FOLDER / "0123.blob").write_bytes(b"blob")
    assert kept(tmp_path / "s") == ()


def test_nobody_else_is_at_work_there(tmp_path):
    with (
        open_study(tmp_path / "s", SPACE, OF),
        pytest.raises(OutputError, match="another process"),
        open_study(tmp_path / "s", SPACE, OF),
    ):
        pass


@pytest.mark.parametrize("left", [b'{"op_code":4,"wor', b"{", b'{"op_code":4'])
def test_a_line_that_was_not_finished_is_left_out(tmp_path, left):
    with open_study(tmp_path / "s", SPACE, OF) as study:
        study.add(trial(1))
    with (tmp_path / "s" / JOURNAL_FILE).open("ab") as stream:
        stream.write(left)
    with open_study(tmp_path / "s", SPACE, OF) as study:
        study.add(trial(2))
    assert kept(tmp_path / "s") == (trial(1), trial(2))


def test_the_lock_of_a_writer_that_was_killed_does_not_keep_the_next_one_waiting(tmp_path):
    kept(tmp_path / "s")
    (tmp_path / "s" / f"{JOURNAL_FILE}.lock").symlink_to(tmp_path / "s" / JOURNAL_FILE)
    with open_study(tmp_path / "s", SPACE, OF) as study:
        study.add(trial(1))
    assert kept(tmp_path / "s") == (trial(1),)


@pytest.mark.parametrize("content", [b"no journal\n", b"[]\n{}\n", b'{"op_code": 99}\n', b"\xff\xfe\n"])
def test_a_damaged_journal_is_said_in_one_line(tmp_path, content):
    (tmp_path / JOURNAL_FILE).write_bytes(content)
    with pytest.raises(OutputError, match="is damaged") as error, open_study(tmp_path, SPACE, OF):
        pass
    assert "\n" not in str(error.value)


KILLED = """
import sys
from pathlib import Path
from oakpoint.tune.space import Parameter, Space
from oakpoint.tune.study import open_study
from oakpoint.tune.trial import Interval, Measured, Trial
space = Space((Parameter("size", ("8x8", "16x16")), Parameter("heads", ("dense", "packed"))))
with open_study(Path(sys.argv[1]), space, {"model": "0123", "images": "4567", "seed": 0}) as study:
    number = 0
    while True:
        outcome = Measured(accuracy=Interval(0.5, 0.4, 0.6), time=Interval(2.0, 1.0, 3.0))
        number += 1
        study.add(Trial(number=number, configuration=space.at(number % 4), outcome=outcome, seconds=0.0))
        print(number, flush=True)
"""


def test_what_was_kept_survives_sigkill(tmp_path):
    started = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path / "s")], stdout=subprocess.PIPE, text=True
    )
    assert started.stdout is not None
    for _ in range(20):
        told = int(started.stdout.readline())
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    started.stdout.close()
    found = kept(tmp_path / "s")
    assert len(found) >= told
    assert [one.number for one in found] == list(range(1, len(found) + 1))


def test_without_optuna_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'oakpoint\[tune\]'"):
        import_optuna()
