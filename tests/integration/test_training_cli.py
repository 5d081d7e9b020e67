"""``oakpoint distill`` and ``oakpoint train`` as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import oakpoint
from oakpoint.files import holding_folder
from oakpoint.networks.acorn import Acorn
from oakpoint.networks.licences import record_of
from oakpoint.networks.registry import load_network
from oakpoint.networks.weights import read_state
from oakpoint.training import labelling
from oakpoint.training.checkpoint import progress_of
from oakpoint.training.synthetic.images import synthetic_image

Command = Callable[..., Any]

OFTEN_SAVED = Path(__file__).parents[1] / "networks" / "often_saved.py"
SMALL = ("--steps", 4, "--pairs", 1, "--view", "64x64", "--processes", 1, "--device", "cpu")


@pytest.fixture(scope="session")
def few_images(tmp_path_factory: pytest.TempPathFactory, photographs: dict[str, np.ndarray]) -> Path:
    folder = tmp_path_factory.mktemp("few")
    for name, image in list(photographs.items())[:3]:
        cv2.imwrite(str(folder / f"{name}.png"), image)
    return folder


@pytest.mark.slow
def test_distilling_from_the_shipped_acorn_gives_weights_that_convert(
    command: Command, few_images: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    ran = command("distill", "--images", few_images, "--out", run, *SMALL, "--json")
    assert ran.code == 0, ran.err
    facts = json.loads(ran.out)
    assert facts["weights"] == str(run / "acorn.safetensors")
    assert facts["precision"] in ("bf16", "f32")
    assert set(facts["validation"]) == {"repeatability", "localisation_px", "mma_1px", "mma_3px"}
    assert {path.name for path in run.iterdir()} >= {"run.json", "metrics.jsonl", "losses.png", "looks", "dataset"}
    assert cv2.imread(str(run / "looks" / "0000004.png")) is not None
    state = load_file(run / "acorn.safetensors")
    assert {tensor.dtype for tensor in state.values()} == {torch.float16}
    Acorn().load_state_dict({name: tensor.float() for name, tensor in state.items()})
    record = json.loads((run / "run.json").read_text())
    assert record["teacher_weights"]["file"] == record["init_weights"]["file"] == "acorn.safetensors"
    with safe_open(run / "acorn.safetensors", "pt") as file:
        header = file.metadata()
    assert header["teacher_licence"] == header["init_licence"] == "Apache-2.0"
    assert header["init_sha256"] == record["init_weights"]["sha256"]
    assert "restriction" not in header
    assert record["training"]["precision"] == facts["precision"]
    assert f"training in {facts['precision']} on cpu, 1 process" in ran.err
    with oakpoint.load("acorn", weights=run / "acorn.safetensors") as extractor:
        assert len(extractor(cv2.imread(str(next(few_images.iterdir())))))


@pytest.fixture
def bound_weights(tmp_path: Path) -> Path:
    """Weights of acorn that say that their licence binds what learns from them."""
    path = tmp_path / "bound.safetensors"
    facts = {"restriction": "its licence binds what learns from it", "licence": "research only"}
    save_file(Acorn().state_dict(), path, metadata=facts)
    return path


def test_a_licence_that_binds_is_accepted_by_name_and_goes_along(
    command: Command, tmp_path: Path, bound_weights: Path
) -> None:
    run, child = tmp_path / "run", tmp_path / "run" / "acorn.safetensors"
    arguments = ("train", "--synthetic", 2, "--init", bound_weights, "--out", run, *SMALL)
    ran = command(*arguments)
    assert ran.code == 1
    assert "bound.safetensors: not taken as initial weights: its licence binds" in ran.err
    assert "--accept-licence" in ran.err
    assert not run.exists()
    assert command(*arguments, "--accept-licence").code == 0
    assert record_of(child, read_state(child)).licence == "research only"
    assert json.loads((run / "run.json").read_text())["init_weights"]["licence"] == "research only"
    other = ("train", "--synthetic", 2, "--init", child, "--out", tmp_path / "grandchild", *SMALL)
    assert "not taken as initial weights: its licence binds" in command(*other).err


@pytest.mark.slow
def test_a_run_goes_on_where_its_weights_have_moved_and_not_with_others(
    command: Command, few_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    init = tmp_path / "init.safetensors"
    save_file(load_network("acorn", None, seed=1).module.state_dict(), init)
    arguments = ("distill", "--out", tmp_path / "run", "--image-size", "128x96", *SMALL)
    monkeypatch.chdir(few_images)
    assert command(*arguments, "--images", ".", "--init", init).code == 0
    moved = init.rename(tmp_path / "moved.safetensors")
    monkeypatch.chdir(tmp_path)
    assert command(*arguments, "--images", few_images, "--init", moved).code == 0
    save_file(load_network("acorn", None, seed=2).module.state_dict(), moved)
    ran = command(*arguments, "--images", few_images, "--init", moved)
    assert ran.code == 1
    assert "holds a run with another init_weights.sha256" in ran.err


def test_a_finished_run_is_left_as_it_is_and_goes_on_when_asked_for_more_steps(
    command: Command, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    arguments = ("train", "--synthetic", 3, "--out", run, "--pairs", 1, "--view", "64x64", "--processes", 1)
    assert command(*arguments, "--steps", 2).code == 0
    first = (run / "acorn.safetensors").read_bytes()
    assert command(*arguments, "--steps", 2).code == 0
    state, before = (load_file(path) for path in (run / "acorn.safetensors", _saved(first, tmp_path)))
    assert all(torch.equal(state[name], before[name]) for name in before)
    assert command(*arguments, "--steps", 3).code == 0
    assert not torch.equal(load_file(run / "acorn.safetensors")["encoder.0.0.weight"], before["encoder.0.0.weight"])


def _saved(content: bytes, folder: Path) -> Path:
    path = folder / "before.safetensors"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("distill", "--images", "nowhere"), "nowhere"),
        (("distill", "--images", "{images}", "--teacher", "nobody"), "expected one of"),
        (("distill", "--images", "{images}", "--teacher", "edgepoint2"), "weights are needed"),
        (("distill", "--images", "{images}", "--device", "tpu"), "expected cpu or cuda"),
        (("distill", "--images", "{images}", "--view", "60x64"), "multiples of 8"),
        (("distill", "--images", "{images}", "--precision", "f8"), "expected one of bf16, f32"),
        (("distill", "--images", "{images}", "--init", "nothing.pth"), "no such weights file"),
        (("distill", "--images", "{images}", "--student", "small_network:SmallNetwork"), "expected descriptors of 16"),
        (("distill", "--images", "{images}", "--student", "small_network:WrongOutputs"), "expected semi"),
        (("distill", "--images", "{images}", "--image-size", "64x64"), "images: 64×64 px is too small for"),
        (("distill", "--images", "{images}", "--teacher", "superpoint"), "--teacher-weights FILE"),
        (("distill", "--images", "{images}", "--teacher", "small_teacher:Raises"), "cannot be run (ValueError: moon)"),
        (("distill", "--images", "{images}", "--teacher", "small_teacher:Tuple"), "expected TeacherOutputs, got tuple"),
        (("train", "--student", "nobody", "--synthetic", 2), "expected one of"),
    ],
)
def test_mistakes_are_one_line(
    command: Command, few_images: Path, tmp_path: Path, arguments: tuple[object, ...], message: str
) -> None:
    given = [str(few_images) if argument == "{images}" else argument for argument in arguments]
    ran = command(*given, "--out", tmp_path / "run", "--steps", 1, "--processes", 1)
    assert ran.code == 1
    lines = ran.err.strip().splitlines()
    assert len(lines) == 1, ran.err
    assert message in lines[0]
    assert not (tmp_path / "run").exists(), "what is refused leaves nothing"


def test_images_without_a_keypoint_are_one_line(command: Command, few_images: Path, tmp_path: Path) -> None:
    blind = ("--teacher", "small_teacher:Blind", "--teacher-share", 0, "--image-size", "128x96")
    ran = command("distill", "--images", few_images, *blind, "--out", tmp_path / "run", *SMALL)
    assert ran.code == 1
    assert "expected keypoints in the images, got none in all 3" in ran.errors[-1]
    assert "Traceback" not in ran.err


def test_a_folder_that_another_run_is_at_is_left_alone(command: Command, tmp_path: Path) -> None:
    with holding_folder(tmp_path / "run"):
        ran = command("train", "--synthetic", 2, "--out", tmp_path / "run", *SMALL)
        assert ran.code == 1
        assert len(ran.errors) == 1
        assert "run: another process is at work there; wait for it to end" in ran.err
        assert not list((tmp_path / "run").iterdir())


@pytest.mark.parametrize("limit", [200_000, 13_000_000])
def test_a_full_disk_is_one_line(command: Command, tmp_path: Path, limit: int) -> None:
    """The first limit is too little for the images, the second for the checkpoint of a wide network.

    In a process of its own: this one's files must not be limited.
    """
    arguments = ("train", "--synthetic", 2, "--student", "small_network:WideNetwork", "--out", tmp_path / "run", *SMALL)
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
    ran = subprocess.run(
        [sys.executable, "-c", limited + "from oakpoint.__main__ import main; main()", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(OFTEN_SAVED.parent)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 1, ran.stderr
    assert ("dataset" if limit < 1e6 else "checkpoint.pt") + ": cannot be written (" in ran.stderr.splitlines()[-1]
    assert "Traceback" not in ran.stderr
    assert command(*arguments).code == 0


def test_an_image_is_drawn_once_and_a_killed_run_keeps_those_that_it_drew(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, killed_at = [], [3]

    def draw(size: tuple[int, int], rng: np.random.Generator) -> Any:
        if len(drawn) == killed_at[0]:
            raise KeyboardInterrupt
        drawn.append(size)
        return synthetic_image(size, rng)

    monkeypatch.setattr(labelling, "synthetic_image", draw)
    arguments = ("train", "--synthetic", 5, "--out", tmp_path / "run", *SMALL)
    interrupted = command(*arguments)
    assert interrupted.code == 130
    assert "the same command goes on where this one stopped" in interrupted.err
    assert len(drawn) == 3
    killed_at[0] = 100
    ran = command(*arguments)
    assert ran.code == 0
    assert "labelled 5 of 5 images" in ran.err
    assert drawn == 5 * [(640, 480)]
    images = np.load(tmp_path / "run" / "dataset" / "images.npy")
    assert all(image.std() > 1 for image in images)


def test_a_damaged_record_is_one_line(command: Command, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{half")
    ran = command("train", "--synthetic", 2, "--out", tmp_path / "run", *SMALL)
    assert ran.code == 1
    assert "expected what a run was asked" in ran.err.strip()
    assert len(ran.err.strip().splitlines()) == 1


def test_a_damaged_checkpoint_is_one_line_before_anything_is_labelled(command: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "checkpoint.pt").write_bytes(b"half a checkpoint")
    ran = command("train", "--synthetic", 2, "--out", run, *SMALL)
    assert ran.code == 1
    assert "expected a checkpoint of this network" in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert [path.name for path in run.iterdir()] == ["checkpoint.pt"]


def test_a_folder_of_other_things_is_not_written_to(command: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "acorn.safetensors").write_bytes(b"precious")
    ran = command("train", "--synthetic", 2, "--out", run, *SMALL)
    assert ran.code == 1
    message = (
        f"error: {run}: holds acorn.safetensors, and is not a training run that oakpoint made; choose another --out"
    )
    assert ran.err.strip() == message
    assert {path.name: path.read_bytes() for path in run.iterdir()} == {"acorn.safetensors": b"precious"}


def test_what_lies_beside_a_runs_files_stays_when_it_goes_on(command: Command, tmp_path: Path) -> None:
    arguments = ("train", "--synthetic", 2, "--out", tmp_path / "run", *SMALL)
    assert command(*arguments).code == 0
    (tmp_path / "run" / "notes.txt").write_text("precious")
    assert command(*arguments).code == 0
    assert (tmp_path / "run" / "notes.txt").read_text() == "precious"


def test_a_run_of_other_options_is_not_continued(command: Command, tmp_path: Path) -> None:
    arguments = ("train", "--synthetic", 2, "--out", tmp_path / "run", *SMALL)
    assert command(*arguments).code == 0
    ran = command(*arguments, "--seed", 5)
    assert ran.code == 1
    message = (
        "holds a run with another dataset.seed (it was 0, now it is 5), training.seed (it was 0, now it is 5); give"
    )
    assert message in ran.err


def test_fewer_pairs_and_processes_go_on(command: Command, tmp_path: Path) -> None:
    arguments = ("train", "--synthetic", 2, "--out", tmp_path / "run", "--view", "64x64", "--device", "cpu")
    assert command(*arguments, "--steps", 2, "--pairs", 2, "--processes", 1).code == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps(record | {"processes": 2}))  # as after a run of two
    assert command(*arguments, "--steps", 4, "--pairs", 1, "--processes", 1).code == 0
    assert progress_of(tmp_path / "run").step == 4


def test_before_its_first_checkpoint_a_run_may_be_trained_otherwise(command: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert command("train", "--synthetic", 2, "--out", run, *SMALL).code == 0
    labelled = (run / "dataset" / "points.npy").stat().st_mtime_ns
    (run / "checkpoint.pt").unlink()
    ran = command("train", "--synthetic", 2, "--out", run, *SMALL[:4], "--view", "96x64", *SMALL[6:])
    assert ran.code == 0, ran.err
    assert (run / "dataset" / "points.npy").stat().st_mtime_ns == labelled, "the labels are not made again"


def test_what_is_trained_is_decoded_as_it_was_trained(command: Command, tmp_path: Path) -> None:
    run, student = tmp_path / "run", "small_network:SmallNetwork"
    assert command("train", "--synthetic", 2, "--student", student, "--out", run, *SMALL).code == 0
    weights = run / "smallnetwork.safetensors"
    converted = ("convert", student, "--weights", weights, "--size", "160x120", "--to", "ir", "--out", tmp_path / "b")
    command(*converted)  # what was trained for four steps may not pass
    with oakpoint.load(student, weights=weights) as extractor:
        assert (extractor.decode.sampling, extractor.decode.subpixel) == ("cell_centres", "soft_argmax")
    decode = json.loads((tmp_path / "b" / "manifest.json").read_text())["task"]["parameters"]["decode"]
    assert (decode["sampling"], decode["subpixel"], decode["threshold"]) == ("cell_centres", "soft_argmax", 0.005)


def test_a_run_made_shorter_says_how_far_it_came(command: Command, tmp_path: Path) -> None:
    arguments = ("train", "--synthetic", 2, "--out", tmp_path / "run", "--pairs", 1, "--view", "64x64")
    for steps in (3, 1):
        assert command(*arguments, "--processes", 1, "--steps", steps).code == 0
        with safe_open(tmp_path / "run" / "acorn.safetensors", "pt") as file:
            assert file.metadata()["steps"] == "3"
    assert sorted(path.name for path in (tmp_path / "run" / "looks").iterdir()) == ["0000003.png"]


def test_the_example_of_the_documentation(
    command: Command, few_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "teachers.md").read_text()
    (tmp_path / "mine.py").write_text(page.split("```python\n")[1].split("```")[0])
    monkeypatch.chdir(tmp_path)
    own = ("--teacher", "mine:Contrast", "--student", "mine:Small", "--init", "scratch", "--image-size", "128x96")
    ran = command("distill", "--images", few_images, *own, "--out", "run", *SMALL)
    assert ran.code == 0, ran.err
    network = load_network("mine:Small", Path("run/small.safetensors"))
    assert network.decode_preset == "distilled"
    assert network.weights.licence == "unknown"


def test_the_way_out_of_a_loss_that_is_not_finite_can_be_taken(command: Command, tmp_path: Path) -> None:
    arguments = ("train", "--synthetic", 2, "--student", "small_network:BadInBf16", "--out", tmp_path / "run", *SMALL)
    ran = command(*arguments, "--precision", "bf16")
    assert ran.code == 1
    assert "a lower --learning-rate or with --precision f32 goes on" in ran.err
    assert command(*arguments, "--precision", "f32", "--learning-rate", 1e-4).code == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())["training"]
    assert (record["precision"], record["learning_rate"]) == ("f32", 1e-4)


@pytest.mark.slow
def test_two_processes_that_are_refused_say_so_in_one_line(tmp_path: Path) -> None:
    arguments = ["train", "--synthetic", "2", "--processes", "2", "--device", "cpu", "--out", str(tmp_path / "run")]
    with holding_folder(tmp_path / "run"):
        ran = subprocess.run(
            [sys.executable, "-m", "oakpoint", *arguments], capture_output=True, text=True, timeout=120
        )
    assert ran.returncode == 1
    assert len(ran.stderr.strip().splitlines()) == 1, ran.stderr
    assert "another process is at work there" in ran.stderr


@pytest.mark.slow
def test_a_killed_run_of_two_processes_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    def start(folder: Path) -> subprocess.Popen[str]:
        arguments = ["train", "--synthetic", "4", "--steps", "60", "--pairs", "2", "--view", "64x64"]
        return subprocess.Popen(
            [sys.executable, OFTEN_SAVED, *arguments, "--processes", "2", "--device", "cpu", "--out", str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    whole = start(tmp_path / "whole")
    output, _ = whole.communicate(timeout=300)
    assert whole.returncode == 0, output
    killed = start(tmp_path / "killed")
    metrics, checkpoint = (tmp_path / "killed" / name for name in ("metrics.jsonl", "checkpoint.pt"))
    deadline = time.monotonic() + 200
    while not checkpoint.is_file() and killed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert 0 < progress_of(tmp_path / "killed").step < 60
    again = start(tmp_path / "killed")
    output, _ = again.communicate(timeout=300)
    assert again.returncode == 0, output
    records = [json.loads(line) for line in metrics.read_text().splitlines()]
    steps = [record["step"] for record in records if "detector_loss" in record]
    assert steps == sorted(set(steps))
    assert steps[-1] == 60
    first, second = (load_file(tmp_path / name / "acorn.safetensors") for name in ("whole", "killed"))
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's list of child processes")
def test_a_process_that_is_killed_ends_the_run_in_one_line(tmp_path: Path) -> None:
    arguments = [
        "train",
        "--synthetic",
        "4",
        "--steps",
        "100000",
        "--pairs",
        "1",
        "--view",
        "64x64",
        "--device",
        "cpu",
        "--processes",
        "2",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "oakpoint", *arguments, "--out", tmp_path / "run"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    metrics = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 200
    while not metrics.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    for child in _training_children(process.pid):
        os.kill(child, signal.SIGKILL)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Traceback" not in error
    assert "another training process ended (exit code -9)" in error


def _training_children(pid: int) -> list[int]:
    """Children that compute; multiprocessing has one more, which tracks resources."""
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [child for child in children if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()]
