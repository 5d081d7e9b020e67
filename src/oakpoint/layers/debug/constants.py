"""Constants that are not what they should be, with the layer that takes each: what no image can show."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from oakpoint.bundle.folder import Bundle
from oakpoint.convert.graph_edit import names_read
from oakpoint.errors import BlobError, ConversionError
from oakpoint.layers.debug.forms import BundleForms
from oakpoint.layers.debug.report import AlteredConstant
from oakpoint.networks.registry import batch_norms_of
from oakpoint.verify.blob_constants import compare_blob_constants
from oakpoint.verify.constants import compare_by_name, compare_ir_constants
from oakpoint.verify.tolerances import BLOB_STAGE, IR_STAGE, ONNX_STAGE


def altered_constants(stage: str, forms: BundleForms, bundle: Bundle) -> list[AlteredConstant]:
    """The constants of an arrow's second form that were altered, by evidence; none where it cannot be compared."""
    found = _FINDERS.get(stage)
    try:
        return [] if found is None else list(found(forms, bundle))
    except (BlobError, ConversionError):  # what cannot be read has been said by whatever opened it
        return []


def _of_onnx(forms: BundleForms, bundle: Bundle) -> Iterator[AlteredConstant]:
    network = forms.network
    tensors = {name: tensor.detach().numpy() for name, tensor in network.module.state_dict().items()}
    for name in compare_by_name(tensors, bundle.path("onnx"), batch_norms_of(network))[1]:
        yield AlteredConstant(layer=_reader_of(name, forms), text=f"{name} is not the network's, bit for bit")


def _of_ir(forms: BundleForms, bundle: Bundle) -> Iterator[AlteredConstant]:
    for name in compare_ir_constants(bundle.path("onnx"), bundle.path("ir")).altered:
        yield AlteredConstant(layer=_reader_of(name, forms), text=f"{name} is not the ONNX file's, rounded to FP16")


def _reader_of(constant: str, forms: BundleForms) -> str:
    """What the layer is called that takes a constant of the ONNX."""
    nodes = forms.host.model.graph.node
    owners = forms.layers.owners(nodes)
    readers = (owner for node, owner in zip(nodes, owners, strict=True) if constant in names_read(node))
    return next((forms.layers.layers[owner].shown for owner in readers if owner is not None), "")


def _of_blob(forms: BundleForms, _: Bundle) -> Iterator[AlteredConstant]:
    blob = forms.blob
    layers = {str(stage): forms.layer_of_stage(place) for place, stage in enumerate(blob.all_stages())}
    for text in compare_blob_constants(blob, forms.device_graph.model).altered:
        yield AlteredConstant(layer=layers.get(text.split(": ")[0], ""), text=text)


_FINDERS: dict[str, Callable[[BundleForms, Bundle], Iterator[AlteredConstant]]] = {
    ONNX_STAGE: _of_onnx,
    IR_STAGE: _of_ir,
    BLOB_STAGE: _of_blob,
}
