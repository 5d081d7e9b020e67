"""A stage map as a JSON file beside its blob."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from oakpoint.errors import StageMapError
from oakpoint.myriad.blob import Blob
from oakpoint.myriad.format import DataType, Location
from oakpoint.myriad.stage_map import MappedStage, MappedTensor, StageMap, check_stage_map
from oakpoint.myriad.tensors import Buffer, Layout

FORMAT: Literal[1] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tensor:
    """A tensor of the map in plain words: NumPy's name of its type, the memory's name, sizes in elements and bytes."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    name: str
    copy: str
    type: Literal["FP16", "U8", "S32", "FP32", "I8"]
    axes: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    memory: Literal["INPUT", "OUTPUT", "BSS", "CMX"]
    index: int
    offset: int
    first_write: int
    last_write: int
    first_read: int
    last_read: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    format: Literal[1]
    stages: tuple[MappedStage, ...]
    tensors: tuple[_Tensor, ...]


_FILE = TypeAdapter(_File)


def stage_map_json(mapped: StageMap) -> str:
    """The map as indented JSON, ending in a newline."""
    file = _File(format=FORMAT, stages=mapped.stages, tensors=tuple(_plain(tensor) for tensor in mapped.tensors))
    return _FILE.dump_json(file, indent=1).decode() + "\n"


def stage_map_from_json(text: str | bytes, blob: Blob) -> StageMap:
    """Read a map of a blob.

    Raises:
        StageMapError: it is none, or of another blob.
    """
    try:
        file = _FILE.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise StageMapError(f"not a stage map: {where}: {first['msg']}") from error
    for tensor in file.tensors:
        if not len(tensor.axes) == len(tensor.shape) == len(tensor.strides) or min(tensor.shape, default=0) < 1:
            raise StageMapError(
                f"not a stage map: {tensor.name!r} has the shape {tensor.shape}, of axes {tensor.axes!r}"
            )
        if min(tensor.strides) < 0 or tensor.offset < 0:
            raise StageMapError(f"not a stage map: {tensor.name!r} lies before its memory")
    mapped = StageMap(file.stages, tuple(_mapped(tensor) for tensor in file.tensors))
    check_stage_map(mapped, blob)
    return mapped


def _plain(tensor: MappedTensor) -> _Tensor:
    buffer, layout = tensor.buffer, tensor.buffer.layout
    return _Tensor(
        name=tensor.name,
        copy=tensor.copy,
        type=layout.dtype.name,  # type: ignore[arg-type]
        axes=layout.axes,
        shape=layout.shape,
        strides=layout.strides,
        memory=buffer.location.name,  # type: ignore[arg-type]
        index=buffer.index,
        offset=buffer.offset,
        first_write=tensor.first_write,
        last_write=tensor.last_write,
        first_read=tensor.first_read,
        last_read=tensor.last_read,
    )


def _mapped(plain: _Tensor) -> MappedTensor:
    values = asdict(plain)
    layout = Layout(DataType[plain.type], plain.axes, plain.shape, plain.strides)
    buffer = Buffer(layout, Location[plain.memory], plain.offset, plain.index)
    places = {name: values[name] for name in ("first_write", "last_write", "first_read", "last_read")}
    return MappedTensor(plain.name, plain.copy, buffer, **places)
