"""ONNX to OpenVINO IR in INT8, by NNCF's post-training quantisation; layers that are named stay in float.

Activations are quantised asymmetrically where they are of both signs (NNCF's preset ``mixed``), weights by output
channel. Weights of the first layer take half of the range of 8 bits: CPUs with AVX2 or AVX-512 and without VNNI add two
products in 16 bits, which overflow otherwise (``nncf.OverflowFix.FIRST_LAYER``, NNCF's default as well).

Source: Jacob et al. 2018, arXiv 1712.05877, for the arithmetic; NNCF for ranges, where quantisers stand, and the
correction of biases by the means that rounding moves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import numpy as np
import onnx
from numpy.typing import NDArray

from oakpoint.convert.ir_from_onnx import Shapes, folded_model
from oakpoint.errors import ConversionError, last_line
from oakpoint.runtimes import import_nncf, import_openvino

Feed = Mapping[str, NDArray[Any]]
"""The tensors of all inputs for one image."""

Picture = NDArray[np.uint8]
FeedOf = Callable[[Picture], Feed]

_WEIGHING = (
    "Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData", "MatMul",
)  # fmt: skip
_NUMBERED = re.compile(r"\w+_\d+")
_WITHOUT_BIAS = "/WithoutBiases"
"""What OpenVINO puts behind the name of a convolution of which the bias is a layer of its own."""


@final
class Quantiser:
    """A network and the tensors that calibrate it. What comes of it depends on these and on nothing else."""

    def __init__(self, path: Path, input_shapes: Shapes, pictures: Sequence[Picture], feed_of: FeedOf) -> None:
        """Read the network.

        Args:
            path: the ONNX file.
            input_shapes: of the inputs, in their order, all numbers.
            pictures: the images that calibrate it.
            feed_of: makes the inputs of one of them, in these shapes; asked anew each time, so that not all are held.

        Raises:
            MissingExtraError: NNCF is not installed.
            ConversionError: OpenVINO cannot read the model.
        """
        import_nncf()
        self._name = path.name
        self._pictures, self._feed_of = pictures, feed_of
        self._model = folded_model(path, input_shapes)
        nodes = onnx.load(path, load_external_data=False).graph.node
        self._own_names = {name for node in nodes for name in (node.name, *node.output)}

    @property
    def tool(self) -> str:
        """NNCF with its version."""
        return f"nncf {import_nncf().__version__}"

    def _feed(self, picture: Picture) -> dict[str, NDArray[Any]]:
        return {name: np.ascontiguousarray(array) for name, array in self._feed_of(picture).items()}

    def quantised(self, in_float: Sequence[str] = (), *, simulated: bool = False) -> Any:
        """The model in INT8, as OpenVINO holds it.

        Args:
            in_float: names of layers that stay in float, of ``layers``.
            simulated: whether weights stay in float behind quantisers, so that these can be taken away again.

        Raises:
            ConversionError: NNCF refuses the network.
        """
        nncf = import_nncf()
        weights = {"backend_params": {"compress_weights": False}} if simulated else {}
        ignored = nncf.IgnoredScope(names=list(in_float)) if in_float else None
        try:
            with _silent_bars():
                return nncf.quantize(
                    self._model.clone(),
                    nncf.Dataset(self._pictures, self._feed),
                    preset=nncf.QuantizationPreset.MIXED,
                    subset_size=len(self._pictures),
                    ignored_scope=ignored,
                    advanced_parameters=nncf.AdvancedQuantizationParameters(
                        overflow_fix=nncf.OverflowFix.FIRST_LAYER, **weights
                    ),
                )
        except (RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise ConversionError(f"NNCF cannot make INT8 of {self._name}: {last_line(error)}") from error

    def write(self, model: Any, xml: Path, input_shapes: Shapes) -> None:
        """Write a model that came of ``quantised`` for inputs of these shapes: ``xml``, and the ``.bin`` beside it.

        Raises:
            ConversionError: OpenVINO cannot.
        """
        openvino = import_openvino()
        try:
            model.reshape({port: list(shape) for port, shape in zip(model.inputs, input_shapes, strict=True)})
            self._name_steadily(model)
            openvino.save_model(model, xml, compress_to_fp16=True)
        except RuntimeError as error:
            raise ConversionError(f"OpenVINO cannot write {xml.name}: {last_line(error)}") from error

    def _name_steadily(self, model: Any) -> None:
        """Number by place what OpenVINO numbers by how many nodes the process has made, so that bytes repeat."""
        for place, op in enumerate(model.get_ordered_ops()):
            name = op.get_friendly_name()
            if name not in self._own_names and _NUMBERED.fullmatch(name):
                op.set_friendly_name(f"{op.get_type_name()}_of_int8_{place}")


def layers(simulated: Any) -> tuple[str, ...]:
    """Names of the layers that a simulated model computes in INT8, in the order of execution."""
    return tuple(
        op.get_friendly_name()
        for op in simulated.get_ordered_ops()
        if any(_quantiser(given) is not None for given in op.inputs())
        and (op.get_type_name() not in _WEIGHING or _quantiser(op.input(1)) is not None)
        and op.get_type_name() != _QUANTISER
    )


def with_layer_in_float(simulated: Any, name: str) -> Any:
    """A simulated model of which one layer reads its inputs and weights as they are."""
    changed = simulated.clone()
    layer = next(op for op in changed.get_ordered_ops() if op.get_friendly_name() == name)
    for given in layer.inputs():
        if (quantiser := _quantiser(given)) is not None:
            given.replace_source_output(quantiser.input_value(0))
    return changed


def shown_layer(name: str) -> str:
    """A layer as the user's network names it."""
    return name.removesuffix(_WITHOUT_BIAS)


_QUANTISER = "FakeQuantize"


def _quantiser(given: Any) -> Any | None:
    """What quantises an input of a layer; None where nothing does."""
    source = given.get_source_output().get_node()
    while source.get_type_name() in ("Reshape", "Transpose") and _of_weights(source):
        source = source.input_value(0).get_node()
    return source if source.get_type_name() == _QUANTISER else None


def _of_weights(node: Any) -> bool:
    """Whether a node only brings constants into another form."""
    if node.get_type_name() == "Constant":
        return True
    given = [value.get_node() for value in node.input_values()]
    return bool(given) and all(map(_of_weights, given))


@contextmanager
def _silent_bars() -> Iterator[None]:
    """Without NNCF's progress bars, which rich draws on the console that a program has by default."""
    import rich

    console = rich.get_console()
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before
