"""Compiled models that are kept: the same to the last bit, bounded, and never believed when they are damaged."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from oakpoint.backends import compiled_models
from oakpoint.backends.compiled_models import VARIABLE, entries_of, model_cache
from oakpoint.backends.openvino import OpenVinoBackend
from oakpoint.networks.registry import shipped_onnx

SHAPES = {"input": (1, 1, 64, 96)}
IMAGE = np.random.default_rng(0).random(SHAPES["input"], np.float32)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, in which a model of any size is kept."""
    monkeypatch.setenv("OAKPOINT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(compiled_models, "LEAST_OPERATORS", 1)
    folder = model_cache()
    assert folder is not None
    return folder


def acorn() -> Path:
    path = shipped_onnx("acorn")
    assert path is not None
    return path


def opened(**options: Any) -> OpenVinoBackend:
    return OpenVinoBackend(acorn(), **{"shapes": SHAPES, "threads": 1} | options)


def found(**options: Any) -> Mapping[str, NDArray[Any]]:
    with opened(**options) as backend:
        return backend.run({"input": IMAGE})


def assert_same(one: Mapping[str, NDArray[Any]], other: Mapping[str, NDArray[Any]]) -> None:
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, NDArray[Any]]:
    """What the model gives that was compiled for it."""
    with monkeypatch.context() as patch:
        patch.setenv(VARIABLE, "off")
        return found()


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was read whole, by the name of the entry."""
    names: list[str] = []
    read = compiled_models._read

    def noting(entry: Path) -> bytes | None:
        content = read(entry)
        if content is not None:
            names.append(entry.name)
        return content

    monkeypatch.setattr(compiled_models, "_read", noting)
    return names


def test_what_was_kept_gives_the_same_to_the_last_bit(
    cache: Path, fresh: Mapping[str, NDArray[Any]], imports: list[str]
) -> None:
    first = found()
    (entry,) = entries_of(cache)
    assert imports == []
    second = found()
    assert imports == [entry.name]
    assert_same(first, fresh)
    assert_same(second, fresh)


def test_its_inputs_and_outputs_have_the_same_names_and_shapes(imports: list[str]) -> None:
    with opened() as first, opened() as second:
        assert imports
        assert (first.inputs, first.outputs, first.description) == (second.inputs, second.outputs, second.description)


@pytest.mark.parametrize("options", [{"shapes": {"input": (1, 1, 64, 64)}}, {"threads": 2}])
def test_another_shape_or_setting_is_another_entry(cache: Path, imports: list[str], options: dict[str, Any]) -> None:
    with opened(), opened(**options):
        assert len(entries_of(cache)) == 2
    assert imports == []


def test_another_model_is_another_entry(cache: Path, tmp_path: Path, imports: list[str]) -> None:
    import onnx
    from onnx import numpy_helper

    found()
    model = onnx.load(acorn())
    bias = model.graph.initializer[1]
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + 1, bias.name))
    onnx.save(model, tmp_path / "m.onnx")
    with OpenVinoBackend(tmp_path / "m.onnx", shapes=SHAPES, threads=1):
        assert len(entries_of(cache)) == 2
    assert imports == []


DAMAGE = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "a digest alone": lambda content: content[:32],
    "one bit": lambda content: content[:-100_000] + bytes([content[-100_000] ^ 1]) + content[-99_999:],
    "weights": lambda content: (
        content[:300_000] + bytes(b ^ 0x55 for b in content[300_000:304_000]) + content[304_000:]
    ),
    "something else": lambda content: os.urandom(len(content)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_compiled_anew(cache: Path, fresh: Mapping[str, NDArray[Any]], damage: str) -> None:
    found()
    (entry,) = entries_of(cache)
    content = entry.read_bytes()
    entry.write_bytes(DAMAGE[damage](content))
    assert_same(found(), fresh)
    assert entry.read_bytes()[32:] != DAMAGE[damage](content)[32:]
    assert_same(found(), fresh)


def test_an_entry_that_openvino_refuses_is_compiled_anew(cache: Path, fresh: Mapping[str, NDArray[Any]]) -> None:
    """Whole, as far as its digest tells."""
    import hashlib

    found()
    (entry,) = entries_of(cache)
    entry.write_bytes(hashlib.sha256(b"no model").digest() + b"no model")
    assert_same(found(), fresh)


def test_it_is_bounded_and_what_was_used_last_stays(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = [{"input": (1, 1, 64, side)} for side in (64, 72, 80)]
    found()
    (used,) = entries_of(cache)
    monkeypatch.setattr(compiled_models, "MOST_BYTES", round(2.5 * used.stat().st_size))
    opened(shapes=shapes[0]).close()
    os.utime(used, ns=(1, 1))
    found()  # used now, and so younger than the other
    opened(shapes=shapes[1]).close()
    assert used in entries_of(cache)
    assert len(entries_of(cache)) == 2
    assert sum(known.st_size for known in entries_of(cache).values()) <= compiled_models.MOST_BYTES


def test_what_is_larger_than_the_bound_is_not_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_models, "MOST_BYTES", 1000)
    found()
    assert entries_of(cache) == {}


def test_it_can_be_switched_off(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "off")
    assert model_cache() is None
    found()
    assert not cache.exists()


def test_a_small_model_is_not_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("OAKPOINT_CACHE", str(cache.parent))
    found()
    assert not cache.exists()


def test_the_folder_is_the_users_alone(cache: Path) -> None:
    found()
    assert cache.stat().st_mode & 0o777 == 0o700
    assert not any(known.st_mode & 0o022 for known in entries_of(cache).values())


@pytest.mark.parametrize("fault", ["a file", "others may write", "a link", "no place"])
def test_a_folder_that_cannot_be_used_fails_nothing(
    cache: Path, fresh: Mapping[str, NDArray[Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    if fault == "no place":
        cache.parent.write_text("a file")
    else:
        cache.parent.mkdir()
    if fault == "a file":
        cache.write_text("a file")
    if fault == "others may write":
        cache.mkdir()
        cache.chmod(0o777)
    if fault == "a link":
        (tmp_path / "elsewhere").mkdir()
        cache.symlink_to(tmp_path / "elsewhere")
    with caplog.at_level("INFO"):
        assert_same(found(), fresh)
    assert "not used" in caplog.text
    assert not cache.is_dir() or not any(cache.iterdir())


def test_several_processes_share_it(cache: Path) -> None:
    program = """
from pathlib import Path
from oakpoint.backends import compiled_models
compiled_models.LEAST_OPERATORS = 1
from oakpoint.backends.openvino import OpenVinoBackend
from oakpoint.networks.registry import shipped_onnx
for _ in range(5):
    OpenVinoBackend(shipped_onnx("acorn"), shapes={"input": (1, 1, 64, 96)}, threads=1).close()
    for path in compiled_models.entries_of(compiled_models.model_cache()):
        path.unlink(missing_ok=True)
"""
    running = [subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for process in running:
        _, errors = process.communicate()
        assert (process.returncode, errors) == (0, "")
