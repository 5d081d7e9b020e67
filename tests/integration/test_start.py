"""What is imported for what: by name, since times depend on the machine (``benchmarks/start.py`` has them)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

EXTRAS = (
    "torch", "onnxscript", "safetensors", "skimage", "depthai", "bsdiff4", "sklearn", "pyarrow", "rerun", "starlette",
    "uvicorn", "websockets",
)  # fmt: skip
"""Packages that extras bring."""

LATE = ("av", "h5py", "jinja2", "matplotlib", "onnxruntime", "asyncio")
"""Packages that oakpoint brings and that an image by itself does not need."""

OWN_LATE = (
    "oakpoint.bench", "oakpoint.chain", "oakpoint.convert.device_graph", "oakpoint.convert.rewrites.operators",
    "oakpoint.evaluate", "oakpoint.layers", "oakpoint.myriad", "oakpoint.oak.camera", "oakpoint.report",
    "oakpoint.training",
)  # fmt: skip

RUNTIMES = ("cv2", "numpy", "onnx", "onnxruntime", "openvino", "pydantic", "torch")

_REPORT = """
import json, sys
begun = set(sys.modules)
try:
    {statement}
except SystemExit:
    pass
print("\\n" + json.dumps(sorted(set(sys.modules) - begun)))
"""

_WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in {packages!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
"""


def python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def command_line(*arguments: object) -> str:
    words = ["oakpoint", *map(str, arguments)]
    return f"import sys; sys.argv = {words!r}; from oakpoint.__main__ import main; main()"


def imported(statement: str) -> set[str]:
    """Modules that a statement imports."""
    ran = python(_REPORT.format(statement=statement))
    assert ran.returncode == 0, ran.stderr
    return set(json.loads(ran.stdout.splitlines()[-1]))


def of(packages: Iterable[str], modules: set[str]) -> list[str]:
    """Those of the packages of which something was imported."""
    return [package for package in packages if any(f"{name}.".startswith(f"{package}.") for name in modules)]


@pytest.mark.parametrize(
    ("statement", "late"),
    [
        ("import oakpoint", (*RUNTIMES, *LATE, "typer", "rich")),
        (command_line("--version"), (*RUNTIMES, *LATE)),
        (command_line("--help"), (*RUNTIMES, *LATE)),
        (command_line("run", "--help"), ("openvino", "torch", "onnxruntime", *LATE)),
        (command_line("extract", "--help"), ("openvino", "torch", "onnxruntime")),
    ],
    ids=["import oakpoint", "--version", "--help", "run --help", "extract --help"],
)
def test_what_runs_nothing_imports_no_runtime(statement: str, late: tuple[str, ...]) -> None:
    modules = imported(statement)
    assert of((*late, *EXTRAS, *OWN_LATE), modules) == []
    assert "oakpoint" in modules


def test_an_image_through_acorn_imports_what_it_needs(image_folder: Path) -> None:
    modules = imported(command_line("run", "acorn", image_folder / "camera.png", "--json"))
    assert of((*LATE, *EXTRAS, *OWN_LATE), modules) == []
    assert of(("openvino", "oakpoint.cli.run"), modules) == ["openvino", "oakpoint.cli.run"]


COMMANDS: dict[str, Callable[[Path, Path], tuple[object, ...]]] = {
    "run": lambda images, made: ("run", "acorn", images / "camera.png", "--save", made / "s.png", "--size", "160x120"),
    "run in onnxruntime": lambda images, made: (
        "run", "acorn", images / "camera.png", "--size", "160x120", "--backend", "onnxruntime",
    ),
    "extract": lambda images, made: ("extract", "acorn", images, "--out", made / "f.h5", "--size", "160x120"),
    "match": lambda images, made: (
        "match", images / "camera.png", images / "camera.png", "--size", "160x120", "--model", "none",
    ),
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_acorn_runs_where_no_extra_is_installed(command: str, image_folder: Path, tmp_path: Path) -> None:
    words = COMMANDS[command](image_folder, tmp_path)
    ran = python(_WITHOUT.format(packages=EXTRAS) + command_line(*words))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "keypoints" in ran.stdout


def test_the_six_line_program_runs_where_no_extra_is_installed(image_folder: Path) -> None:
    program = f"""
import oakpoint
extractor = oakpoint.load("acorn")
a = extractor({str(image_folder / "camera.png")!r})
b = extractor({str(image_folder / "coffee.png")!r})
matches = oakpoint.match(a, b)
print(a.keypoints[matches.indices[:, 0]].shape)
"""
    ran = python(_WITHOUT.format(packages=EXTRAS) + program)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.endswith(", 2)\n")


@pytest.mark.parametrize("words", [("--backend", "torch"), ("--weights", "w.pth")])
def test_what_needs_torch_names_its_extra(words: tuple[str, ...], image_folder: Path) -> None:
    statement = command_line("run", "acorn", image_folder / "camera.png", *words)
    ran = python(_WITHOUT.format(packages=EXTRAS) + statement)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "error: torch is not installed: run pip install 'oakpoint[torch]'\n"


REPOSITORY = Path(__file__).parents[2]
INSTALL_LIMIT_S = 400


@pytest.mark.slow
def test_acorn_runs_in_an_environment_of_its_own(image_folder: Path, tmp_path: Path) -> None:
    """With what pip installs, and nothing else."""
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", str(bare)], check=True, capture_output=True)
    pip = [str(bare / "bin" / "pip"), "--quiet", "--disable-pip-version-check", "--no-input", "install"]
    constraints = ["--constraint", str(REPOSITORY / "constraints.txt")]
    installed = subprocess.run(
        [*pip, *constraints, str(REPOSITORY)], capture_output=True, text=True, timeout=INSTALL_LIMIT_S, check=False
    )
    if installed.returncode and "No matching distribution" in installed.stderr:
        pytest.skip("no package index can be reached with pip's own settings")
    assert installed.returncode == 0, installed.stderr
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(
        [str(bare / "bin" / "oakpoint"), "run", "acorn", str(image_folder / "camera.png"), "--json"],
        capture_output=True, text=True, env=environment, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout)["frames"] == 1
