"""Two processes on the CPU, joined by gloo, train as one that sees both of their batches."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.multiprocessing
import two_processes
from small_network import SmallNetwork
from two_processes import OPTIONS, in_process, trained

from oakpoint.errors import TrainingError, UsageError
from oakpoint.threads import cores
from oakpoint.training.processes import Place, join_processes, process_count, run_in_processes
from oakpoint.training.views import ViewPairs

BAD_STEP = 2


def run_two(folder: Path, batches: list[ViewPairs], seeds: tuple[int, int] = (0, 0)) -> None:
    torch.save(batches, folder / "batches.pt")
    torch.multiprocessing.spawn(in_process, (folder, seeds), nprocs=2)
    for rank in (0, 1):  # one that is left may abort the process at its end
        assert not (folder / f"threads_{rank}.txt").read_text(), "threads of the process group are left"


@pytest.fixture
def batches(toy_pairs):
    return [toy_pairs(2, seed=seed) for seed in range(OPTIONS.steps)]


@pytest.mark.slow
def test_two_processes_move_the_weights_as_one_does(tmp_path, batches):
    for name in ("two", "one"):
        (tmp_path / name).mkdir()
    run_two(tmp_path / "two", batches, seeds=(0, 7))  # all start from the first one's weights
    expected = trained(tmp_path / "one", batches, Place(0, 1, torch.device("cpu")))
    first, second = (torch.load(tmp_path / "two" / f"state_{rank}.pt") for rank in (0, 1))
    torch.manual_seed(0)
    start = SmallNetwork().state_dict()
    for name, value in expected.items():
        assert torch.equal(first[name], second[name]), name
        moved = (value - start[name]).abs().max()
        assert moved > 1e-4, name
        assert (first[name] - value).abs().max() < 0.02 * moved, name
    assert len((tmp_path / "two" / "metrics.jsonl").read_text().splitlines()) == 1


@pytest.mark.slow
def test_a_bad_batch_of_one_process_stops_both(tmp_path, batches):
    views = batches[BAD_STEP].views.clone()
    views[1] = torch.nan  # the second process's
    batches[BAD_STEP] = replace(batches[BAD_STEP], views=views)
    run_two(tmp_path, batches)
    mine, others = ((tmp_path / f"error_{rank}.txt").read_text() for rank in (0, 1))
    assert f"step {BAD_STEP}: expected finite losses and gradients, got detector nan" in others
    assert f"step {BAD_STEP}" in mine
    assert "gradient of norm nan (another process's were not); the batch is in" in mine
    assert "bad_batch_1.pt" in mine
    assert torch.isnan(torch.load(tmp_path / "bad_batch_1.pt")["views"]).any()
    assert not (tmp_path / "bad_batch.pt").exists()


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert process_count(None, None) == process_count("cuda", 1) == 1
    assert process_count("cpu", 2) == 2
    with pytest.raises(UsageError, match="expected one for each GPU, 1 here, at most, got 2; or run with --device cpu"):
        process_count(None, 2)


def failing(error: Exception, meeting: object) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried\nmore"),
            r"memory is short \(CUDA out of memory. Tried\); the",
        ),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "memory is short"),
        (RuntimeError("[/gloo/transport/tcp/pair.cc] Connection closed by peer"), "another training process ended"),
    ],
)
def test_errors_of_torch_that_a_user_can_act_on(error: Exception, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        run_in_processes(failing, error, 1)  # type: ignore[arg-type]


def test_a_mistake_of_ours_is_not_called_a_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match="expected scalar type Half"):
        run_in_processes(failing, RuntimeError("expected scalar type Half"), 1)  # type: ignore[arg-type]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs Linux's list of processes")
def test_the_others_end_with_a_first_process_that_is_killed(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from two_processes import waiting\n"
        "from oakpoint.training.processes import run_in_processes\n"
        f"run_in_processes(waiting, Path({str(tmp_path)!r}), 2)"
    )
    folder = Path(two_processes.__file__).parent
    first = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(folder)})
    pid = tmp_path / "pid_1"
    until(lambda: pid.is_file() or first.poll() is not None)
    assert first.poll() is None
    first.kill()
    first.wait()
    until(lambda: not Path("/proc", pid.read_text(), "fd").is_dir())


def test_the_number_of_torchs_threads_is_the_users_again() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(cores() + 1)
        with join_processes("cpu", None):
            assert torch.get_num_threads() == cores()
        assert torch.get_num_threads() == cores() + 1
    finally:
        torch.set_num_threads(before)


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 100
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)
