"""Fixtures of the whole suite."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("OAKPOINT_SHARED", REPOSITORY.parent / "shared"))
NETWORKS = Path(__file__).parent / "networks"
"""Networks for tests, in modules that ``package.module:Class`` can name."""

STUBS = Path(__file__).parent / "stubs"
"""What stands in for hardware."""

sys.path[:0] = [str(NETWORKS), str(STUBS)]

settings.register_profile("oakpoint", derandomize=True, deadline=None, database=None)
settings.load_profile("oakpoint")

SMALL = "small_network:SmallNetwork"
SMALL_SIZE = (160, 120)

MadeOnce = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of measured artefacts (weights, blobs, clips); the test is skipped where it is missing."""
    if not SHARED.is_dir():
        pytest.skip(f"no measured artefacts at {SHARED}; set OAKPOINT_SHARED")
    return SHARED


@pytest.fixture(scope="session")
def suite() -> ModuleType:
    """``benchmarks/operator_cases.py``: the cases of ONNX's operator suite and how each of them ends."""
    path = REPOSITORY / "benchmarks" / "operator_cases.py"
    specification = importlib.util.spec_from_file_location("operator_cases", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["operator_cases"] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20180712)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """Make a file or folder by name, once for all workers of the run; tests do not change what they get."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    root = root / "made-once"
    root.mkdir(exist_ok=True)

    def get(name: str, make: Callable[[Path], object]) -> Path:
        path, unfinished = root / name, root / f"unfinished-{name}" / name  # a folder of its own: the locks are by name
        with (root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                shutil.rmtree(unfinished.parent, ignore_errors=True)
                unfinished.parent.mkdir()
                make(unfinished)
                unfinished.rename(path)
        return path

    return get


@dataclass(frozen=True)
class Ran:
    """What came of a command."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The lines on standard error but for notes."""
        return [line for line in self.err.splitlines() if not line.startswith("note: ")]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Run a command line of ``oakpoint`` in this process, through the same ``main`` as the program."""
    from oakpoint.cli.main import main

    def run(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["oakpoint", *map(str, arguments)])
        capsys.readouterr()
        code: object = 0
        try:
            main()
        except SystemExit as exit_:
            code = exit_.code or 0
        captured = capsys.readouterr()
        assert isinstance(code, int)
        return Ran(code, captured.out, captured.err)

    return run


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[], None]]:
    """Presses Ctrl-C: does what Python does when the signal comes, which itself might come late and end the tests.

    It counts also where the suite runs in the background, whose processes ignore it from birth.
    """

    def press() -> None:
        handler = signal.getsignal(signal.SIGINT)
        assert callable(handler)
        handler(signal.SIGINT, None)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield press
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def photographs() -> dict[str, NDArray[np.uint8]]:
    from oakpoint.verify.photographs import load_photographs

    return load_photographs(None)


@pytest.fixture(scope="session")
def image_folder(photographs: dict[str, NDArray[np.uint8]], made_once: MadeOnce) -> Path:
    """Two photographs of different sizes, in colour and grey."""

    def write(folder: Path) -> None:
        folder.mkdir()
        for name in ("camera", "coffee"):
            assert cv2.imwrite(str(folder / f"{name}.png"), photographs[name])

    return made_once("images", write)


@pytest.fixture(scope="session")
def superpoint_weights(shared: Path) -> Path:
    return shared / "weights" / "superpoint_v1.pth"


@pytest.fixture(scope="session")
def random_superpoint() -> Any:
    from oakpoint.networks.registry import load_network

    return load_network("superpoint", None, seed=0)


@pytest.fixture(scope="session")
def small_network() -> Any:
    """A small network with random weights: ``LoadedNetwork`` with the module of ``networks/small_network.py``."""
    from oakpoint.networks.registry import load_network

    return load_network(SMALL, None, seed=0)


@pytest.fixture(scope="session")
def small_weights(small_network: Any, made_once: MadeOnce) -> Path:
    import torch

    return made_once("small.pth", lambda path: torch.save(small_network.module.state_dict(), path))


@pytest.fixture(scope="session")
def small_onnx(small_network: Any, made_once: MadeOnce) -> Path:
    """The small network's ONNX for 160×120 px."""
    from oakpoint.convert.onnx_from_torch import write_onnx
    from oakpoint.tasks.keypoints.task import INPUT, OUTPUTS

    return made_once(
        "small.onnx",
        lambda path: write_onnx(small_network.module, path, size=SMALL_SIZE, input_name=INPUT, output_names=OUTPUTS),
    )


@pytest.fixture(scope="session")
def converted(made_once: MadeOnce, image_folder: Path) -> Callable[..., Path]:
    """Convert with the options given, once for all workers, and return the bundle."""
    from oakpoint.chain.conversion import convert
    from oakpoint.chain.options import ConversionOptions

    def get(name: str, **options: Any) -> Path:
        request = ConversionOptions(images=image_folder, **options)
        return made_once(name, lambda folder: convert(request, folder, Silent()))

    return get


class Silent:
    """A listener that says nothing."""

    def started(self, step: str) -> None: ...

    def finished(self, step: str, seconds: float, note: str, report: object) -> None: ...


@pytest.fixture(scope="session")
def listener() -> Silent:
    return Silent()


@pytest.fixture(scope="session")
def small_bundle(converted: Callable[..., Path]) -> Path:
    """The small network's bundle without a blob; quick."""
    return converted("small-ir", model=SMALL, seed=0, size=SMALL_SIZE, to="ir")


@pytest.fixture(scope="session")
def small_blob_bundle(converted: Callable[..., Path]) -> Path:
    """The small network's whole bundle; for tests marked ``compiler``."""
    return converted("small-archive", model=SMALL, seed=0, size=SMALL_SIZE)


@pytest.fixture(scope="session")
def superpoint_bundle(converted: Callable[..., Path], superpoint_weights: Path) -> Path:
    """SuperPoint's whole bundle at 320×200; for tests marked ``compiler`` and ``shared``."""
    return converted("superpoint-dense", model="superpoint", weights=superpoint_weights, size=(320, 200))


@pytest.fixture(scope="session")
def superpoint_rtabmap_bundle(converted: Callable[..., Path], superpoint_weights: Path) -> Path:
    """The same with RTAB-Map's heads."""
    return converted(
        "superpoint-rtabmap", model="superpoint", weights=superpoint_weights, size=(320, 200), heads="rtabmap"
    )


@pytest.fixture(scope="session")
def task_onnx(made_once: MadeOnce) -> Callable[[str], Path]:
    """The ONNX of a class of ``networks/task_networks.py``, for RGB images in [0, 1]."""
    import task_networks
    import torch

    def export(name: str, path: Path) -> None:
        network = getattr(task_networks, name)()
        image = torch.zeros(1, 3, *reversed(task_networks.SIZE))
        outputs = [f"out{number}" for number in range(task_networks.outputs_of(network))]
        with warnings.catch_warnings():  # torch's former exporter takes a second where the other one takes ten
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network, (image,), path, dynamo=False, opset_version=17, input_names=["image"], output_names=outputs
            )

    return lambda name: made_once(f"{name}.onnx", lambda path: export(name, path))


@pytest.fixture
def executed(small_blob_bundle: Path) -> Iterator[tuple[Any, Any]]:
    """The small network's device model, and the executed blob in its camera's place."""
    from oakpoint.oak.model import open_stand_in

    model, backend = open_stand_in(small_blob_bundle, "myriad_simulator")
    with backend:
        yield model, backend


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[Path], Path]:
    """A copy of a bundle to change."""

    def copy(bundle: Path) -> Path:
        return Path(shutil.copytree(bundle, tmp_path / "copy"))

    return copy
