"""Families of networks: members and layouts found out from state dicts, and what each takes and gives."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import nn
from torch.nn import functional

from oakpoint.bundle.interface import TensorSpec
from oakpoint.convert.onnx_from_torch import export_onnx
from oakpoint.errors import UsageError, WeightsError
from oakpoint.features.types import PRESETS
from oakpoint.networks.alike import Alike
from oakpoint.networks.edgepoint2 import EdgePoint2
from oakpoint.networks.registry import NETWORKS, LoadedNetwork, load_network
from oakpoint.networks.superpoint import NormedSuperPoint, SuperPoint
from oakpoint.networks.weights import initialise_randomly


def small_edgepoint2() -> EdgePoint2:
    return EdgePoint2((4, 8, 8, 16), 12, 4)


def small_alike(*, two_convolutions: bool = True) -> Alike:
    return Alike((4, 6, 8, 10), 16, two_convolutions=two_convolutions)


def saved(state: dict[str, torch.Tensor], path: Path) -> Path:
    torch.save(state, path)
    return path


@pytest.mark.parametrize(
    ("name", "module", "size", "descriptors"),
    [
        ("edgepoint2", small_edgepoint2(), (64, 96), (12, 16, 24)),
        ("alike", small_alike(), (64, 96), (16, 64, 96)),
        ("alike", small_alike(two_convolutions=False), (37, 50), (16, 37, 50)),
    ],
)
def test_the_member_is_read_from_the_state_dict(name, module, size, descriptors, tmp_path: Path) -> None:
    state = {f"module.{key}": tensor for key, tensor in module.state_dict().items()}
    again = load_network(name, saved(state, tmp_path / "w.pth")).module
    assert not again.training
    with torch.inference_mode():
        image = torch.rand(2, NETWORKS[name].channels, *size, generator=torch.Generator().manual_seed(0))
        found = again(image)
        expected = module.eval()(image)
    assert (found[0].shape, found[1].shape) == ((2, 1, *size), (2, *descriptors))
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_alike_fills_up_at_the_right_and_bottom() -> None:
    torch.manual_seed(0)
    module = small_alike().eval()
    image = torch.rand(1, 1, 40, 50)
    filled = functional.pad(image, (0, 14, 0, 24))
    with torch.inference_mode():
        for cut, whole in zip(module(image), module(filled), strict=True):
            torch.testing.assert_close(cut, whole[:, :, :40, :50])


def test_grey_stands_for_all_colours_in_alike() -> None:
    module = small_alike().eval()
    grey = torch.rand(1, 1, 32, 64, generator=torch.Generator().manual_seed(1))
    colours = torch.rand(1, 3, 32, 64, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        expected = module(grey.expand(-1, 3, -1, -1))
        assert all(torch.equal(one, other) for one, other in zip(module(grey), expected, strict=True))
        assert not torch.equal(module(colours)[0], module(colours.flip(1))[0])


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_said_of_a_network_is_so(name: str) -> None:
    network = load_network(name, None, seed=0)
    entry = network.entry
    assert entry is not None
    assert entry.decode_preset in PRESETS
    assert len(entry.mean) in (1, entry.channels)
    assert len(entry.scale) in (1, entry.channels)
    assert (entry.colour == "grey") is (entry.channels == 1)
    side = 3 * entry.multiple if entry.multiple > 1 else 45
    with torch.inference_mode():
        scores, descriptors = network.module(torch.rand(2, entry.channels, side, 2 * side))
    rows, columns = side // 8, 2 * side // 8
    assert scores.shape == {"cell_logits": (2, 65, rows, columns), "pixel_logits": (2, 1, side, 2 * side)}[entry.scores]
    assert descriptors.shape[0] == 2
    assert side / descriptors.shape[2] == 2 * side / descriptors.shape[3]


def test_weights_tell_the_variant_or_are_asked_for(tmp_path: Path) -> None:
    for name in ("edgepoint2", "alike"):
        with pytest.raises(UsageError, match=rf"^{name}: weights are needed: --weights FILE. Its authors'"):
            load_network(name, None)
    with pytest.raises(WeightsError, match="are missing: expected 59 tensors of Alike, got 72"):
        load_network("alike", saved(small_edgepoint2().state_dict(), tmp_path / "w.pth"))


def theirs(module: NormedSuperPoint, layout: str) -> dict[str, torch.Tensor]:
    """The weights of a network under the names of a published layout."""
    own = {ours: other for other, ours in module.other_names.items() if ("backbone" in other or "tector" in other
           or "descriptor" in other) is (layout == "relu first")}  # fmt: skip
    return {own.get(name, name): tensor for name, tensor in module.state_dict().items()}


def with_statistics(module: nn.Module) -> nn.Module:
    """Random weights, and batch norms that are far from neutral."""
    initialise_randomly(module, 1)
    generator = torch.Generator().manual_seed(2)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.weight.data = torch.rand(part.num_features, generator=generator) + 0.5
            part.bias.data = torch.randn(part.num_features, generator=generator) * 0.1
            part.running_mean = torch.randn(part.num_features, generator=generator) * 0.1
            part.running_var = torch.rand(part.num_features, generator=generator) * 0.01  # epsilons count
    return module.eval()


def by_the_book(state: dict[str, torch.Tensor], image: torch.Tensor, layout: str) -> list[torch.Tensor]:
    """The published function, written from names alone: what is independent of our module."""

    def norm(name: str, x: torch.Tensor, epsilon: float) -> torch.Tensor:
        mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return functional.batch_norm(x, mean, variance, state[f"{name}.weight"], state[f"{name}.bias"], eps=epsilon)

    def layer(convolution: str, batch_norm: str, x: torch.Tensor, relu: bool = True) -> torch.Tensor:
        weight = state[f"{convolution}.weight"]
        x = functional.conv2d(x, weight, state[f"{convolution}.bias"], padding=weight.shape[-1] // 2)
        if layout == "norm first":
            x = norm(batch_norm, x, 1e-5)
            return x.relu() if relu else x
        return norm(batch_norm, x.relu() if relu else x, 1e-3)

    x = image
    for block in range(4):
        x = functional.max_pool2d(x, 2) if block else x
        for part in range(2):
            if layout == "norm first":
                convolutions = f"down{block}.mpconv.1.conv" if block else "inc.conv.conv"
                x = layer(f"{convolutions}.{3 * part}", f"{convolutions}.{3 * part + 1}", x)
            else:
                x = layer(f"backbone.{block}.{part}.conv", f"backbone.{block}.{part}.bn", x)
    heads = []
    for letter, head in (("P", "detector"), ("D", "descriptor")):
        names = [(f"conv{letter}{part}", f"bn{letter}{part}") for part in "ab"]
        if layout == "relu first":
            names = [(f"{head}.{part}.conv", f"{head}.{part}.bn") for part in range(2)]
        heads.append(layer(*names[1], layer(*names[0], x), relu=False))
    return heads


@pytest.mark.parametrize("layout", ["norm first", "relu first"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_superpoint_with_batch_norms(layout: str, prefix: str, tmp_path: Path) -> None:
    module = with_statistics(NormedSuperPoint(norm_first=layout == "norm first"))
    state = theirs(module, layout)
    assert len(state) == len(module.state_dict()) == 12 * 7
    assert ("inc.conv.conv.0.weight" in state, "backbone.0.0.conv.weight" in state) == (
        layout == "norm first",
        layout == "relu first",
    )
    path = saved({"model_state_dict": {prefix + name: t for name, t in state.items()}}, tmp_path / "w.pth.tar")
    network = load_network("superpoint", path)
    image = torch.rand(1, 1, 32, 48, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        found = network.module(image)
        for ours, expected in zip(found, by_the_book(state, image, layout), strict=True):
            torch.testing.assert_close(ours, expected)
    assert network.decode_preset == "superpoint"


def test_other_layouts_of_superpoint_are_told_apart(tmp_path: Path) -> None:
    plain = SuperPoint()
    assert type(SuperPoint.for_state(plain.state_dict())) is SuperPoint
    with pytest.raises(KeyError):
        SuperPoint.for_state(small_alike().state_dict())
    with pytest.raises(WeightsError, match="are missing: expected 24 tensors of SuperPoint, got 60"):
        load_network("superpoint", saved(small_alike().state_dict(), tmp_path / "w.pth"))


def same_in_onnxruntime(network: LoadedNetwork, size: tuple[int, int], path: Path) -> None:
    entry = network.entry
    assert entry is not None
    shape = (entry.channels, size[1], size[0])
    export_onnx(network.module, path, inputs=[TensorSpec("image", "float32", ("N", *shape))], outputs=entry.outputs)
    image = torch.rand(2, *shape, generator=torch.Generator().manual_seed(5))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == list(entry.outputs)
    with torch.inference_mode():
        expected = network.module(image)
    for found, wanted in zip(session.run(None, {"image": image.numpy()}), expected, strict=True):
        assert float((torch.from_numpy(found) - wanted).abs().max() / wanted.abs().max()) < 1e-4


@pytest.mark.parametrize(
    ("name", "size"),
    [("edgepoint2", (96, 64)), ("alike", (50, 37)), pytest.param("alike", (64, 32), marks=pytest.mark.slow)],
)
def test_exports_equal_torch(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    module = small_edgepoint2() if name == "edgepoint2" else small_alike()
    network = load_network(name, saved(with_statistics(module).state_dict(), tmp_path / "w.pth"))
    same_in_onnxruntime(network, size, tmp_path / "m.onnx")


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("size", [(320, 192), (160, 96)])
@pytest.mark.parametrize(
    ("name", "file"),
    [("edgepoint2", "edgepoint2_T32.pth"), ("edgepoint2", "edgepoint2_E64.pth"), ("alike", "alike-l.pth")],
)
def test_exports_with_their_authors_weights_equal_torch(
    shared: Path, name: str, file: str, size: tuple[int, int], tmp_path: Path
) -> None:
    same_in_onnxruntime(load_network(name, shared / "weights" / file), size, tmp_path / "m.onnx")


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "file"),
    [("edgepoint2", f"edgepoint2_{variant}.pth") for variant in ("T32", "S48", "M64", "E64")]
    + [("alike", "alike-n.pth"), ("alike", "alike-l.pth")],
)
def test_their_authors_weights_load(shared: Path, name: str, file: str, caplog: pytest.LogCaptureFixture) -> None:
    network = load_network(name, shared / "weights" / file)
    assert network.weights.licence in ("MIT", "BSD-3-Clause")
    assert network.decode_preset == name
    assert not caplog.text
