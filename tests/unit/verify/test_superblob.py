from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from oakpoint.bundle.records import Verdict
from oakpoint.errors import BlobError, NotModelledError
from oakpoint.verify import superblob
from oakpoint.verify.superblob import verify_shaves

FEED = {"image": np.zeros((1, 1, 8, 8), np.uint8)}
Outputs = dict[str, np.ndarray]


class NoStages:
    """A blob that has no convolution on the SHAVEs."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    @classmethod
    def from_bytes(cls, content: bytes) -> NoStages:
        return cls(content)

    def all_stages(self) -> list[Any]:
        return []


class Executed:
    """Gives what it was made with, if it is given the image."""

    def __init__(self, found: Outputs | Exception) -> None:
        self._found = found

    def run(self, feed: Mapping[str, np.ndarray]) -> Outputs:
        assert feed is FEED
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Verify blobs of which only the outputs are given, by number of SHAVEs, or the error that executing them gives."""

    def judge(outputs: Mapping[int, Outputs | Exception], **options: Any) -> Any:
        monkeypatch.setattr(superblob, "Simulator", lambda blob: Executed(outputs[int(blob.content)]))
        monkeypatch.setattr(superblob, "Blob", NoStages)
        blobs = {shaves: str(shaves).encode() for shaves in outputs}
        return verify_shaves(blobs, FEED, **options)

    return judge


def outputs(first: float = 1.0, second: float = 2.0) -> Outputs:
    return {"semi": np.full((2, 2), first, np.float32), "desc": np.full((2, 2), second, np.float32)}


def test_equal_blobs_pass(judged: Callable[..., Any]) -> None:
    assert judged({4: outputs(), 8: outputs()}).verdict is Verdict.PASS


@pytest.mark.parametrize("first", [0.0, 1.0])
def test_an_output_of_zeros_hides_no_difference_in_another(judged: Callable[..., Any], first: float) -> None:
    assert judged({4: outputs(first), 8: outputs(first)}).verdict is Verdict.PASS
    assert judged({4: outputs(first, 2.1), 8: outputs(first)}).verdict is Verdict.FAIL
    assert judged({4: outputs(first + 1), 8: outputs(first)}).verdict is Verdict.FAIL


def test_a_blob_that_cannot_be_executed_is_nothing_compared(judged: Callable[..., Any]) -> None:
    report = judged({1: NotModelledError("stage type 107 is not modelled"), 4: outputs(), 8: outputs()})
    assert report.verdict is Verdict.NOTHING_COMPARED
    assert "stage type 107 is not modelled, in the blob for 1 shaves; 2 blobs bit for bit" in report.summary


def test_a_blob_that_differs_fails_beside_one_that_cannot_be_executed(judged: Callable[..., Any]) -> None:
    report = judged({1: NotModelledError("not modelled"), 4: outputs(1.5), 8: outputs()})
    assert report.verdict is Verdict.FAIL
    assert "4 shaves" in report.summary


@pytest.mark.parametrize("shaves", [4, 8])
def test_a_damaged_blob_fails(judged: Callable[..., Any], shaves: int) -> None:
    report = judged({4: outputs(), 8: outputs()} | {shaves: BlobError("truncated")})
    assert report.verdict is Verdict.FAIL
    assert f"{shaves} shaves: truncated" in report.summary


def test_values_that_are_not_finite_and_other_shapes_fail(judged: Callable[..., Any]) -> None:
    assert judged({4: outputs(float("nan")), 8: outputs()}).verdict is Verdict.FAIL
    assert judged({4: outputs() | {"semi": np.ones((2, 3), np.float32)}, 8: outputs()}).verdict is Verdict.FAIL


def test_outputs_are_compared_as_the_task_reads_them(judged: Callable[..., Any]) -> None:
    """Four values in each int32: the lowest one is off by one level of 255, and the largest number says nothing."""
    packed, other = ({"packed": np.full((1, 4), value, np.int32)} for value in (0x7F000001, 0x7F000002))
    assert judged({4: packed, 8: packed}, values=unpacked).verdict is Verdict.PASS
    assert judged({4: other, 8: packed}, values=unpacked).verdict is Verdict.FAIL


def unpacked(tensors: Outputs) -> Outputs:
    return {name: array.view(np.int8) for name, array in tensors.items()}
