"""A compiled Myriad X blob as a typed, read-only model.

Everything a blob says about lengths, borders and offsets is checked before it is used: a truncated, corrupted or
foreign file gives one :class:`~oakpoint.errors.BlobError` that says where, and no memory is reserved on a file's word
alone.

Source of the format: see :mod:`oakpoint.myriad.format`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Final

from oakpoint.errors import BlobError
from oakpoint.myriad.decoding import parameters_from_bytes
from oakpoint.myriad.format import (
    BLOB_MAGIC,
    CMX_SLICE_BYTES,
    DMA,
    ELF_HEADER_BYTES,
    ELF_IDENTITY,
    MAX_CMX_SLICES,
    MAX_MEMORY_BYTES,
    MAX_SHAVES,
    STAGE_BORDER,
    VERSIONS,
    Location,
    StageType,
    stage_name,
)
from oakpoint.myriad.nce import MIN_DESCRIPTOR_BYTES, NceDescriptor, read_descriptor
from oakpoint.myriad.parameters import NoParameters, Parameters
from oakpoint.myriad.reader import Reader
from oakpoint.myriad.roles import Roles, roles_of
from oakpoint.myriad.tensors import Buffer, IoTensor, read_buffer, read_layout

MIN_STAGE_BYTES: Final = 24
"""A stage of no parameters and no buffers: length, type, shaves, length of the parameters, type, border."""

HEADER_WORDS: Final = 20
NAME_ALIGNMENT: Final = 16


@dataclass(frozen=True, slots=True)
class BlobHeader:
    """The 20 words behind the ELF header, in file order; sizes and offsets in bytes."""

    magic: int
    file_size: int
    version_major: int
    version_minor: int
    input_count: int
    output_count: int
    stage_count: int
    inputs_size: int
    outputs_size: int
    batch_size: int
    bss_size: int
    cmx_slices: int
    shaves: int
    has_hardware_stage: int
    has_shave_stage: int
    has_dma_stage: int
    input_section: int
    output_section: int
    stage_section: int
    constant_section: int

    @property
    def cmx_size(self) -> int:
        """Bytes of CMX that the network uses."""
        return self.cmx_slices * CMX_SLICE_BYTES


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the network.

    Attributes:
        index: place in the order of execution; an injected stage has its host's.
        type: number of the stage type; :class:`~oakpoint.myriad.format.StageType` names the known ones.
        shaves: how many SHAVE processors run it.
        parameters: decoded, by type.
        buffers: all buffers in file order, to which a descriptor's indices refer.
        roles: which of them are read and which are written; empty for an unknown type.
        descriptors: the operations of a hardware stage; else empty.
        injected: the stage that runs beside a hardware stage, if any.
        file_offset: where the stage begins in the file.
    """

    index: int
    type: int
    shaves: int
    parameters: Parameters
    buffers: tuple[Buffer, ...]
    roles: Roles
    descriptors: tuple[NceDescriptor, ...]
    injected: Stage | None
    file_offset: int

    @property
    def name(self) -> str:
        """Name of the stage type."""
        return stage_name(self.type)

    @property
    def inputs(self) -> tuple[Buffer, ...]:
        """What the stage reads."""
        return tuple(self.buffers[i] for i in self.roles.inputs)

    @property
    def outputs(self) -> tuple[Buffer, ...]:
        """What the stage writes."""
        return tuple(self.buffers[i] for i in self.roles.outputs)

    @property
    def unit(self) -> str:
        """The part of the chip that runs it: ``"NCE"``, ``"DMA"`` or ``"SHAVE"``."""
        if self.type == StageType.MYRIAD_X_HW_OP:
            return "NCE"
        return "DMA" if self.type in DMA else "SHAVE"

    def __str__(self) -> str:
        return f"stage {self.index} ({self.name})"


@dataclass(frozen=True, slots=True)
class Blob:
    """A compiled network.

    Attributes:
        header: sizes and offsets.
        inputs, outputs: the named tensors, in index order.
        stages: in the order of execution.
        data: the whole file.
    """

    header: BlobHeader
    inputs: tuple[IoTensor, ...]
    outputs: tuple[IoTensor, ...]
    stages: tuple[Stage, ...]
    data: bytes = field(repr=False)

    @classmethod
    def from_bytes(cls, data: bytes, *, source: str = "blob") -> Blob:
        """Read a blob.

        Args:
            data: content of the file.
            source: what to call it in errors.

        Raises:
            BlobError: the bytes are not a whole, consistent blob of a known version.
        """
        try:
            return _read(bytes(data))
        except BlobError as error:
            raise BlobError(f"{source}: {error}") from error

    @property
    def constants(self) -> memoryview:
        """Weights, biases, scales, dims and strides."""
        return memoryview(self.data)[self.header.constant_section : self.header.file_size]

    def all_stages(self) -> Iterator[Stage]:
        """Every stage in the order of execution, an injected one after its host."""
        for stage in self.stages:
            yield stage
            if stage.injected is not None:
                yield stage.injected

    def memory_size(self, location: Location, index: int = -1) -> int:
        """Bytes of a memory; of one tensor's part for an input or output."""
        if location in (Location.INPUT, Location.OUTPUT):
            tensors = self.inputs if location is Location.INPUT else self.outputs
            return tensors[index].layout.extent if 0 <= index < len(tensors) else 0
        sizes = {
            Location.CONSTANT: self.header.file_size - self.header.constant_section,
            Location.BSS: self.header.bss_size,
            Location.CMX: self.header.cmx_size,
        }
        return sizes.get(location, 0)


def read_blob(path: Path) -> Blob:
    """Read a blob file.

    Raises:
        BlobError: the file cannot be read, or is not a whole, consistent blob of a known version.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > MAX_MEMORY_BYTES:
            raise BlobError(f"{path}: {size} bytes are more than the memory of the chip, {MAX_MEMORY_BYTES}")
        data = path.read_bytes()
    except OSError as error:
        raise BlobError(f"{path}: cannot read it ({error.strerror})") from error
    return Blob.from_bytes(data, source=str(path))


def _read(data: bytes) -> Blob:
    header = _read_header(data)
    constants = Reader(data, header.constant_section, header.file_size)
    inputs = _read_io(data, header.input_section, header.output_section, header.input_count, constants)
    outputs = _read_io(data, header.output_section, header.stage_section, header.output_count, constants)
    reader = Reader(data, header.stage_section, header.constant_section)
    if header.stage_count * MIN_STAGE_BYTES > reader.left:
        raise BlobError(f"{header.stage_count} stages do not fit into a section of {reader.left} bytes")
    stages = tuple(_read_stage(reader, constants, index) for index in range(header.stage_count))
    if any(reader.bytes(reader.left)):
        raise BlobError(f"bytes follow the last of {header.stage_count} stages")
    blob = Blob(header, inputs, outputs, stages, data)
    _check_io(blob)
    for stage in blob.all_stages():
        _check_buffers(blob, stage)
    return blob


def _read_header(data: bytes) -> BlobHeader:
    if data[: len(ELF_IDENTITY)] != ELF_IDENTITY:
        raise BlobError(f"not a Myriad X blob: it begins with {data[:4]!r}, expected {ELF_IDENTITY!r}")
    header = BlobHeader(*Reader(data, min(ELF_HEADER_BYTES, len(data)), len(data)).words(HEADER_WORDS))
    if header.magic != BLOB_MAGIC:
        raise BlobError(f"not a Myriad X blob: magic number {header.magic}, expected {BLOB_MAGIC}")
    version = (header.version_major, header.version_minor)
    if version not in VERSIONS:
        known = " and ".join(f"{major}.{minor}" for major, minor in VERSIONS)
        raise BlobError(f"blob version {version[0]}.{version[1]}, expected {known}")
    if header.file_size > len(data):
        raise BlobError(f"truncated: {len(data)} bytes, the header promises {header.file_size}")
    sections = astuple(header)[-4:]
    borders = (ELF_HEADER_BYTES + 4 * HEADER_WORDS, *sections, header.file_size)
    if list(borders) != sorted(borders):
        raise BlobError(f"sections at {sections} are out of order in a file of {header.file_size} bytes")
    limits = {
        "input memory": (header.inputs_size, MAX_MEMORY_BYTES),
        "output memory": (header.outputs_size, MAX_MEMORY_BYTES),
        "BSS": (header.bss_size, MAX_MEMORY_BYTES),
        "CMX slices": (header.cmx_slices, MAX_CMX_SLICES),
        "shaves": (header.shaves, MAX_SHAVES),
    }
    for what, (value, limit) in limits.items():
        if value > limit:
            raise BlobError(f"{what}: {value} is more than the chip's {limit}")
    return header


def _read_io(data: bytes, start: int, end: int, count: int, constants: Reader) -> tuple[IoTensor, ...]:
    reader = Reader(data, start, end)
    tensors = []
    for expected in range(count):
        index, offset, length = reader.words(3)
        if index != expected or length % NAME_ALIGNMENT:
            raise BlobError(f"input or output {expected}: index {index} and a name of {length} bytes")
        raw = reader.bytes(length)
        try:
            name = raw.split(b"\0")[0].decode()
        except UnicodeDecodeError as error:
            raise BlobError(f"input or output {expected}: its name {raw!r} is not UTF-8") from error
        layout, _ = read_layout(reader, constants, allow_dynamic=False)
        tensors.append(IoTensor(name, index, layout, offset))
    return tuple(tensors)


def _read_stage(reader: Reader, constants: Reader, index: int, *, nested: bool = False) -> Stage:
    start = reader.position
    try:
        length, stage_type, shaves = reader.words(3)
        body = reader.part(length - 12)
        inner = body.part(body.left - 8)
        _check_border(body.words(2), stage_type)
        return _read_body(inner, constants, Stage(
            index, stage_type, shaves, NoParameters(), (), Roles(), (), None, start,
        ), nested=nested)  # fmt: skip
    except BlobError as error:
        kind = "injected stage" if nested else "stage"
        raise BlobError(f"{kind} {index} at byte {start}: {error}") from error


def _check_border(words: tuple[int, ...], stage_type: int) -> None:
    if words != (stage_type, STAGE_BORDER):
        raise BlobError(f"it ends with {words}, expected {(stage_type, STAGE_BORDER)}")


def _read_body(inner: Reader, constants: Reader, head: Stage, *, nested: bool) -> Stage:
    """Parameters and buffers of a stage, whose header is given."""
    parameter_length = inner.u32()
    if parameter_length < 4:
        raise BlobError(f"its parameters have a length of {parameter_length} bytes")
    parameter_reader = inner.part(parameter_length - 4)
    parameters: Parameters = NoParameters()
    descriptors: tuple[NceDescriptor, ...] = ()
    injected = None
    count = -1
    if head.type == StageType.MYRIAD_X_HW_OP:
        descriptors, injected = _read_hardware(parameter_reader, constants, head.index, nested=nested)
        count = inner.u32()
    else:
        parameters = parameters_from_bytes(head.type, parameter_reader.bytes(parameter_reader.left))
    buffers = []
    while inner.left:
        buffers.append(read_buffer(inner, constants))
    if count not in (-1, len(buffers)):
        raise BlobError(f"{len(buffers)} buffers, it promises {count}")
    roles = roles_of(head.type, parameters, len(buffers), descriptors)
    return Stage(
        head.index, head.type, head.shaves, parameters, tuple(buffers), roles, descriptors, injected, head.file_offset
    )


def _read_hardware(
    reader: Reader, constants: Reader, index: int, *, nested: bool
) -> tuple[tuple[NceDescriptor, ...], Stage | None]:
    count = reader.u32()
    if not 0 < count * MIN_DESCRIPTOR_BYTES <= reader.left:
        raise BlobError(f"{count} hardware descriptors do not fit into {reader.left} bytes")
    descriptors = tuple(read_descriptor(reader) for _ in range(count))
    injected = None
    if reader.u32():
        if nested:
            raise BlobError("an injected stage holds another one")
        injected = _read_stage(reader, constants, index, nested=True)
    if reader.left:
        raise BlobError(f"{reader.left} bytes follow its hardware descriptors")
    return descriptors, injected


def _check_io(blob: Blob) -> None:
    """Inputs and outputs lie within the I/O memory that the header states."""
    header = blob.header
    for kind, tensors, size in (
        ("input", blob.inputs, header.inputs_size),
        ("output", blob.outputs, header.outputs_size),
    ):
        names = [tensor.name for tensor in tensors]
        if len(set(names)) != len(names):
            raise BlobError(f"two {kind}s have one name among {names}")
        for tensor in tensors:
            if tensor.offset + tensor.layout.extent > size:
                raise BlobError(f"{kind} {tensor.name!r} leaves the {kind} memory of {size} bytes")


def _check_buffers(blob: Blob, stage: Stage) -> None:
    """Every buffer lies within its memory; nothing writes to constants or inputs."""
    for buffer in stage.buffers:
        if buffer.is_absent:
            continue
        size = blob.memory_size(buffer.location, buffer.index)
        end = buffer.offset + (0 if buffer.layout.dynamic else buffer.layout.extent)
        if end > size:
            raise BlobError(f"{stage}: {buffer} ends at byte {end} of a memory of {size} bytes")
    for buffer in stage.outputs:
        if buffer.location not in (Location.OUTPUT, Location.BSS, Location.CMX):
            raise BlobError(f"{stage} writes to {buffer}")
