"""A mutated blob is read, or refused with BlobError: never another exception, never a hang."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from oakpoint.errors import BlobError
from oakpoint.myriad.blob import Blob
from oakpoint.myriad.summary import summarize

TINY = (Path(__file__).resolve().parents[1] / "data" / "myriad" / "tiny.blob").read_bytes()
EXTREMES = (0, 1, 2, 3, 7, 8, 255, 0x7FFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def read(data: bytes) -> None:
    try:
        blob = Blob.from_bytes(data)
    except BlobError:
        return
    summarize(blob)


@settings(max_examples=600, deadline=2000, derandomize=True)
@given(
    words=st.lists(
        st.tuples(
            st.integers(13, len(TINY) // 4 - 1), st.one_of(st.sampled_from(EXTREMES), st.integers(0, 0xFFFFFFFF))
        ),
        min_size=1,
        max_size=4,
    )
)
def test_changed_words(words: list[tuple[int, int]]) -> None:
    data = bytearray(TINY)
    for index, value in words:
        struct.pack_into("<I", data, 4 * index, value)
    read(bytes(data))


@settings(max_examples=200, deadline=2000, derandomize=True)
@given(start=st.integers(0, len(TINY)), length=st.integers(0, 400), moved=st.binary(max_size=64))
def test_bytes_cut_out_or_put_in(start: int, length: int, moved: bytes) -> None:
    read(TINY[:start] + moved + TINY[start + length :])


def test_words_of_the_stages_one_by_one() -> None:
    """Every word of headers and stages once with a large value: 2,500 mutants."""
    header = Blob.from_bytes(TINY).header
    rng = np.random.default_rng(9709)
    for offset in range(52, header.constant_section, 4):
        data = bytearray(TINY)
        struct.pack_into("<I", data, offset, int(rng.choice([0xFFFFFFFF, 0x7FFFFFFF, 65536, 6])))
        read(bytes(data))
