"""The arrows of a bundle's chain, each with the two forms that it leads from and to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from oakpoint.bundle.folder import Bundle
from oakpoint.layers.debug.arrows import Arrow
from oakpoint.layers.debug.blob_layers import BlobLayers
from oakpoint.layers.debug.errors import OWN_LIMITS
from oakpoint.layers.debug.forms import BundleForms
from oakpoint.layers.debug.ir_layers import IrLayers
from oakpoint.layers.debug.looking import Seen
from oakpoint.layers.debug.torch_layers import TorchLayers
from oakpoint.verify.tolerances import BLOB_STAGE, DEVICE_STAGE, IR_STAGE, ONNX_STAGE


@dataclass(frozen=True, slots=True)
class ArrowKind:
    """An arrow that bundles may have.

    Attributes:
        option: what it is called on the command line.
        shown: what it is called for people: what is compared with what.
        is_in: whether a bundle has it.
        make: makes it, in parts that have references of their own.
    """

    option: str
    shown: str
    is_in: Callable[[Bundle], bool]
    make: Callable[[BundleForms, Bundle], Sequence[Arrow]]


def _torch_to_onnx(forms: BundleForms, _: Bundle) -> Sequence[Arrow]:
    arrow = Arrow(
        stage=ONNX_STAGE,
        reference=TorchLayers(forms.program, forms.host.shapes),
        feed=forms.feed,
        candidate=forms.host,
        candidate_feed=forms.feed,
        limits=OWN_LIMITS[ONNX_STAGE],
        layers_of=forms.owners(forms.origin),
        graph=forms.origin,
        interface=forms.interface,
    )
    return [arrow]


def _onnx_to_ir(forms: BundleForms, bundle: Bundle) -> Sequence[Arrow]:
    candidate = IrLayers(bundle.path("ir"), {spec.name: spec.shape for spec in forms.interface.tensors})
    arrow = Arrow(
        stage=IR_STAGE,
        reference=forms.host,
        feed=forms.feed,
        candidate=candidate,
        candidate_feed=forms.feed,
        limits=OWN_LIMITS[IR_STAGE],
        layers_of=forms.owners(forms.host),
        graph=forms.host,
        interface=forms.interface,
        rounded=forms.host.roundings(),
        outputs_differ=unlike(forms.host, candidate, [spec.name for spec in forms.outputs]),
    )
    return [arrow]


def unlike(reference: Seen, candidate: Seen, outputs: Sequence[str]) -> str:
    """What is wrong with the shapes of outputs that both forms have, but for a batch; empty for nothing."""
    shapes = [(name, reference.shapes.get(name), candidate.shapes.get(name)) for name in outputs]
    wrong = ((name, got, expected) for name, expected, got in shapes if got and expected and got[1:] != expected[1:])
    return "; ".join(f"{name} is {got}, expected {expected}" for name, got, expected in wrong)


def _onnx_to_device_graph(forms: BundleForms, _: Bundle) -> Sequence[Arrow]:
    of_network = Arrow(
        stage=DEVICE_STAGE,
        reference=forms.host,
        feed=forms.feed,
        candidate=forms.device,
        candidate_feed=forms.feed_device,
        limits=OWN_LIMITS[DEVICE_STAGE],
        layers_of=forms.owners(forms.host),
        graph=forms.host,
        interface=forms.interface,
        rounded=forms.host.roundings(),
        reported=frozenset(forms.device.shapes) - forms.made_by_heads,
    )
    if not forms.made_by_heads:
        return [of_network]
    of_heads = replace(
        of_network,
        reference=forms.with_heads,
        rounded=forms.with_heads.roundings(),
        layers_of=forms.owners(forms.with_heads),
        graph=forms.with_heads,
        reported=forms.made_by_heads,
    )
    return [of_network, of_heads]


def _device_graph_to_blob(forms: BundleForms, _: Bundle) -> Sequence[Arrow]:
    candidate = BlobLayers(forms.blob, forms.stages, forms.device)
    arrow = Arrow(
        stage=BLOB_STAGE,
        reference=forms.device,
        feed=forms.feed_device,
        candidate=candidate,
        candidate_feed=forms.feed_blob,
        limits=OWN_LIMITS[BLOB_STAGE],
        layers_of=forms.owners(forms.device),
        graph=forms.device,
        interface=forms.on_device,
        rounded=(forms.device,),
        outputs_differ=candidate.outputs_differ,
    )
    return [arrow]


ARROWS: Final[dict[str, ArrowKind]] = {
    ONNX_STAGE: ArrowKind("onnx", ONNX_STAGE, lambda bundle: ONNX_STAGE in bundle.manifest.verdicts, _torch_to_onnx),
    IR_STAGE: ArrowKind("ir", IR_STAGE, lambda bundle: bundle.manifest.has("ir"), _onnx_to_ir),
    DEVICE_STAGE: ArrowKind("device", DEVICE_STAGE, lambda b: b.manifest.has("blob"), _onnx_to_device_graph),
    BLOB_STAGE: ArrowKind(
        "blob", "device graph → blob", lambda bundle: bundle.manifest.has("blob"), _device_graph_to_blob
    ),
}
"""By the name of the stage of which each is the way within."""
