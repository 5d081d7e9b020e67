from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from small_network import SmallNetwork

from oakpoint.errors import UsageError, WeightsError
from oakpoint.networks.registry import is_network_name, load_network, reload_network

OWN = """
from torch import nn
class Mine(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1)
"""


def test_superpoint_is_known() -> None:
    network = load_network("superpoint", None, seed=0)
    assert network.decode_preset == "superpoint"
    assert not network.module.training
    semi, desc = network.module(torch.zeros(2, 1, 24, 40))
    assert (semi.shape, desc.shape) == ((2, 65, 3, 5), (2, 256, 3, 5))


@pytest.mark.parametrize(
    ("header", "expected"),
    [({"decode_preset": "distilled"}, "distilled"), ({"made_by": "somebody"}, "transformers"), (None, "transformers")],
)
def test_weights_are_decoded_as_they_were_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, header: dict[str, str] | None, expected: str
) -> None:
    monkeypatch.setattr(SmallNetwork, "decode_preset", "transformers", raising=False)
    path = tmp_path / "w.safetensors"
    save_file(SmallNetwork().state_dict(), path, metadata=header)
    assert load_network("small_network:SmallNetwork", path).decode_preset == expected


@pytest.mark.parametrize("where", ["header", "class"])
def test_unknown_decode_options_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    path = tmp_path / "w.safetensors"
    if where == "class":
        monkeypatch.setattr(SmallNetwork, "decode_preset", "moon", raising=False)
    save_file(SmallNetwork().state_dict(), path, metadata={"decode_preset": "moon"} if where == "header" else None)
    with pytest.raises(UsageError, match=r"decode_preset: expected one of superpoint, .*, got 'moon'"):
        load_network("small_network:SmallNetwork", path)


@pytest.mark.parametrize("name", ["nosuch", "", ":", "a:", ":b", "package.module:not-a-name"])
def test_an_unknown_name_lists_the_known_ones(name: str) -> None:
    with pytest.raises(
        UsageError,
        match=f"^'{name}': expected one of acorn, superpoint, edgepoint2, alike, a .onnx file, a bundle, or",
    ):
        load_network(name, None, seed=0)


def test_a_network_in_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_own_network.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["/nowhere"] + [entry for entry in __import__("sys").path if entry])
    network = load_network("my_own_network:Mine", None, seed=1)
    assert type(network.module).__name__ == "Mine"
    assert network.weights.seed == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("small_network:Nope", "cannot be built .*no attribute 'Nope'"),
        ("no_such_module:Nope", "cannot be built .*No module named 'no_such_module'"),
        (".:Nope", "cannot be built"),
        ("small_network:NeedsArguments", "needs the argument width; give --arg width=…"),
        ("small_network:Broken", r"cannot be built \(ValueError: needs a moon\)"),
        ("small_network:NOT_A_NETWORK", r"expected a torch\.nn\.Module, got dict"),
        ("os:path", "expected a torch module class, or a function that makes one, got an object of type module"),
    ],
)
def test_a_class_that_is_no_network(name: str, reason: str) -> None:
    with pytest.raises(UsageError, match=f"^{name}: {reason}"):
        load_network(name, None, seed=0)


def test_a_module_with_a_mistake_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mistaken_module.py").write_text("def (:\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match=r"^mistaken_module:X: cannot be built \(SyntaxError: "):
        load_network("mistaken_module:X", None, seed=0)


def test_weights_or_a_seed(small_weights: Path) -> None:
    with pytest.raises(UsageError, match=r"weights are needed: --weights FILE.*non-commercial"):
        load_network("superpoint", None)
    with pytest.raises(UsageError, match="got both"):
        load_network("small_network:SmallNetwork", small_weights, seed=0)


def test_names() -> None:
    assert is_network_name("superpoint")
    assert is_network_name("a.b:C")
    assert not is_network_name("model.onnx")


def test_loading_again_wants_the_same_weights(small_weights: Path, tmp_path: Path) -> None:
    name = "small_network:SmallNetwork"
    network = load_network(name, small_weights)
    again = reload_network(name, network.weights, small_weights)
    assert again.weights == network.weights
    state = network.module.state_dict()
    torch.save({key: value * 2 for key, value in state.items()}, tmp_path / "other.pth")
    with pytest.raises(
        WeightsError, match=f"other.pth: expected the bundle's weights .small.pth, sha256 {network.weights.sha256}"
    ):
        reload_network(name, network.weights, tmp_path / "other.pth")
    with pytest.raises(UsageError, match="weights are needed"):
        reload_network(name, network.weights, None)


def test_loading_again_from_a_seed() -> None:
    name = "small_network:SmallNetwork"
    first = load_network(name, None, seed=4)
    again = reload_network(name, first.weights, None)
    assert all(torch.equal(a, b) for a, b in zip(first.module.parameters(), again.module.parameters(), strict=True))


CONFIGURED = """
import torch
from torch import nn
class Mine(nn.Module):
    def __init__(self, dim, norm=False):
        super().__init__()
        self.conv = nn.Conv2d(1, dim, 1, bias=not norm)
def make(dim=2):
    return Mine(dim)
def tuned(value=0.5):
    network = Mine(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(value)
    return network
def half_tuned():
    network = Mine(2)
    nn.init.zeros_(network.conv.bias)
    return network
def broken():
    return tuned(float("nan"))
def lazy():
    return nn.LazyConv2d(3, 1)
made = Mine(2)
"""


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "configured_network.py").write_text(CONFIGURED)
    monkeypatch.syspath_prepend(tmp_path)
    return "configured_network"


def test_arguments_reach_class_and_function(configured: str) -> None:
    network = load_network(f"{configured}:Mine", None, seed=0, arguments={"dim": 5, "norm": True})
    assert {name: tuple(t.shape) for name, t in network.module.state_dict().items()} == {"conv.weight": (5, 1, 1, 1)}
    assert network.arguments == {"dim": 5, "norm": True}
    assert load_network(f"{configured}:make", None, seed=0).module.conv.out_channels == 2
    assert load_network(f"{configured}:make", None, seed=0, arguments={"dim": 7}).module.conv.out_channels == 7


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("Mine", {}, "needs the argument dim; give --arg dim=…"),
        ("Mine", {"dims": 3}, "takes no argument 'dims'; did you mean 'dim'?"),
        ("Mine", {"dim": "wide"}, r"cannot be built \(TypeError: "),
        ("lazy", {}, "the size of 'weight' is known after a first run only"),
        ("made", {}, "expected a torch module class, or a function that makes one, got an object of type Mine"),
    ],
)
def test_arguments_that_do_not_do(configured: str, name: str, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{configured}:{name}: {message}"):
        load_network(f"{configured}:{name}", None, seed=0, arguments=arguments)


def test_registered_networks_take_arguments_as_well() -> None:
    with pytest.raises(UsageError, match=r"^superpoint: takes no argument 'dim'; it takes none"):
        load_network("superpoint", None, seed=0, arguments={"dim": 3})
    module = load_network("edgepoint2", None, seed=0, arguments={"descriptor_dim": 20}).module
    assert module.get_submodule("desc_head.2").out_channels == 20


def test_weights_of_the_class_itself(configured: str, caplog: pytest.LogCaptureFixture) -> None:
    network = load_network(f"{configured}:tuned", None)
    record = network.weights
    assert (record.file, record.seed, record.trained, record.origin) == (None, None, True, "from the class itself")
    assert record.sha256 is not None
    assert f"no weights were given, and its class sets them itself (sha256 {record.sha256})" in caplog.text
    assert set(network.module.state_dict()["conv.weight"].flatten().tolist()) == {0.5}
    assert reload_network(f"{configured}:tuned", record, None).weights == record
    other = load_network(f"{configured}:tuned", None, arguments={"value": 0.25})
    assert other.weights.sha256 != record.sha256
    with pytest.raises(WeightsError, match=f"expected the bundle's weights from its class .sha256 {record.sha256}"):
        reload_network(f"{configured}:tuned", record, None, arguments={"value": 0.25})
    with pytest.raises(UsageError, match=r"its class brings the bundle's weights; leave out --weights w.pth"):
        reload_network(f"{configured}:tuned", record, Path("w.pth"))


def test_weights_that_nothing_has_set_are_asked_for(configured: str) -> None:
    before = torch.random.get_rng_state()
    with pytest.raises(UsageError, match=r"half_tuned: weights are needed: .* in tensor 'conv.weight'$"):
        load_network(f"{configured}:half_tuned", None)
    assert torch.equal(torch.random.get_rng_state(), before)
    with pytest.raises(WeightsError, match=r"broken: conv.bias: holds values that are not finite"):
        load_network(f"{configured}:broken", None)


def test_a_network_without_weights_needs_none() -> None:
    assert load_network("torch.nn:Identity", None).weights.origin == "from the class itself"


def test_a_file_in_place_of_a_network(small_weights: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"^{small_weights}: weights alone, .*:Class --weights {small_weights}$"):
        load_network(str(small_weights), None)
    torch.save(SmallNetwork(), tmp_path / "whole.pth")
    with pytest.raises(WeightsError, match=r"whole.pth: holds small_network.SmallNetwork, .*torch.onnx.export"):
        load_network(str(tmp_path / "whole.pth"), None)
