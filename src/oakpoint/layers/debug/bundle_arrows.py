"""The arrows of a bundle, each with the two forms of its network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.bundle.folder import Bundle
from oakpoint.convert.device_graph import DeviceGraph, in_float32
from oakpoint.convert.interface import fixed
from oakpoint.convert.onnx_from_torch import modules_of
from oakpoint.convert.onnx_intake import open_onnx
from oakpoint.convert.rewrites.base import apply_all
from oakpoint.convert.rewrites.intake.one_form import Initialisers, InlinedFunctions
from oakpoint.convert.torch_program import TorchProgram, torch_program
from oakpoint.errors import MissingExtraError, UsageError
from oakpoint.layers.debug.arrows import Arrow
from oakpoint.layers.debug.errors import OWN_LIMITS
from oakpoint.layers.debug.ir_layers import IrLayers
from oakpoint.layers.debug.onnx_layers import OnnxLayers
from oakpoint.layers.debug.torch_layers import TorchLayers
from oakpoint.layers.names import Layer, Layers
from oakpoint.models.bundle_folder import device_graph_of
from oakpoint.networks.registry import LoadedNetwork, brings_own, reload_network, shipped_weights
from oakpoint.verify.tolerances import BLOB_STAGE, DEVICE_STAGE, IR_STAGE, ONNX_STAGE

STAGES: Final = (ONNX_STAGE, IR_STAGE, DEVICE_STAGE, BLOB_STAGE)


class NotCompared(Exception):
    """An arrow that cannot be walked, and why. For callers to say."""


class BundleForms:
    """The forms of a bundle's network, each made when it is first asked for."""

    def __init__(self, bundle: Bundle, weights: Path | None) -> None:
        self._bundle, self._weights = bundle, weights
        self._interface = bundle.manifest.interface.at(bundle.manifest.interface.size, batch=1)

    @cached_property
    def onnx(self) -> OnnxLayers:
        """The host's ONNX with batch 1."""
        model = open_onnx(self._bundle.path("onnx"))
        model = fixed(model, {spec.name: spec.shape for spec in self._interface.tensors})
        apply_all(model, (InlinedFunctions(), Initialisers()))
        return OnnxLayers(model)

    @cached_property
    def program(self) -> TorchProgram:
        """The torch network's.

        Raises:
            NotCompared: there is no torch network, or it cannot be had here.
        """
        manifest = self._bundle.manifest
        if ONNX_STAGE not in manifest.verdicts:
            raise NotCompared("the bundle was made from an ONNX file")
        network = self._network()
        return torch_program(network.module, self._interface.tensors, manifest.torch_outputs)

    def _network(self) -> LoadedNetwork:
        manifest, record = self._bundle.manifest, self._bundle.manifest.weights
        needs_file = record.seed is None and not brings_own(record) and shipped_weights(manifest.network) is None
        if self._weights is None and needs_file:
            raise NotCompared(f"give the weights file with --weights ({record.file})")
        try:
            return reload_network(manifest.network, record, self._weights, arguments=manifest.arguments)
        except (MissingExtraError, UsageError) as error:
            raise NotCompared(str(error)) from error

    @cached_property
    def layers(self) -> Layers:
        """The user's layers, with their torch modules where they are known."""
        modules = modules_of(self.onnx.model)
        try:
            modules |= modules_of(self.program.model, self.program.wrapper)
        except NotCompared:
            pass
        return Layers(self.onnx.model, modules)

    @cached_property
    def device_graph(self) -> DeviceGraph:
        """The device graph, made again."""
        return device_graph_of(self._bundle)

    @cached_property
    def device(self) -> OnnxLayers:
        """The device graph in float32."""
        return OnnxLayers(in_float32(self.device_graph))

    def feed(self, image: NDArray[np.uint8]) -> Tensors:
        """An image for the host's forms."""
        return self._interface.feed_apart(image)

    def fed_device(self, image: NDArray[np.uint8]) -> Tensors:
        """An image for the device graph in float32."""
        return {name: array.astype(np.float32) for name, array in self.fed_blob(image).items()}

    def fed_blob(self, image: NDArray[np.uint8]) -> Tensors:
        """An image for the blob."""
        return self._interface.on_device().feed_apart(image)

    def owners(self, form: OnnxLayers) -> Callable[[str, Sequence[str]], Sequence[Layer]]:
        """What finds the user's layers by which a tensor of a form comes from others."""
        nodes = form.model.graph.node
        owner_of = dict(zip((id(node) for node in nodes), self.layers.owners(nodes), strict=True))

        def layers_of(name: str, given: Sequence[str]) -> Sequence[Layer]:
            own = [owner_of.get(id(node)) for node in form.layers_of(name, given)]
            return [self.layers.layers[place] for place in sorted({place for place in own if place is not None})]

        return layers_of


Made: TypeAlias = Callable[[BundleForms, Bundle], Arrow]


def _torch_to_onnx(forms: BundleForms, _: Bundle) -> Arrow:
    return Arrow(
        stage=ONNX_STAGE,
        reference=TorchLayers(forms.program, forms.onnx.shapes),
        feed=forms.feed,
        candidate=forms.onnx,
        candidate_feed=forms.feed,
        limits=OWN_LIMITS[ONNX_STAGE],
        layers_of=forms.owners(forms.onnx),
    )


def _onnx_to_ir(forms: BundleForms, bundle: Bundle) -> Arrow:
    return Arrow(
        stage=IR_STAGE,
        reference=forms.onnx,
        feed=forms.feed,
        candidate=IrLayers(bundle.path("ir")),
        candidate_feed=forms.feed,
        limits=OWN_LIMITS[IR_STAGE],
        layers_of=forms.owners(forms.onnx),
        rounded=forms.onnx,
    )


def _onnx_to_device_graph(forms: BundleForms, _: Bundle) -> Arrow:
    return Arrow(
        stage=DEVICE_STAGE,
        reference=forms.onnx,
        feed=forms.feed,
        candidate=forms.device,
        candidate_feed=forms.fed_device,
        limits=OWN_LIMITS[DEVICE_STAGE],
        layers_of=forms.owners(forms.onnx),
        rounded=forms.onnx,
    )


ARROWS: Final[dict[str, Made]] = {
    ONNX_STAGE: _torch_to_onnx,
    IR_STAGE: _onnx_to_ir,
    DEVICE_STAGE: _onnx_to_device_graph,
}
