"""Deliberately broken blobs: the bytes of a healthy one with one mistake, as a miscompilation would leave it."""

from __future__ import annotations

import struct

from oakpoint.myriad.blob import Blob, Stage
from oakpoint.myriad.format import Location, NceOperation, StageType

STAGE_COUNT_OFFSET = 52 + 4 * 6
HEADER_BYTES = 12


def _word(data: bytes, offset: int) -> int:
    value: int = struct.unpack_from("<I", data, offset)[0]
    return value


def _with_word(data: bytes, offset: int, value: int) -> bytes:
    changed = bytearray(data)
    struct.pack_into("<I", changed, offset, value)
    return bytes(changed)


def _copies(data: bytes) -> list[Stage]:
    return [stage for stage in Blob.from_bytes(data).stages if stage.type == StageType.COPY]


def drop_copy(data: bytes, which: int = -1) -> bytes:
    """Without one of the copies that stand on their own."""
    stage = _copies(data)[which]
    section_end = Blob.from_bytes(data).header.constant_section
    start = stage.file_offset
    length = _word(data, start)
    shortened = data[:start] + data[start + length : section_end] + bytes(length) + data[section_end:]
    return _with_word(shortened, STAGE_COUNT_OFFSET, _word(data, STAGE_COUNT_OFFSET) - 1)


def shift_copy(data: bytes, which: int = -1) -> bytes:
    """One copy writes one FP16 element to the right of its place."""
    stage = _copies(data)[which]
    length = _word(data, stage.file_offset)
    target_offset = stage.file_offset + length - 12
    return _with_word(data, target_offset, _word(data, target_offset) + 2)


def drop_relu(data: bytes, which: int = 0) -> bytes:
    """One hardware stage lets negative values pass: factor 1 instead of 0 below the threshold, in each descriptor."""
    stages = [s for s in Blob.from_bytes(data).stages if s.descriptors and s.descriptors[0].relu is not None]
    stage = stages[which]
    offset = stage.file_offset + HEADER_BYTES + 8
    for descriptor in stage.descriptors:
        words = 2 + (descriptor.operation is NceOperation.POOL) + 1 + descriptor.padded + 10
        words += 2 * (descriptor.operation is NceOperation.CONV_POOL)
        relu = offset + 4 * words
        assert _word(data, relu) == 1
        data = _with_word(data, relu + 8, 1)
        offset = relu + 16 + 4 * (1 + (descriptor.clamp is not None) + 2)
    return data


def flip_weight_bit(data: bytes, which: int = 0) -> bytes:
    """The highest bit of the exponent of one weight of a hardware stage, the one of a middle output channel."""
    blob = Blob.from_bytes(data)
    stage = [s for s in blob.stages if s.descriptors and s.descriptors[0].operation is not NceOperation.POOL][which]
    weights = stage.buffers[stage.descriptors[0].weights]
    assert weights.location is Location.CONSTANT
    high_byte = blob.header.constant_section + weights.offset + 2 * (weights.layout.size // 2) + 1
    changed = bytearray(data)
    changed[high_byte] ^= 0x40
    return bytes(changed)


FAULTS = {
    "dropped copy": drop_copy,
    "shifted copy": shift_copy,
    "missing ReLU": drop_relu,
    "flipped weight bit": flip_weight_bit,
}


def flip_constant_bit(data: bytes, place: int, bit: int) -> bytes:
    """One bit of an FP16 constant, whose first byte is at ``place`` in the constant section; bit 0 is the lowest."""
    changed = bytearray(data)
    changed[Blob.from_bytes(data).header.constant_section + place + bit // 8] ^= 1 << bit % 8
    return bytes(changed)
