"""Which precision a device gets."""

from __future__ import annotations

import pytest
import torch

from oakpoint.errors import UsageError
from oakpoint.training.options import TrainingOptions, default_precision

CPU = torch.device("cpu")
ASKED = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")


@pytest.mark.parametrize(("native", "expected"), [((), "f32"), (ASKED[:1], "bf16"), (ASKED[1:], "bf16")])
def test_bf16_is_for_cpus_that_multiply_in_it(
    monkeypatch: pytest.MonkeyPatch, native: tuple[str, ...], expected: str
) -> None:
    for name in ASKED:
        monkeypatch.setattr(torch.cpu, name, lambda name=name: name in native, raising=False)
    assert default_precision(CPU) == expected
    assert TrainingOptions(steps=1).on(CPU).precision == expected
    assert TrainingOptions(steps=1, precision="f32").on(CPU).precision == "f32"


def test_a_torch_that_does_not_say_gets_f32(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ASKED:
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert default_precision(CPU) == "f32"


@pytest.mark.parametrize(("capability", "precision"), [((7, 5), "f32"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_a_gpu_gets_bf16_where_it_multiplies_in_it(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], precision: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert default_precision(torch.device("cuda")) == precision


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(UsageError, match="expected one of bf16, f32, got 'f8'"):
        TrainingOptions(steps=1, precision="f8")  # type: ignore[arg-type]
