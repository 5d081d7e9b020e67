"""Instance normalisation with its epsilon under the root, where ONNX has it."""

from __future__ import annotations

from typing import ClassVar

from oakpoint.convert.rewrites.local import LocalRewrite, Place


class InstanceNorm(LocalRewrite):
    """``InstanceNormalization`` is spelt out: ``(x − μ) / √(σ² + ε) · scale + bias`` over all that follows axis 1.

    The compiler adds ε to σ instead, 3e-3 in place of 1e-5 for the usual one, and takes images alone. The variance is
    that of the differences from the mean, which does not cancel as ``E[x²] − μ²`` does.
    """

    name = "instance-norm"
    operators: ClassVar[frozenset[str]] = frozenset({"InstanceNormalization"})
    tolerance = 1e-5

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        editor, x, rank = place.editor, place.x, len(place.shape)
        axes, channels = list(range(2, rank)), [1, place.shape[1], *([1] * (rank - 2))]
        apart = editor.op("Sub", x, editor.op("ReduceMean", x, axes=axes, keepdims=1))
        variance = editor.op("ReduceMean", editor.op("Mul", apart, apart), axes=axes, keepdims=1)
        epsilon = editor.constant(place.attributes.get("epsilon", 1e-5))
        deviation = editor.op("Sqrt", editor.op("Add", variance, epsilon))
        scaled = editor.op("Mul", apart, editor.op("Div", _of_channels(place, 1, channels), deviation))
        editor.op("Add", scaled, _of_channels(place, 2, channels), output=place.output)
        return True


def _of_channels(place: Place, number: int, channels: list[int]) -> str:
    """An input with one value for each channel, in a shape that broadcasts along axis 1."""
    editor, values = place.editor, place.constant(number)
    if values is None:
        return editor.op("Reshape", place.tensor(number), editor.constant(channels, "int64"))
    return editor.constant(values.reshape(channels), values.dtype)
