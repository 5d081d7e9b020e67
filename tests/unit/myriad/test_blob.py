"""The blob model: what it reads from a healthy file, and what it says about a damaged one."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from oakpoint.errors import BlobError
from oakpoint.myriad.blob import Blob, read_blob
from oakpoint.myriad.format import DataType, Location, NceOperation, stage_name

HEADER = 52
FILE_SIZE, MAJOR, OUTPUT_COUNT, STAGE_COUNT, BSS, SLICES = 1, 2, 5, 6, 10, 11


def with_word(data: bytes, offset: int, value: int) -> bytes:
    changed = bytearray(data)
    struct.pack_into("<I", changed, offset, value)
    return bytes(changed)


def with_header(data: bytes, field: int, value: int) -> bytes:
    return with_word(data, HEADER + 4 * field, value)


def test_reads_header_inputs_outputs_and_stages(tiny: Blob) -> None:
    assert (tiny.header.version_major, tiny.header.version_minor) == (6, 0)
    assert (tiny.header.shaves, tiny.header.cmx_slices, tiny.header.batch_size) == (6, 6, 1)
    (image,) = tiny.inputs
    assert (image.name, image.dtype, image.shape, image.order) == ("image", DataType.U8, (1, 1, 32, 48), "NCHW")
    assert {t.name: t.shape for t in tiny.outputs} == {"descriptors": (1, 8, 12, 8), "probability": (1, 17, 8, 12)}
    assert [stage.name for stage in tiny.stages] == ["Convert", *["MyriadXHwOp"] * 5, "Copy", "Softmax"]
    assert [stage.unit for stage in tiny.stages] == ["SHAVE", *["NCE"] * 5, "DMA", "SHAVE"]


def test_reads_hardware_descriptors_and_injected_stage(tiny: Blob) -> None:
    pooled = tiny.stages[2].descriptors[0]
    assert pooled.operation is NceOperation.CONV_POOL
    assert (pooled.kernel_x, pooled.pool_x, pooled.channel_count) == (3, 2, 16)
    assert pooled.relu is not None
    injected = tiny.stages[5].injected
    assert injected is not None
    assert injected.name == "Permute"
    assert injected.outputs[0].location is Location.OUTPUT
    assert sum(1 for _ in tiny.all_stages()) == len(tiny.stages) + 1


def test_stage_knows_what_it_reads_and_writes(tiny: Blob) -> None:
    first = tiny.stages[1]
    assert [b.location for b in first.inputs] == [Location.BSS, *[Location.CONSTANT] * 3]
    assert [str(b) for b in first.outputs] == ["NCHW 1x8x32x48 FP16 at CMX+0xba000"]


def test_bytes_behind_the_stated_size_are_allowed(tiny_bytes: bytes) -> None:
    assert len(Blob.from_bytes(tiny_bytes + b"signature").stages) == 8


@pytest.mark.parametrize("length", [0, 3, 60, 131, 132, 500, 4000, 11647])
def test_truncated_file(tiny_bytes: bytes, length: int) -> None:
    with pytest.raises(BlobError):
        Blob.from_bytes(tiny_bytes[:length])


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (0, 9708, "magic"),
        (MAJOR, 5, r"version 5\.0, expected 6\.0 and 2022\.1"),
        (FILE_SIZE, 1 << 30, "truncated"),
        (BSS, 0xFFFFFFFF, "BSS"),
        (SLICES, 4000, "CMX slices"),
        (STAGE_COUNT, 0xFFFFFFFF, "stages do not fit"),
        (STAGE_COUNT, 7, "follow the last of 7 stages"),
        (OUTPUT_COUNT, 1000, "input or output 2"),
        (16, 11000, "out of order"),
    ],
)
def test_damaged_header(tiny_bytes: bytes, field: int, value: int, message: str) -> None:
    with pytest.raises(BlobError, match=message):
        Blob.from_bytes(with_header(tiny_bytes, field, value))


def test_damaged_border_names_the_stage(tiny: Blob, tiny_bytes: bytes) -> None:
    border = tiny.stages[2].file_offset - 4
    with pytest.raises(BlobError, match="stage 1 at byte"):
        Blob.from_bytes(with_word(tiny_bytes, border, 0))


def test_buffer_outside_its_memory_names_the_stage(tiny: Blob, tiny_bytes: bytes) -> None:
    offset_of_output = tiny.stages[7].file_offset - 12
    with pytest.raises(BlobError, match=r"stage 6 \(Copy\).*memory of"):
        Blob.from_bytes(with_word(tiny_bytes, offset_of_output, 0x7FFFFFF0))


def test_huge_dimensions_and_overlapping_strides_are_refused(tiny: Blob, tiny_bytes: bytes) -> None:
    dims_offset = struct.unpack_from("<I", tiny_bytes, tiny.header.input_section + 12 + 16 + 16)[0]
    place = tiny.header.constant_section + dims_offset
    with pytest.raises(BlobError, match=r"overlap|larger than the memory"):
        Blob.from_bytes(with_word(tiny_bytes, place, 0x7FFFFFFF))
    with pytest.raises(BlobError, match="empty dimension"):
        Blob.from_bytes(with_word(tiny_bytes, place, 0))


def test_foreign_and_missing_files(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x08\x07\x12\x07pytorch" * 100)
    with pytest.raises(BlobError, match=r"model\.onnx: not a Myriad X blob"):
        read_blob(path)
    with pytest.raises(BlobError, match="cannot read it"):
        read_blob(tmp_path / "missing.blob")


def test_unknown_stage_type_is_read_and_named(tiny: Blob, tiny_bytes: bytes) -> None:
    start, end = tiny.stages[7].file_offset, tiny.header.constant_section
    raw = bytearray(tiny_bytes)
    struct.pack_into("<I", raw, start + 4, 999)
    length = struct.unpack_from("<I", raw, start)[0]
    assert start + length <= end
    struct.pack_into("<I", raw, start + length - 8, 999)
    stage = Blob.from_bytes(bytes(raw)).stages[7]
    assert stage.name == stage_name(999) == "unknown stage type 999"
    assert stage.inputs == stage.outputs == ()


@pytest.mark.shared
@pytest.mark.parametrize(("shaves", "stages"), [(5, 242), (6, 180), (10, 104)])
def test_third_party_blobs(shared: Path, shaves: int, stages: int) -> None:
    blob = read_blob(shared / "blobs" / f"superpoint_200x320_{shaves}shave.blob")
    assert (blob.header.shaves, len(blob.stages)) == (shaves, stages)
    assert {t.name: t.shape for t in blob.outputs} == {"desc": (1, 25, 40, 256), "heatmap": (1, 200, 320)}
