"""Where a tensor lies in the modelled memory: type, shape, strides, location."""

from __future__ import annotations

from dataclasses import dataclass

from oakpoint.errors import BlobError
from oakpoint.myriad.format import AXIS_NAMES, MAX_MEMORY_BYTES, MAX_RANK, DataType, Location
from oakpoint.myriad.reader import Reader


@dataclass(frozen=True, slots=True)
class Layout:
    """Type and arrangement of a tensor in memory.

    Attributes:
        dtype: type of an element.
        axes: a letter for each axis, outermost first: ``"NCHW"``.
        shape: elements along each axis, outermost first; empty for a shape that is known only when running.
        strides: bytes from one element to the next along each axis, outermost first.
        dynamic: the shape is known only when running.
    """

    dtype: DataType
    axes: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dynamic: bool = False

    @property
    def extent(self) -> int:
        """Bytes from the first to one past the last element."""
        return sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True)) + self.dtype.itemsize

    @property
    def size(self) -> int:
        """Number of elements; 0 for a dynamic shape."""
        if self.dynamic:
            return 0
        count = 1
        for n in self.shape:
            count *= n
        return count

    @property
    def nbytes(self) -> int:
        """Bytes of the elements themselves, without gaps."""
        return self.size * self.dtype.itemsize

    def dim(self, axis: str) -> int:
        """Elements along an axis by its letter; 1 where the tensor has no such axis, 0 for a dynamic shape."""
        if self.dynamic:
            return 0
        index = self.axes.find(axis)
        return 1 if index < 0 else self.shape[index]


@dataclass(frozen=True, slots=True)
class IoTensor:
    """An input or output of the network.

    Attributes:
        name: its name.
        index: which of the inputs or outputs it is.
        layout: its arrangement within its own part of the I/O buffer.
        offset: where that part begins in the I/O buffer, in bytes.
    """

    name: str
    index: int
    layout: Layout
    offset: int

    @property
    def dtype(self) -> DataType:
        """Type of an element."""
        return self.layout.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Elements along each axis, outermost first."""
        return self.layout.shape

    @property
    def order(self) -> str:
        """A letter for each axis, outermost first."""
        return self.layout.axes


@dataclass(frozen=True, slots=True)
class Buffer:
    """A tensor as a stage sees it.

    Attributes:
        layout: its arrangement.
        location: the memory it lies in.
        offset: its first byte in that memory; for an input or output, within that tensor's part.
        index: which input or output, for these two locations; else -1.
    """

    layout: Layout
    location: Location
    offset: int
    index: int = -1

    @property
    def is_absent(self) -> bool:
        """An operand that the stage does without."""
        return self.location is Location.NONE

    def __str__(self) -> str:
        """For example ``NCHW 1x64x20x160 FP16 at CMX+0x4c600``."""
        shape = "x".join(map(str, self.layout.shape)) or "dynamic"
        part = f"[{self.index}]" if self.index >= 0 else ""
        return f"{self.layout.axes} {shape} {self.layout.dtype.name} at {self.location.name}{part}+{self.offset:#x}"


def read_layout(reader: Reader, constants: Reader, *, allow_dynamic: bool) -> tuple[Layout, int]:
    """Read a descriptor; its dims and strides lie in the constant section.

    Returns:
        The layout, and how many further words on the shape's place follow the buffer's location.

    Raises:
        BlobError: an unknown type, order or location, or elements that overlap each other.
    """
    code, order, rank = reader.words(3)
    dims_location, dims_offset, strides_location, strides_offset = reader.words(4)
    try:
        dtype = DataType(code)
    except ValueError as error:
        raise BlobError(f"unknown element type {code}") from error
    axes = _axes(order, rank)
    locations = (dims_location, strides_location)
    if all(location == Location.CONSTANT for location in locations):
        shape = _constant_words(constants, dims_offset, rank)[::-1]
        strides = _constant_words(constants, strides_offset, rank)[::-1]
        layout = Layout(dtype, axes, shape, strides)
        _check_layout(layout)
        return layout, 0
    if not allow_dynamic or any(location > Location.CMX for location in locations):
        raise BlobError(f"the shape lies at {locations}, expected {int(Location.CONSTANT)}, the constants")
    extra_words = 2 * sum(location == Location.OUTPUT for location in locations)
    return Layout(dtype, axes, (), (), dynamic=True), extra_words


def _axes(order: int, rank: int) -> str:
    """Letters of the order word, outermost first."""
    if not 0 < rank <= MAX_RANK:
        raise BlobError(f"a tensor of {rank} dimensions, expected 1 to {MAX_RANK}")
    nibbles = [order >> (4 * k) & 0xF for k in range(rank)]
    if order >> (4 * rank) or len(set(nibbles)) != rank or not all(n in AXIS_NAMES for n in nibbles):
        raise BlobError(f"dimension order {order:#x} does not name {rank} different axes")
    return "".join(AXIS_NAMES[n] for n in reversed(nibbles))


def _constant_words(constants: Reader, offset: int, count: int) -> tuple[int, ...]:
    reader = constants.part_at(offset, 4 * count)
    return reader.words(count)


def _check_layout(layout: Layout) -> None:
    """Refuse empty tensors, and strides by which two elements would share a byte."""
    if min(layout.shape) < 1:
        raise BlobError(f"shape {layout.shape} has an empty dimension")
    inner = layout.dtype.itemsize
    for stride, count in sorted(zip(layout.strides, layout.shape, strict=True)):
        if count > 1:
            if stride < inner:
                raise BlobError(f"strides {layout.strides} make elements of shape {layout.shape} overlap")
            inner = stride * count
    if layout.extent > MAX_MEMORY_BYTES:
        raise BlobError(f"a tensor of {layout.extent} bytes is larger than the memory of the chip")


def read_buffer(reader: Reader, constants: Reader) -> Buffer:
    """Read a stage's buffer."""
    layout, extra_words = read_layout(reader, constants, allow_dynamic=True)
    code = reader.u32()
    try:
        location = Location(code)
    except ValueError as error:
        raise BlobError(f"unknown memory location {code}") from error
    index = -1
    if location in (Location.INPUT, Location.OUTPUT):
        index, _size = reader.words(2)
    reader.words(extra_words)
    return Buffer(layout, location, reader.u32(), index)
