"""Where the windows of pools lie, whatever words a layer says it in."""

from __future__ import annotations

from dataclasses import dataclass

from oakpoint.convert.rewrites.local import Place


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows along one axis: number ``k`` begins at element ``k · stride − before``.

    Attributes:
        size: of the axis, in elements.
        count: of windows.
        kernel: elements of a window.
        stride: between two windows.
        dilation: between two elements of a window.
        before: elements of padding in front, as the layer says.
        after: elements of padding behind, as the layer says; windows of ``ceil_mode`` may reach further.
    """

    size: int
    count: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int

    @property
    def reach(self) -> int:
        """Padding behind with which the last window just fits; below zero where elements at the end are in none."""
        extent = (self.kernel - 1) * self.dilation + 1
        return (self.count - 1) * self.stride + extent - self.before - self.size


def windows_of(place: Place) -> list[Windows]:
    """The windows of a pool along each of its axes.

    Windows of ``ceil_mode`` that begin behind the axis are dropped, as ONNX has it since opset 22 and runtimes always
    had.

    Args:
        place: of a layer with ``kernel_shape``, ``strides``, ``dilations``, ``pads``, ``auto_pad`` and ``ceil_mode`` as
            ONNX defines them.
    """
    given, sizes = place.attributes, place.shape[2:]
    axes = len(sizes)
    kernel = given["kernel_shape"]
    stride, dilation = given.get("strides") or [1] * axes, given.get("dilations") or [1] * axes
    pads = given.get("pads") or [0] * (2 * axes)
    automatic = given.get("auto_pad", b"NOTSET").decode()
    found = []
    for axis, size in enumerate(sizes):
        before, after = pads[axis], pads[axis + axes]
        extent = (kernel[axis] - 1) * dilation[axis] + 1
        if automatic in ("SAME_UPPER", "SAME_LOWER"):
            count = -(-size // stride[axis])
            both = max((count - 1) * stride[axis] + extent - size, 0)
            before = both // 2 if automatic == "SAME_UPPER" else both - both // 2
            after = both - before
        else:
            if automatic == "VALID":
                before = after = 0
            spare = size + before + after - extent
            count = (-(-spare // stride[axis]) if given.get("ceil_mode") else spare // stride[axis]) + 1
            count = min(count, -(-(size + before) // stride[axis]))
        found.append(Windows(size, count, kernel[axis], stride[axis], dilation[axis], before, after))
    return found
