"""Sixty cases of ONNX's own operator suite, each compiled, executed, and held against how it is known to end.

All of the suite is ``benchmarks/onnx_suite.py``, which takes a quarter of an hour. Here is at least one case of every
rewrite that its cases reach, those that once compiled to something else (``ONCE_WRONG``), those that the simulator once
read wrongly (``ONCE_MISREAD``), and refusals of each kind.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from oakpoint.convert.device_graph import DeviceInput, device_rewrites
from oakpoint.convert.rewrites.operators.average_pool import AveragePoolBorder
from oakpoint.convert.rewrites.operators.max_pool import MaxPoolWindows

AT_ONCE = 3
"""Compilers side by side: each waits some seconds while it looks for devices."""

ONCE_WRONG = {
    "averagepool_2d_pads": "average-pool-border",
    "averagepool_2d_precomputed_pads": "average-pool-border",
    "averagepool_2d_same_lower": "average-pool-border",
    "convtranspose_autopad_same": "transposed-convolution",
    "convtranspose_dilations": "transposed-convolution",
    "logsoftmax_axis_0": "log-softmax-axis",
    "logsoftmax_axis_1": "log-softmax-axis",
    "maxpool_2d_dilations": "max-pool-windows",
    "prelu_broadcast": "prelu-slopes",
    "prelu_example": "prelu-slopes",
    "resize_downsample_scales_linear": "resize-modes",
    "softmax_axis_0": "",
    "softmax_axis_1": "",
}
ONCE_MISREAD = {
    "gather_elements_negative_indices": "element-indices",
    "gather_negative_indices": "element-indices",
    "gathernd_example_float32": "",
    "onehot_with_axis": "one-hot",
    "scatter_elements_with_negative_indices": "element-indices",
    "slice_neg_steps": "",
}
RIGHT = ONCE_WRONG | ONCE_MISREAD | {
    "acosh_example": "hyperbolic",
    "attention_3d_attn_mask": "fp16-range",
    "attention_4d": "no-effect",
    "averagepool_2d_ceil": "average-pool-border",
    "batchnorm_epsilon": "batch-norms",
    "celu": "functions",
    "center_crop_pad_pad": "pad-forms",
    "clip_default_inbounds": "spare-inputs",
    "clip_min_greater_than_max": "clip-bounds",
    "constant_pad_axes": "later-forms",
    "convtranspose_1d": "transposed-convolution",
    "conv_with_strides_padding": "device-opset",
    "depthtospace_crd_mode_example": "device-opset",
    "dropout_default": "initialisers",
    "gelu_tanh_1": "functions",
    "group_normalization_epsilon": "variance",
    "hardmax_axis_1": "hardmax",
    "hardswish": "hard-sigmoid",
    "instancenorm_epsilon": "instance-norm",
    "l2normalization_axis_1": "lp-normalization",
    "layer_normalization_4d_axis1": "functions",
    "lppool_2d_pads": "lp-pool",
    "lstm_batchwise": "batch-first recurrent",
    "matmul_3d": "",
    "mvn": "epsilons squares",
    "attention_4d_attn_mask": "row-reductions",
    "split_equal_parts_2d_opset13": "named-outputs",
    "nllloss_NCd1": "scalars",
    "reduce_l1_keep_dims_random": "absolute",
    "reduce_l2_keep_dims_random": "reduce-l2",
    "reduce_prod_keepdims_random": "reduce-prod",
    "reduce_sum_square_keepdims_random": "reduction-axes",
    "resize_upsample_scales_cubic": "linear-layers",
    "rotary_embedding": "empty-tensors",
    "selu": "selu",
    "sign": "sign",
    "split_2d_uneven_split_opset18": "later-forms",
    "upsample_nearest": "earlier-opset",
}  # fmt: skip
"""Cases that come out right, each with the rewrites that it stands for, apart by spaces."""

REFUSED = {
    "averagepool_2d_dilations": "AveragePool",
    "compress_0": "Compress",
    "convtranspose_3d": "ConvTranspose",
    "cos": "Cos",
    "gridsample": "GridSample",
    "lstm_with_peepholes": "LSTM",
    "maxunpool_export_without_output_shape": "MaxUnpool",
    "reduce_max_empty_set": "ReduceMax",
    "resize_downsample_scales_linear_align_corners": "Resize",
    "roialign_mode_max": "RoiAlign",
    "scan_sum": "Scan",
    "scatternd": "ScatterND",
    "training_dropout": "Dropout",
}
"""Cases with findings, each with the operator that they name."""

BEYOND_THE_SUITE = {
    "broadcast-ranks",
    "channel-reductions",
    "cum-sum",
    "fixed-shapes",
    "float32",
    "folded-constants",
    "inlined-functions",
    "input-normalisation",
    "log-sum-exp",
    "softmax-axis",
    "truth-values",
    "volume-bias",
    "whole-number-inputs",
}
"""Rewrites that no case of the suite comes to in float32 and with sizes fixed; they have tests of their own."""


@pytest.fixture(scope="module")
def cases(suite: ModuleType) -> dict[str, Any]:
    return {case.name: case for case in suite.cases() if case.name in {**RIGHT, **REFUSED}}


def test_every_rewrite_is_in_the_sample() -> None:
    """A new rewrite belongs into one of these lists."""
    image = DeviceInput(name="image", shape=(1, 3, 4, 4), scale=1.0)
    names = {rewrite.name for rewrite in device_rewrites([image], ())} - {"fp16"}
    kept = {name for names in RIGHT.values() for name in names.split()}
    assert names - kept - BEYOND_THE_SUITE - {"known-operators"} == set()
    assert (kept | BEYOND_THE_SUITE) - names == set(), "no such rewrite any more"
    assert not kept & BEYOND_THE_SUITE
    assert len({**RIGHT, **REFUSED}) == len(RIGHT) + len(REFUSED) >= 60


@pytest.mark.slow
@pytest.mark.compiler
def test_each_case_ends_as_it_is_known_to(suite: ModuleType, cases: dict[str, Any], tmp_path: Path) -> None:
    compilations = suite.Compilations(tmp_path)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        verdicts = list(pool.map(lambda case: suite.judge(case, compilations), cases.values()))
    assert {verdict.case for verdict in verdicts} == {*RIGHT, *REFUSED}
    found = {verdict.case: (verdict.end.name, verdict.reason) for verdict in verdicts}
    wrong = {name: found[name] for name in RIGHT if found[name][0] != "RIGHT"}
    wrong |= {
        name: found[name]
        for name, operator in REFUSED.items()
        if found[name][0] != "REFUSED" or f"({operator})" not in found[name][1]
    }
    assert wrong == {}
    rewritten = {verdict.case: verdict.journal for verdict in verdicts}
    without = {
        name: rewritten[name] for name, rewrites in RIGHT.items() if not {*rewrites.split()} <= {*rewritten[name]}
    }
    assert without == {}, "right without a rewrite that it stands for"


@pytest.mark.slow
@pytest.mark.compiler
@pytest.mark.parametrize(
    ("name", "rewrite"), [("averagepool_2d_pads", AveragePoolBorder), ("maxpool_2d_dilations", MaxPoolWindows)]
)
def test_without_its_rewrite_a_case_is_silently_wrong(
    suite: ModuleType, cases: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, rewrite: type
) -> None:
    """The sample tells: it compiles, and to something else."""
    monkeypatch.setattr(rewrite, "apply", lambda self, model: ())
    assert suite.judge(cases[name], suite.Compilations(tmp_path)).end is suite.End.WRONG
