"""Weights recognised by their values, in whatever form; others are not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from oakpoint.bundle.records import WeightsRecord
from oakpoint.networks.licences import arrays_of, recognised_record, record_of, restriction_of
from oakpoint.networks.recognition import (
    BINDING_SHARE,
    KIN_DISTANCE,
    KNOWN_WEIGHTS,
    MIN_VALUES,
    SKETCHES_FILE,
    is_weight,
    recognise,
    sketch_of,
)
from oakpoint.networks.registry import shipped_weights
from oakpoint.networks.weights import read_state

Array = NDArray[Any]
SUPERPOINT = "SuperPoint v1 (official)"

EXAMPLES = settings(max_examples=25)
"""Each is a whole network, and has thousands of drawn values."""


@lru_cache(maxsize=1)
def acorn() -> dict[str, torch.Tensor]:
    """Known weights that are always at hand."""
    path = shipped_weights("acorn")
    assert path is not None
    return read_state(path)


def names(arrays: list[Array]) -> list[str]:
    return [match.name for match in recognise(arrays)]


def noisy(array: Array, share: float, rng: np.random.Generator) -> Array:
    """With noise of this share of its root mean square added."""
    return array + share * np.sqrt(np.square(array).mean()) * rng.standard_normal(array.shape)


FORMS: dict[str, Callable[[torch.Tensor], Array]] = {
    "float32": lambda t: t.numpy(),
    "float64": lambda t: t.double().numpy(),
    "float16": lambda t: t.half().numpy(),
    "bfloat16": lambda t: t.bfloat16().float().numpy(),
    "scaled": lambda t: (t / 255).numpy(),
    "flat": lambda t: t.numpy().ravel(),
    "channels last in memory": lambda t: (
        t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t
    ).numpy(),
    "TensorFlow's order": lambda t: t.numpy().transpose(2, 3, 1, 0) if t.ndim == 4 else t.numpy(),
    "TensorFlow Lite's order": lambda t: t.numpy().transpose(0, 2, 3, 1) if t.ndim == 4 else t.numpy(),
    "matrices of x @ w": lambda t: t.numpy()[:, :, 0, 0].T if t.shape[2:] == (1, 1) else t.numpy(),
}


@pytest.mark.parametrize("form", FORMS)
def test_acorn_is_recognised_in_every_form(form: str) -> None:
    assert names([FORMS[form](tensor) for tensor in acorn().values()]) == ["acorn"]


@EXAMPLES
@given(st.randoms(use_true_random=False))
def test_names_and_order_do_not_count(random: Any) -> None:
    arrays = arrays_of(acorn())
    random.shuffle(arrays)
    assert names(arrays) == ["acorn"]


@EXAMPLES
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(1e-6, 1e6))
def test_networks_of_the_same_shapes_are_not_recognised(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    assert names([scale * rng.standard_normal(tensor.shape) for tensor in acorn().values()]) == []
    assert names([scale * rng.random(tensor.shape) for tensor in acorn().values()]) == []


@pytest.mark.parametrize("fill", [0.0, 1.0, np.nan, np.inf])
def test_constant_tensors_are_not_recognised(fill: float) -> None:
    assert names([np.full(tensor.shape, fill) for tensor in acorn().values()]) == []


@EXAMPLES
@given(seed=st.integers(0, 2**32 - 1))
def test_values_in_another_order_are_not_recognised(seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert names([rng.permutation(array.ravel()).reshape(array.shape) for array in arrays_of(acorn())]) == []


@EXAMPLES
@given(seed=st.integers(0, 2**32 - 1))
def test_altered_a_little_they_are_called_altered(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = recognise([noisy(array, 0.05, rng) for array in arrays_of(acorn())])
    assert [match.name for match in found] == ["contains acorn: 8 of 8 weight tensors, altered"]


@EXAMPLES
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(1.0, 100.0))
def test_altered_beyond_recognition_they_are_unknown(seed: int, share: float) -> None:
    """Noise as large as the weights: 0.77 away, as far as other trainings come."""
    rng = np.random.default_rng(seed)
    assert names([noisy(array, share, rng) for array in arrays_of(acorn())]) == []


def test_within_a_larger_network() -> None:
    rng = np.random.default_rng(0)
    others = [rng.standard_normal((64, 64, 3, 3)), rng.standard_normal((16, 3, 3, 3)), rng.standard_normal(64)]
    assert names([*others, *arrays_of(acorn())]) == ["contains acorn"]


def test_parts_of_them_count_by_their_values() -> None:
    weights = sorted((array for array in arrays_of(acorn()) if is_weight(array)), key=lambda array: -array.size)
    assert len(weights) == 8
    total = sum(array.size for array in weights)
    for count in range(1, 8):
        for part in (weights[:count], weights[-count:]):
            binds = sum(array.size for array in part) >= BINDING_SHARE * total
            assert names(part) == ([f"contains acorn: {count} of 8 weight tensors"] if binds else [])


@EXAMPLES
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.sampled_from([(16, 16), (64, 1, 3, 3), (32, 32, 3, 3), (256, 64)]),
    share=st.floats(1e-4, 1.0),
)
def test_sketches_are_as_far_apart_as_the_tensors(seed: int, shape: tuple[int, ...], share: float) -> None:
    """To within a factor of 2.5, five standard deviations of the estimate; see the module's source."""
    rng = np.random.default_rng(seed)
    first = rng.standard_normal(shape)
    second = noisy(first, share, rng)
    true = np.linalg.norm(first / np.linalg.norm(first) - second / np.linalg.norm(second))
    sketches = sketch_of(first), sketch_of(second)
    assert sketches[0] is not None
    assert sketches[1] is not None
    assert true / 2.5 < np.linalg.norm(sketches[0] - sketches[1]) < 2.5 * true


def test_a_sketch_is_the_same_everywhere() -> None:
    """Known weights are told by it: by hand, from SHAKE-256 of FIPS 202 alone."""
    ramp = [float(value) for value in range(-128, 128)]
    sums = [0.0] * 16
    for value, byte in zip(ramp, hashlib.shake_256(b"oakpoint sketch 1").digest(256), strict=True):
        sums[byte % 16] += value if byte >= 128 else -value
    norm = sum(value**2 for value in ramp) ** 0.5
    np.testing.assert_allclose(sketch_of(np.reshape(ramp, (16, 16))), [total / norm for total in sums], atol=1e-12)


def test_sketches_are_small() -> None:
    """Facts, not copies: 16 numbers of at least 256 values each."""
    content = json.loads(SKETCHES_FILE.read_text())
    assert set(content) == {known.name for known in KNOWN_WEIGHTS}
    assert all(size >= MIN_VALUES and len(sketch) == 16 for tensors in content.values() for size, sketch in tensors)


def test_known_weights_are_told_apart() -> None:
    """Tensors of one size of different trainings are far beyond the limit, though first layers look alike."""
    content = json.loads(SKETCHES_FILE.read_text())
    distances = [
        np.linalg.norm(np.subtract(one, other)) / 10_000
        for first in content
        for second in content
        if first < second
        for size, one in content[first]
        for count, other in content[second]
        if size == count
    ]
    assert len(distances) > 100
    assert min(distances) > 3 * KIN_DISTANCE


def test_a_licence_that_is_known_stays_and_one_that_binds_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    claimed = WeightsRecord(file="w.pth", sha256="0", name="mine", licence="research only", origin="here")
    assert recognised_record(claimed, arrays_of(acorn())) == claimed
    unknown = WeightsRecord(file="w.pth", sha256="0", name="unknown", licence="unknown", origin="an ONNX file")
    record = recognised_record(unknown, arrays_of(acorn()))
    assert (record.name, record.licence, record.file) == ("acorn", "Apache-2.0", "w.pth")
    assert recognised_record(unknown, [np.ones((16, 16))]) == unknown
    from oakpoint.networks import recognition

    bound = recognition.KnownWeights("acorn", "bound", "nowhere", restriction="binds")
    monkeypatch.setattr(recognition, "KNOWN_WEIGHTS", (bound,))
    assert recognised_record(claimed, arrays_of(acorn())).licence == "research only; bound"


@pytest.mark.shared
@pytest.mark.parametrize("form", FORMS)
def test_superpoints_weights_are_recognised_in_every_form(superpoint_weights: Path, form: str) -> None:
    assert names([FORMS[form](tensor) for tensor in read_state(superpoint_weights).values()]) == [SUPERPOINT]


@pytest.mark.shared
@pytest.mark.parametrize("step", [2**-11, 2**-9])
def test_superpoints_original_is_as_near_as_roundings_come(superpoint_weights: Path, step: float) -> None:
    """The copy at hand was rounded to FP16; whatever it was rounded from differs by half a step of that at most."""
    rng = np.random.default_rng(0)
    arrays = [
        array * (1 + step * rng.uniform(-1, 1, array.shape)) for array in arrays_of(read_state(superpoint_weights))
    ]
    assert names(arrays) == [SUPERPOINT]


@pytest.mark.shared
def test_superpoints_encoder_alone_is_superpoints(superpoint_weights: Path) -> None:
    encoder = {name: t for name, t in read_state(superpoint_weights).items() if name[4].isdigit()}
    assert len(encoder) == 16
    assert names(arrays_of(encoder)) == [f"contains {SUPERPOINT}: 8 of 12 weight tensors"]


@pytest.mark.shared
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("prefix", ["", "module.net."])
def test_a_file_of_them_has_their_licence(
    superpoint_weights: Path, tmp_path: Path, suffix: str, kind: torch.dtype, prefix: str
) -> None:
    from safetensors.torch import save_file

    state = {prefix + name: tensor.to(kind) for name, tensor in read_state(superpoint_weights).items()}
    path = tmp_path / f"w{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    record = record_of(path, read_state(path))
    assert (record.name, record.origin) == (SUPERPOINT, KNOWN_WEIGHTS[0].origin)
    assert "non-commercial" in record.licence
    assert "extends to derivatives" in restriction_of(path, read_state(path))
