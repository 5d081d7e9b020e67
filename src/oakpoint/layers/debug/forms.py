"""The forms of a bundle's network along the chain, each with the layers that the user knows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.bundle.folder import Bundle
from oakpoint.bundle.interface import Interface, TensorSpec
from oakpoint.convert.device_graph import DeviceGraph, in_float32
from oakpoint.convert.graph_edit import names_read
from oakpoint.convert.interface import fixed
from oakpoint.convert.onnx_from_torch import modules_of
from oakpoint.convert.onnx_intake import open_onnx
from oakpoint.convert.rewrites.base import apply_all
from oakpoint.convert.rewrites.intake.one_form import Initialisers, InlinedFunctions
from oakpoint.convert.torch_program import TorchProgram, torch_program
from oakpoint.errors import BlobError, ConversionError, MissingExtraError, UsageError
from oakpoint.layers.debug.errors import LayerError
from oakpoint.layers.debug.looking import DamagedError
from oakpoint.layers.debug.onnx_layers import OnnxLayers
from oakpoint.layers.names import Layer, Layers
from oakpoint.models.bundle_folder import device_graph_of, device_source_of, host_graph_of
from oakpoint.models.bundle_stages import fitting_stage_map
from oakpoint.myriad.blob import Blob, read_blob
from oakpoint.myriad.stage_map import StageMap
from oakpoint.networks.registry import LoadedNetwork, needs_weights_file, reload_network
from oakpoint.verify.tolerances import ONNX_STAGE


class NotComparedError(Exception):
    """An arrow that cannot be walked, and why. For callers to say."""


class BundleForms:
    """The forms of a bundle's network, each made when it is first asked for.

    Attributes:
        interface: of the host's forms, with batch 1.
        notes: what was noticed on the way.
    """

    def __init__(self, bundle: Bundle, weights: Path | None) -> None:
        """Take the bundle, and the weights file of its torch network where it needs one."""
        self._bundle, self._weights = bundle, weights
        self.interface = bundle.manifest.interface.at(bundle.manifest.interface.size, batch=1)
        self.notes: list[str] = []

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Of the host's forms."""
        return self.interface.outputs

    @cached_property
    def host(self) -> OnnxLayers:
        """The host's ONNX with batch 1.

        Raises:
            DamagedError: it cannot be read.
        """
        try:
            return self._at_batch_1(open_onnx(self._bundle.path("onnx")))
        except ConversionError as error:
            raise DamagedError(str(error)) from error

    def _at_batch_1(self, model: onnx.ModelProto) -> OnnxLayers:
        model = fixed(model, {spec.name: spec.shape for spec in self.interface.tensors})
        apply_all(model, (InlinedFunctions(), Initialisers()))
        return OnnxLayers(model)

    @cached_property
    def network(self) -> LoadedNetwork:
        """The torch network.

        Raises:
            NotComparedError: there is none, or it cannot be had here.
        """
        manifest, record = self._bundle.manifest, self._bundle.manifest.weights
        if ONNX_STAGE not in manifest.verdicts:
            raise NotComparedError("the bundle was made from an ONNX file")
        if self._weights is None and needs_weights_file(manifest.network, record):
            raise NotComparedError(f"give the weights file with --weights ({record.file})")
        try:
            return reload_network(manifest.network, record, self._weights, arguments=manifest.arguments)
        except (MissingExtraError, UsageError) as error:
            raise NotComparedError(str(error)) from error

    @cached_property
    def program(self) -> TorchProgram:
        """The torch network as the exporter sees it.

        Raises:
            NotComparedError: see ``network``.
            ConversionError: it cannot be exported.
        """
        manifest = self._bundle.manifest  # at the bundle's own batch: names of tensors hang on whether it is open
        return torch_program(self.network.module, manifest.interface.tensors, manifest.torch_outputs)

    @cached_property
    def origin(self) -> OnnxLayers:
        """What the user's layers are told from: a new export of the torch network, or the bundle's ONNX without one."""
        return self.host if self._exported is None else self._at_batch_1(self._exported.model)

    @cached_property
    def _exported(self) -> TorchProgram | None:
        """The torch network's program, if it can be had."""
        try:
            return self.program
        except (NotComparedError, ConversionError, MissingExtraError):
            return None

    @cached_property
    def layers(self) -> Layers:
        """The user's layers, with their torch modules where they are known."""
        exported = self._exported
        modules = modules_of(self.host.model)
        return Layers(self.origin.model, modules if exported is None else modules_of(exported.model, exported.wrapper))

    @cached_property
    def device_graph(self) -> DeviceGraph:
        """The device graph, made again.

        Raises:
            ConversionError: it cannot be made.
        """
        return device_graph_of(self._bundle)

    @cached_property
    def device(self) -> OnnxLayers:
        """The device graph in float32."""
        return OnnxLayers(in_float32(self.device_graph))

    @cached_property
    def with_heads(self) -> OnnxLayers:
        """The host's network with the outputs of the device graph, in float32.

        Raises:
            ConversionError: it cannot be made.
        """
        return OnnxLayers(host_graph_of(self._bundle))

    @cached_property
    def made_by_heads(self) -> frozenset[str]:
        """Tensors of the device graph that are others with its heads than without, or that there are only with them."""
        try:
            plain = replace(device_source_of(self._bundle), heads=()).graph().model
        except ConversionError:  # what the heads leave out is what the device does not take
            return frozenset(self.device.shapes)
        return frozenset(changed_tensors(plain.graph, self.device_graph.model.graph))

    @cached_property
    def blob(self) -> Blob:
        """The blob.

        Raises:
            DamagedError: it cannot be read.
        """
        try:
            return read_blob(self._bundle.path("blob"))
        except BlobError as error:
            raise DamagedError(str(error)) from error

    @cached_property
    def stages(self) -> StageMap:
        """The names of the blob's stages and tensors, as far as they can be had.

        Raises:
            NotComparedError: they cannot.
        """
        try:
            found, note = fitting_stage_map(self._bundle, self.device_graph)
        except (BlobError, ConversionError) as error:
            raise NotComparedError(f"the blob's stages cannot be told: {error}") from error
        self.notes += [note] if note else []
        return found

    def feed(self, image: NDArray[np.uint8]) -> Tensors:
        """An image for the host's forms."""
        return self.interface.feed_apart(image)

    def feed_device(self, image: NDArray[np.uint8]) -> Tensors:
        """An image for the device graph in float32."""
        return {name: array.astype(np.float32) for name, array in self.feed_blob(image).items()}

    def feed_blob(self, image: NDArray[np.uint8]) -> Tensors:
        """An image for the blob."""
        return self.on_device.feed_apart(image)

    def picture(self, image: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """An image as the network sees it, uint8 (H, W) or (H, W, 3) BGR; None where it takes none."""
        if self.interface.size is None:
            return None
        preprocess = self.on_device.image
        levels = np.asarray(preprocess.apply(image)[0][0], np.uint8)
        if preprocess.channels == 1:
            return np.asarray(levels[0], np.uint8)
        return np.ascontiguousarray(np.moveaxis(levels if preprocess.colour == "bgr" else levels[::-1], 0, -1))

    @cached_property
    def on_device(self) -> Interface:
        """What the blob takes."""
        taken = device_source_of(self._bundle).interface
        return taken.at(taken.size, batch=1).on_device()

    def owners(self, form: OnnxLayers) -> Callable[[str, Sequence[str]], Sequence[Layer]]:
        """What finds the user's layers by which a tensor of a form comes from others."""
        nodes = form.model.graph.node
        owner_of: dict[str, int] = {}
        for node, owner in zip(nodes, self.layers.owners(nodes), strict=True):
            if owner is not None:
                owner_of |= dict.fromkeys(node.output, owner)

        def layers_of(name: str, given: Sequence[str]) -> Sequence[Layer]:
            places = {
                owner_of[made] for node in form.layers_of(name, given) for made in node.output if made in owner_of
            }
            return [self.layers.layers[place] for place in sorted(places)]

        return layers_of

    def layer_of_stage(self, place: int) -> str:
        """What the user's layer is called that a stage of the blob is of; empty where that is not known."""
        try:
            named = self.stages.stages[place].layer
        except NotComparedError:
            return ""
        owner = self.layers.named(named) if named else None
        return "" if owner is None else self.layers.layers[owner].shown

    def lacking(self, name: str, given: Sequence[str]) -> tuple[str, ...]:
        """Tensors of a new export, of those by which one comes from others, that the bundle's ONNX does not have."""
        made = (output for node in self.origin.layers_of(name, given) for output in node.output)
        return tuple(output for output in made if output in self.origin.shapes and output not in self.host.shapes)

    def unseen(self, errors: Collection[LayerError]) -> Iterator[str]:
        """Names of the user's layers that none of these tensors comes by."""
        seen = {layer.name for error in errors for layer in error.layers}
        return (layer.shown for layer in self.layers.layers if layer.name not in seen)


def changed_tensors(before: onnx.GraphProto, after: onnx.GraphProto) -> set[str]:
    """Tensors of a graph that another one computes otherwise, or does not have: by their layers, or any before them."""
    constants = [{tensor.name: tensor for tensor in graph.initializer} for graph in (before, after)]
    known = {(node.op_type, *node.input, *node.output): node.SerializeToString() for node in before.node}
    changed: set[str] = set()
    for node in after.node:
        read = names_read(node)
        same = known.get((node.op_type, *node.input, *node.output)) == node.SerializeToString() and all(
            constants[0].get(name) == constants[1].get(name) for name in read
        )
        if not same or changed.intersection(read):
            changed.update(node.output)
    return changed
