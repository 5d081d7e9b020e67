"""What layers compute, counted."""

from __future__ import annotations

from onnx import helper

from oakpoint.convert.split.work import work_of


def test_convolutions_products_and_recurrent_layers() -> None:
    def counted(operator: str, given: dict[str, tuple[int, ...]], made: tuple[int, ...], **attributes: int) -> int:
        node = helper.make_node(operator, [*given], ["y"], **attributes)
        return work_of(node, {**given, "y": made})

    assert counted("Conv", {"x": (1, 3, 8, 8), "w": (16, 3, 3, 3)}, (1, 16, 8, 8)) == 16 * 64 * 27
    assert counted("ConvTranspose", {"x": (1, 8, 4, 4), "w": (8, 2, 2, 2)}, (1, 2, 8, 8)) == 8 * 16 * 8
    assert counted("MatMul", {"x": (2, 5, 7), "w": (7, 3)}, (2, 5, 3)) == 30 * 7
    assert counted("Gemm", {"x": (7, 5), "w": (7, 3)}, (5, 3), transA=1) == 15 * 7
    assert counted("LSTM", {"x": (9, 1, 4), "w": (1, 8, 4), "r": (1, 8, 2)}, (9, 1, 1, 2)) == 9 * (32 + 16)


def test_other_layers_do_one_thing_for_each_element() -> None:
    node = helper.make_node("Resize", ["x", "", "s"], ["y"])
    assert work_of(node, {"x": (1, 2, 4, 4), "s": (4,), "y": (1, 2, 8, 8)}) == 128
    assert work_of(helper.make_node("ReduceMax", ["x"], ["y"]), {"x": (1, 2, 4, 4), "y": ()}) == 32
    assert work_of(helper.make_node("NonZero", ["x"], ["y"]), {"x": None, "y": None}) == 0
