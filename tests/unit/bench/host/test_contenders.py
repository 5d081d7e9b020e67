from __future__ import annotations

import pytest

from oakpoint.bench.host.contenders import BACKENDS, PRECISIONS, TUTORIAL, WAYS, contenders
from oakpoint.errors import UsageError


def names(*arguments: object, tutorial: bool = False) -> list[str]:
    return [found.label for found in contenders(*arguments, tutorial=tutorial)]  # type: ignore[arg-type]


def test_no_two_ways_have_one_name() -> None:
    assert len({way.name for way in WAYS}) == len(WAYS)


def test_each_number_of_threads_has_all_ways_in_the_tables_order() -> None:
    found = contenders(BACKENDS, PRECISIONS, (4, 1, 4), tutorial=True)
    assert [c.threads for c in found] == [1] * len(WAYS) + [4] * len(WAYS)
    assert [c.way for c in found] == [*WAYS, *WAYS]


def test_runtimes_take_part_with_the_precisions_that_they_have() -> None:
    assert names(("torch", "openvino"), ("f32", "bf16"), (2,)) == [
        "torch f32, 2 threads", "openvino f32, 2 threads", "openvino f32 numpy, 2 threads",
        "openvino f32 graph, 2 threads", "openvino bf16, 2 threads",
    ]  # fmt: skip


def test_the_tutorial_takes_part_whatever_else_does() -> None:
    assert names(("openvino",), ("bf16",), (1,), tutorial=True) == [f"{TUTORIAL}, 1 thread", "openvino bf16, 1 thread"]


@pytest.mark.parametrize(
    ("backends", "precisions", "message"),
    [
        (("tensorrt",), ("f32",), "--backends: expected some of openvino,torch,onnxruntime, got 'tensorrt'"),
        (("torch",), ("int4",), "--precisions: expected some of f32,bf16,f16,int8, got 'int4'"),
        (("torch", "onnxruntime"), ("bf16",), "--precisions: torch, onnxruntime runs at f32, not at bf16"),
    ],
)
def test_others_are_refused(backends: tuple[str, ...], precisions: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        contenders(backends, precisions, (1,), tutorial=True)
