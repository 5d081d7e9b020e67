from __future__ import annotations

import os
import random
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors.torch
import torch
from torch import nn

from oakpoint.errors import WeightsError
from oakpoint.networks.licences import record_of
from oakpoint.networks.registry import LoadedNetwork, load_network
from oakpoint.networks.superpoint import SuperPoint
from oakpoint.networks.weights import initialise_randomly, load_into, read_state


def network(seed: int = 0) -> nn.Module:
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))
    initialise_randomly(module, seed)
    return module


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def equal(a: nn.Module, b: nn.Module) -> bool:
    states = a.state_dict(), b.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def loaded(path: Path) -> nn.Module:
    module = network(1)
    load_into(module, read_state(path), path)
    return module


@pytest.mark.parametrize(
    "nested",
    [
        lambda s: s,
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"model": s},
        lambda s: {"model_state_dict": s, "optimizer_state_dict": {"state": {}, "param_groups": [{"lr": 1e-3}]}},
        lambda s: {"loss": torch.tensor(0.3), "net": s},
        lambda s: {"epoch": 3, "params": s, "state": {0: {"exp_avg": torch.zeros(2)}}},
        lambda s: {"state_dict": s, "model": None},
        lambda s: {"model": s, "model_ema": {name: 2 * tensor for name, tensor in s.items()}},
        lambda s: {"checkpoint": {"model": s}},
        lambda s: {"ours": s},
        lambda s: {"ema": {name: 2 * tensor for name, tensor in s.items()}, "model": {"state_dict": s, "config": {}}},
        lambda s: {"ema_state_dict": s, "model": None},
        lambda s: {"module": {"module": s}, "epoch": 3},
        lambda s: {name: nn.Parameter(tensor) for name, tensor in s.items()},
        lambda s: {name: tensor.double() for name, tensor in s.items()},
    ],
)
def test_a_state_dict_loads_bare_or_within_a_checkpoint(tmp_path: Path, nested: Callable[[object], object]) -> None:
    path = saved(tmp_path / "w.pth", nested(network().state_dict()))
    assert equal(loaded(path), network())


def test_what_was_unpacked_and_what_was_not_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = network().state_dict()
    path = saved(tmp_path / "w.pth", {"ema": state, "model": {"state_dict": state, "averaged": state}})
    read_state(path)
    assert (
        f"{path}: state dict taken from within a checkpoint: model → state_dict; not taken: ema, averaged"
        in caplog.text
    )


def test_extra_state_of_a_layer_is_no_checkpoint(tmp_path: Path) -> None:
    state = {**network().state_dict(), "0._extra_state": {"scale": torch.ones(1)}}
    with pytest.raises(WeightsError, match=r"w.pth: 0._extra_state: expected a tensor, got dict"):
        read_state(saved(tmp_path / "w.pth", state))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit
@pytest.mark.parametrize("kind", [pytest.param("script", marks=pytest.mark.slow), "trace", "module"])
def test_the_lines_that_make_an_onnx_of_a_program_do(tmp_path: Path, kind: str) -> None:
    path, module = tmp_path / "it's mine.pt", network().eval()
    if kind == "module":
        torch.save(module, path)
    else:
        (torch.jit.script(module) if kind == "script" else torch.jit.trace(module, torch.zeros(1, 1, 64, 64))).save(
            path
        )
    with pytest.raises(WeightsError) as caught:
        read_state(path)
    arguments = shlex.split(str(caught.value).partition("python ")[2].partition(". Or, where")[0])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    model = onnx.load(tmp_path / "it's mine.onnx")
    assert [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == [1, 1, 200, 320]
    image = np.random.default_rng(0).random((1, 1, 200, 320), np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    given = session.run(None, {session.get_inputs()[0].name: image})[0]
    np.testing.assert_allclose(given, module(torch.from_numpy(image)).detach().numpy(), atol=1e-5)


def test_fp16_weights_load_as_float32(tmp_path: Path) -> None:
    state = {name: tensor.half() for name, tensor in network().state_dict().items()}
    read = read_state(saved(tmp_path / "w.pth", state))
    assert {tensor.dtype for tensor in read.values()} == {torch.float32}
    assert all(torch.equal(read[name], state[name].float()) for name in state)


def test_safetensors_load(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file(network().state_dict(), path)
    assert equal(loaded(path), network())


def test_the_legacy_format_loads(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save(network().state_dict(), path, _use_new_zipfile_serialization=False)
    assert equal(loaded(path), network())


class RunsCode:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("beside", [True, False])
def test_a_pickle_that_would_run_code_does_not(tmp_path: Path, zipped: bool, beside: bool) -> None:
    marker, path = tmp_path / "it-ran", tmp_path / "evil.pth"
    content = {**network().state_dict(), "extra": RunsCode(marker)} if beside else RunsCode(marker)
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=rf"^{path}: holds posix\.system, which is not a tensor and could run code"):
        read_state(path)
    assert not marker.exists()


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "module.pth", network())
    with pytest.raises(WeightsError, match=r"module\.pth: holds torch\.nn\.\S+Sequential, .*torch\.save\(model\.state"):
        read_state(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("2.bias"), "tensor '2.bias' is missing: expected 4 tensors of Sequential, got 3"),
        (
            lambda s: s.update({"0.weight": torch.zeros(4, 3, 3, 1)}),
            r"tensor '0.weight': expected shape \(4, 1, 3, 3\), got \(4, 3, 3, 1\)",
        ),
        (lambda s: s.update(other=torch.zeros(1)), "tensor 'other' does not belong to Sequential, which has 4 tensors"),
        (lambda s: s["0.bias"].__setitem__(2, float("nan")), "0.bias: holds values that are not finite"),
        (lambda s: s["0.bias"].__setitem__(2, float("inf")), "0.bias: holds values that are not finite"),
        (lambda s: s.update({"0.bias": [1.0]}), "0.bias: expected a tensor, got list"),
        (lambda s: s.update({"0.bias": torch.zeros(4, dtype=torch.int8)}), "0.bias: expected floating point, got torc"),
        (
            lambda s: s.update({"0.bias": torch.zeros(4, dtype=torch.complex64)}),
            "0.bias: expected floating point or whole numbers, got torch.complex64",
        ),
        (
            lambda s: s.update({"0.bias": torch.zeros(4).to_sparse()}),
            "0.bias: expected a plain dense tensor, got torch",
        ),
        (lambda s: s.clear(), "expected a state dict .tensor by name., got an empty dict"),
    ],
    ids=["missing", "misshapen", "left over", "nan", "inf", "list", "int8", "complex", "sparse", "empty"],
)
def test_a_wrong_tensor_is_named_with_what_was_expected_and_got(
    tmp_path: Path, change: Callable[[dict[str, object]], object], message: str
) -> None:
    state = dict(network().state_dict())
    change(state)
    path = saved(tmp_path / "w.pth", state)
    with pytest.raises(WeightsError, match=f"^{path}: {message}"):
        loaded(path)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "net.", "model.backbone."])
@pytest.mark.parametrize("safe", [True, False])
def test_a_prefix_of_all_names_is_left_out_with_a_note(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, prefix: str, safe: bool
) -> None:
    state = {prefix + name: tensor for name, tensor in network().state_dict().items()}
    path = tmp_path / ("w.safetensors" if safe else "w.pth")
    safetensors.torch.save_file(state, path) if safe else torch.save(state, path)
    assert equal(loaded(path), network())
    assert f"{path}: tensors taken under the network's own names: {prefix}0." in caplog.text


def test_a_class_around_the_network_takes_its_weights(tmp_path: Path) -> None:
    wrapped = nn.ModuleDict({"net": network(1)})
    path = saved(tmp_path / "w.pth", network().state_dict())
    load_into(wrapped, read_state(path), path)
    assert equal(wrapped["net"], network())


def test_names_alike_on_both_sides_say_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    loaded(saved(tmp_path / "w.pth", network().state_dict()))
    assert not caplog.text


def test_as_many_tensors_of_other_names_are_named(tmp_path: Path) -> None:
    state = {f"a{number}.b": tensor for number, tensor in enumerate(network().state_dict().values())}
    with pytest.raises(
        WeightsError,
        match=r"tensors '0.bias', '0.weight', '2.bias' and 1 more are missing: expected 4 tensors of Sequential, "
        r"got 4, of which tensors 'a0.b', 'a1.b', 'a2.b' and 1 more do not belong",
    ):
        loaded(saved(tmp_path / "w.pth", state))


def test_transformers_names_of_superpoint(tmp_path: Path, random_superpoint: LoadedNetwork) -> None:
    state = random_superpoint.module.state_dict()
    theirs = {other: state[own] for other, own in SuperPoint.other_names.items()}
    assert len(theirs) == len(state) == 24
    path, module = saved(tmp_path / "pytorch_model.bin", theirs), SuperPoint()
    load_into(module, read_state(path), path)
    assert equal(module, random_superpoint.module)


def written(path: Path, kind: str) -> Path:
    state = network().state_dict()
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    if kind == "TorchScript":
        torch.jit.trace(network(), torch.zeros(1, 1, 8, 8)).save(path)
    elif kind == "exported":
        torch.export.save(torch.export.export(network(), (torch.zeros(1, 1, 8, 8),)), path)
    elif kind == "npz":
        np.savez(path, **arrays)
        path.with_name(path.name + ".npz").rename(path)
    elif kind == "HDF5":
        h5py.File(path, "w").close()
    elif kind in ("pointer", "page"):
        path.write_text({"pointer": "version https://git-lfs.github.com/spec/v1\n", "page": "\n<!DOCTYPE html>"}[kind])
    else:
        torch.save({"list": [state], "NumPy": arrays, "module": network(), "two": {"a": state, "b": state}}[kind], path)
    return path


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("TorchScript", r"a TorchScript archive.*torch.onnx.export.*torch.save\(torch.jit.load\('w.bin'\).state_dict"),
        ("exported", r"a program exported by torch.export.*torch.save\(model.state_dict\(\)"),
        ("npz", "NumPy arrays .*torch.from_numpy"),
        ("HDF5", "expected a weights file, got an HDF5 file"),
        ("pointer", "expected a weights file, got a pointer of Git LFS .* git lfs pull"),
        ("page", "expected a weights file, got a web page; download the file itself"),
        ("list", r"expected a state dict .* got list of 1; .* weights_only=True\)\[0\]"),
        ("NumPy", "holds NumPy's arrays or numbers .* was not loaded. Save tensors alone: .*torch.as_tensor"),
        ("module", r"holds torch\.nn\.\S+Sequential.* A whole object was saved.*torch\.save\(model\.state_dict.*onnx"),
        ("two", r"holds several state dicts \(a, b\); save the network's alone: .*\['a'\]"),
    ],
)
def test_what_is_no_state_dict_is_called_by_its_name(tmp_path: Path, kind: str, message: str) -> None:
    path = written(tmp_path / "w.bin", kind)
    with pytest.raises(WeightsError, match=f"^{path}: {message}") as caught:
        read_state(path)
    assert "\n" not in str(caught.value)


def test_safetensors_under_another_suffix(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    safetensors.torch.save_file(network().state_dict(), path)
    assert equal(loaded(path), network())


@pytest.mark.parametrize("content", [None, 3, [torch.zeros(2)], torch.zeros(2)])
def test_something_else_than_a_state_dict(tmp_path: Path, content: object) -> None:
    path = saved(tmp_path / "w.pth", content)
    with pytest.raises(WeightsError, match=f"^{path}: expected a state dict .* got {type(content).__name__}"):
        read_state(path)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
@pytest.mark.parametrize(
    "content",
    [b"", b"hello\n", b"PK\x03\x04", b"\x80\x02", bytes(range(256)) * 8],
    ids=["empty", "text", "zip", "pkl", "bytes"],
)
def test_a_foreign_file(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=f"^{path}: "):
        read_state(path)


def test_a_folder_or_nothing(tmp_path: Path) -> None:
    for path, what in ((tmp_path, "a folder; expected a weights file"), (tmp_path / "a.pth", "no such weights file")):
        with pytest.raises(WeightsError, match=f"^{path}: {what}"):
            read_state(path)


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_a_file_cut_short_anywhere(tmp_path: Path, kind: str) -> None:
    whole, path = tmp_path / "whole", tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth")
    if kind == "safetensors":
        safetensors.torch.save_file(network().state_dict(), whole)
    else:
        torch.save(network().state_dict(), whole, _use_new_zipfile_serialization=kind == "zip")
    data = whole.read_bytes()
    rng = random.Random(7)
    for length in [0, 1, 4, len(data) - 1, *(rng.randrange(len(data)) for _ in range(40))]:
        path.write_bytes(data[:length])
        with pytest.raises(WeightsError, match=f"^{path}: "):
            loaded(path)


def test_a_record_of_unknown_weights(tmp_path: Path) -> None:
    path = saved(tmp_path / "mine.pth", network().state_dict())
    record = record_of(path, read_state(path))
    assert (record.file, record.name, record.licence, record.trained) == ("mine.pth", "unknown", "unknown", True)


def test_a_random_initialisation_follows_from_its_seed() -> None:
    assert equal(network(5), network(5))
    assert not equal(network(5), network(6))
    record = initialise_randomly(network(), 5)
    assert (record.trained, record.seed, record.file) == (False, 5, None)
    assert record.origin == "drawn with seed 5; NOT TRAINED, what it finds means nothing"


def test_what_random_weights_are_said_of_fits_the_network() -> None:
    assert "what it finds means nothing" in load_network("small_network:SmallNetwork", None, seed=0).weights.origin
    keypoints = load_network("superpoint", None, seed=0).weights.origin
    assert keypoints.endswith("NOT TRAINED, its keypoints mean nothing"), "it stands in exports, whose bytes stay"


def test_a_random_initialisation_keeps_the_scale_and_batch_norms() -> None:
    module = nn.Sequential(nn.Conv2d(64, 512, 3), nn.BatchNorm2d(512))
    initialise_randomly(module, 0)
    assert module[0].weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    assert not module[0].bias.any()
    assert torch.equal(module[1].weight, torch.ones(512)), "a batch norm of zeros would put out nothing"
