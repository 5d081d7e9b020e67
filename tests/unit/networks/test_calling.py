"""How networks of all kinds are called."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from oakpoint.networks.calling import Call, CallError, PlainNetwork, call_for, input_names, is_plain, tried_call
from oakpoint.networks.outputs import named_outputs

IMAGE, MASK = torch.ones(1, 1, 4, 4), torch.full((1, 1, 4, 4), 2.0)


class One(nn.Module):
    def forward(self, x: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        return x * scale


class Two(nn.Module):
    def forward(self, image: torch.Tensor, mask: torch.Tensor, extra: torch.Tensor | None = None) -> torch.Tensor:
        return image - mask


class ByName(nn.Module):
    def forward(self, *, image: torch.Tensor) -> torch.Tensor:
        return image


class Variadic(nn.Module):
    def forward(self, *images: torch.Tensor) -> torch.Tensor:
        return images[0] - images[-1]


class FromDict(nn.Module):
    def forward(self, data: dict[str, Any]) -> dict[str, torch.Tensor]:
        if "mask" in data:
            return {"out": data["image"] - data["mask"]}
        return {"out": data["image"] * 2}


class NeedsBoth(nn.Module):
    def forward(self, data: dict[str, Any]) -> torch.Tensor:
        return data["image"] - data["mask"]


class Fails(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise ValueError("multiples of 32, please\nand more")


def test_names_of_inputs() -> None:
    assert input_names(One()) == ("x",)
    assert input_names(Two()) == ("image", "mask")
    assert input_names(ByName()) == ("image",)
    assert input_names(Variadic()) == ()
    assert input_names(nn.Conv2d(1, 1, 1)) == ("input",)


@pytest.mark.parametrize(
    ("module", "names", "call"),
    [
        (One(), ["input"], Call("positional", ("input",))),
        (One(), ["x"], Call("positional", ("x",))),
        (Two(), ["a", "b"], Call("positional", ("a", "b"))),
        (Two(), ["mask", "image"], Call("keywords", ("mask", "image"))),
        (Two(), ["image", "mask", "extra"], Call("keywords", ("image", "mask", "extra"))),
        (ByName(), ["image"], Call("keywords", ("image",))),
        (Variadic(), ["a", "b"], Call("positional", ("a", "b"))),
        (FromDict(), ["image", "mask"], Call("dict", ("image", "mask"))),
    ],
)
def test_signatures(module: nn.Module, names: list[str], call: Call) -> None:
    assert call_for(module, names) == call


@pytest.mark.parametrize(
    ("module", "names", "tensors", "call", "value"),
    [
        (One(), ["input"], [IMAGE], Call("positional", ("input",)), 1),
        (Two(), ["mask", "image"], [IMAGE, MASK], Call("keywords", ("mask", "image")), 1),
        (FromDict(), ["input"], [IMAGE], Call("dict", ("image",)), 2),
        (FromDict(), ["image", "mask"], [IMAGE, MASK], Call("dict", ("image", "mask")), -1),
        (NeedsBoth(), ["mask", "image"], [MASK, IMAGE], Call("dict", ("mask", "image")), -1),
    ],
)
def test_first_calls(module: nn.Module, names: list[str], tensors: Any, call: Call, value: float) -> None:
    found, returned = tried_call(module, names, tensors)
    assert found == call
    outputs = named_outputs(returned)
    assert float(next(iter(outputs.values())).mean()) == value
    plain = PlainNetwork(module, found, list(outputs))
    assert torch.equal(plain(*tensors)[0], next(iter(outputs.values())))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Fails(), "^multiples of 32, please$"),
        (NeedsBoth(), "^a tensor has no key 'image'; its forward takes a dict with 'image', 'mask': name a function"),
        (Two(), "missing 1 required positional argument: 'mask'"),
    ],
)
def test_calls_that_fail(module: nn.Module, message: str) -> None:
    with pytest.raises(CallError, match=message):
        tried_call(module, ["input"], [IMAGE])


@pytest.mark.parametrize(
    ("returned", "plain"),
    [
        ((IMAGE, MASK), True),
        ([IMAGE, MASK], True),
        ((MASK, IMAGE), False),
        ((IMAGE, MASK, IMAGE), False),
        ({"a": IMAGE, "b": MASK}, False),
    ],
)
def test_what_exporters_take_as_it_is(returned: object, plain: bool) -> None:
    assert is_plain(Call("positional", ("x",)), returned, {"a": IMAGE, "b": MASK}) is plain
    assert not is_plain(Call("dict", ("x",)), returned, {"a": IMAGE, "b": MASK})


def test_a_tensor_alone_is_plain() -> None:
    assert is_plain(Call("positional", ("x",)), IMAGE, {"a": IMAGE})
