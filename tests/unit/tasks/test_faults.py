"""Every fault that verification is there for, in a detector and a U-Net: caught by the comparison alone.

The reference runs in ONNX Runtime, the broken model in torch, and the limits are those of the executed blob, which are
the widest. Constants are compared elsewhere and would tell some of these faults as well; here they are said to agree.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import task_networks
import torch
from numpy.typing import NDArray
from torch import nn

from oakpoint.backends.base import Backend, Tensors
from oakpoint.backends.registry import ModelSource, RuntimeOptions, open_backend
from oakpoint.bundle.interface import Interface, TensorSpec, image_interface
from oakpoint.bundle.records import StageReport, Verdict
from oakpoint.convert.onnx_intake import host_tensors
from oakpoint.images.preprocess import Preprocess
from oakpoint.tasks.base import Task
from oakpoint.tasks.registry import recognised_task
from oakpoint.verify.stages import verify_stage
from oakpoint.verify.tolerances import BLOB_STAGE

SIZE = task_networks.SIZE
MEAN, SCALE = (123.675, 116.28, 103.53), (1 / 58.395, 1 / 57.12, 1 / 57.375)

Feed = Callable[[NDArray[np.uint8]], Tensors]


class TorchModel(Backend):
    """A module, whatever it gives."""

    def __init__(self, module: nn.Module, outputs: tuple[TensorSpec, ...]) -> None:
        self.description = "broken"
        self.inputs, self.outputs = (), outputs
        self._module = module

    def run(self, tensors: Mapping[str, Any]) -> Tensors:
        return self._run(dict(tensors))

    def _run(self, tensors: Mapping[str, NDArray[Any]]) -> Tensors:
        with torch.no_grad():
            found = self._module(torch.from_numpy(next(iter(tensors.values()))))
        arrays = found if isinstance(found, tuple) else (found,)
        return {spec.name: array.numpy() for spec, array in zip(self.outputs, arrays, strict=True)}


class Subject:
    """A network, its ONNX, what it takes and its task."""

    def __init__(self, name: str, onnx: Path, preprocess: Preprocess, task: str | None = None) -> None:
        self.onnx = onnx
        self.module: nn.Module = getattr(task_networks, name)()
        taken = image_interface("image", preprocess)
        self.interface: Interface = replace(taken, outputs=host_tensors(onnx)[1])
        self.task: Task[Any] = recognised_task(self.interface, task)

    def verdict(
        self, images: Mapping[str, NDArray[np.uint8]], module: nn.Module, feed: Feed | None = None
    ) -> StageReport:
        inputs = self.interface.at(self.interface.image.size).tensors
        return verify_stage(
            BLOB_STAGE,
            lambda: open_backend(ModelSource(onnx=self.onnx), RuntimeOptions(backend="onnxruntime"), inputs),
            lambda: TorchModel(module, self.interface.outputs),
            self.task.comparison(BLOB_STAGE),
            images=images,
            feed=self.interface.feed,
            candidate_feed=feed,
            further={"constants as in the device graph": lambda: 1.0},
        )


NORMALISED = Preprocess(
    size=SIZE, resize="letterbox", interpolation="linear", colour="rgb", mean=MEAN, scale=SCALE, padding_value=114
)
NETWORKS = ("ChannelsFirstDetector", "AnchoredDetector", "AnchoredListDetector", "SmallUNet", "SmallClassifier")


@pytest.fixture(scope="module", params=NETWORKS)
def subject(request: pytest.FixtureRequest, task_onnx: Callable[[str], Path]) -> Subject:
    return Subject(request.param, task_onnx(request.param), replace(NORMALISED, mean=0.0, scale=1 / 255))


@pytest.fixture(scope="module")
def images(photographs: dict[str, NDArray[np.uint8]]) -> dict[str, NDArray[np.uint8]]:
    return {name: photographs[name] for name in ("astronaut", "coffee")}


def rounded(module: nn.Module) -> nn.Module:
    """With weights rounded to FP16, as a device has them."""
    other = copy.deepcopy(module)
    for parameter in other.parameters():
        parameter.data = parameter.data.half().float()
    return other


def failed(report: StageReport) -> bool:
    return report.verdict is Verdict.FAIL


def test_a_healthy_model_passes(subject: Subject, images: dict[str, NDArray[np.uint8]]) -> None:
    for module in (subject.module, rounded(subject.module)):
        report = subject.verdict(images, module)
        assert report.verdict is Verdict.PASS, report.summary


def test_a_missing_scale(subject: Subject, images: dict[str, NDArray[np.uint8]]) -> None:
    unscaled = subject.interface.with_preprocess(replace(subject.interface.image, scale=1.0))
    assert failed(subject.verdict(images, subject.module, unscaled.feed))


def test_swapped_colours(subject: Subject, images: dict[str, NDArray[np.uint8]]) -> None:
    swapped = subject.interface.with_preprocess(replace(subject.interface.image, colour="bgr"))
    assert failed(subject.verdict(images, subject.module, swapped.feed))


def test_channels_last_for_channels_first(subject: Subject, images: dict[str, NDArray[np.uint8]]) -> None:
    def feed(image: NDArray[np.uint8]) -> Tensors:
        ((name, tensor),) = subject.interface.feed(image).items()
        return {name: np.ascontiguousarray(tensor.transpose(0, 2, 3, 1)).reshape(tensor.shape)}

    assert failed(subject.verdict(images, subject.module, feed))


class Swapped(nn.Module):
    """Two classes, or two outputs of one shape, in each other's place."""

    def __init__(self, inner: nn.Module, name: str) -> None:
        super().__init__()
        self.inner, self.name = inner, name

    def forward(self, image: torch.Tensor) -> Any:
        found = self.inner(image)
        if self.name == "ChannelsFirstDetector":
            return found[:, [0, 1, 2, 3, 5, 4, 6, 7]]
        if self.name == "AnchoredListDetector":
            return found[..., [0, 1, 2, 3, 4, 6, 5, 7, 8]]
        if self.name == "AnchoredDetector":
            return (found[0][:, [*range(9, 18), *range(9), *range(18, 27)]], *found[1:])  # two anchors
        return found[:, [1, 0, *range(2, found.shape[1])]]


def test_swapped_outputs(subject: Subject, images: dict[str, NDArray[np.uint8]]) -> None:
    assert failed(subject.verdict(images, Swapped(subject.module, type(subject.module).__name__)))


def test_outputs_in_another_order(task_onnx: Callable[[str], Path], images: dict[str, NDArray[np.uint8]]) -> None:
    subject = Subject("AnchoredDetector", task_onnx("AnchoredDetector"), replace(NORMALISED, mean=0.0, scale=1 / 255))

    class Turned(nn.Module):
        def forward(self, image: torch.Tensor) -> Any:
            return subject.module(image)[::-1]

    assert failed(subject.verdict(images, Turned()))


@pytest.mark.parametrize(("which", "bit"), [(-1, 14), (0, 10)], ids=["last layer", "first layer"])
def test_a_flipped_bit_of_a_weight(
    subject: Subject, images: dict[str, NDArray[np.uint8]], which: int, bit: int
) -> None:
    """Of a layer's largest weight, as FP16 has it: the largest bit of its exponent at the end, the smallest before."""
    broken = rounded(subject.module)
    weights = [m.weight for m in broken.modules() if isinstance(m, (nn.Conv2d, nn.Linear))][which].data
    largest = int(weights.abs().argmax())
    value = weights.view(-1)[largest].half().numpy().reshape(1).view(np.uint16) ^ (1 << bit)
    weights.view(-1)[largest] = float(value.view(np.float16)[0])
    assert failed(subject.verdict(images, broken))


def with_mean_in_bias(module: nn.Module) -> nn.Module:
    """The mean subtracted by the first convolution's bias: it darkens what is padded with zeros afterwards."""
    broken = copy.deepcopy(module)
    parent, key = next(
        (m, k)
        for m in broken.modules()
        for k, child in m.named_children()
        if isinstance(child, nn.Conv2d) and child.in_channels == 3
    )
    first: nn.Conv2d = getattr(parent, key)
    offset = torch.tensor(MEAN) * torch.tensor(SCALE)
    folded = nn.Conv2d(3, first.out_channels, first.kernel_size, first.stride, first.padding)
    folded.weight, folded.bias = first.weight, nn.Parameter(-(first.weight * offset[:, None, None]).sum((1, 2, 3)))
    setattr(parent, key, folded)
    return broken


@pytest.mark.parametrize("name", ["ChannelsFirstDetector", "AnchoredDetector", "SmallUNet"])
def test_a_mean_folded_over_a_padded_border(
    task_onnx: Callable[[str], Path], images: dict[str, NDArray[np.uint8]], name: str
) -> None:
    subject = Subject(name, task_onnx(name), NORMALISED)
    unsubtracted = subject.interface.with_preprocess(replace(NORMALISED, mean=0.0))
    report = subject.verdict(images, with_mean_in_bias(subject.module), unsubtracted.feed)
    assert failed(report), report.summary


def test_a_mean_folded_over_the_border_of_a_large_map(tmp_path: Path, images: dict[str, NDArray[np.uint8]]) -> None:
    """The larger an image, the less its border counts in the mean of all errors."""
    size = (640, 480)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = torch.zeros(1, 3, *reversed(size))
        network = task_networks.SmallUNet()
        path = tmp_path / "large.onnx"
        torch.onnx.export(network, (image,), path, dynamo=False, opset_version=17, input_names=["image"])
    large = replace(NORMALISED, size=size)
    subject = Subject("SmallUNet", path, large)
    unsubtracted = subject.interface.with_preprocess(replace(large, mean=0.0))
    one = {"coffee": images["coffee"]}
    assert subject.verdict(one, rounded(subject.module)).verdict is Verdict.PASS
    report = subject.verdict(one, with_mean_in_bias(rounded(subject.module)), unsubtracted.feed)
    assert failed(report), report.summary
    (stands_out,) = (check for check in report.checks if check.name.startswith("largest error"))
    assert not stands_out.passed, "a larger image yet, and the mean of all errors hides it"


def test_a_value_that_is_none(subject: Subject, images: dict[str, NDArray[np.uint8]]) -> None:
    class Bad(nn.Module):
        def forward(self, image: torch.Tensor) -> Any:
            found = subject.module(image)
            first = (found[0] if isinstance(found, tuple) else found).clone()
            first.view(-1)[0] = torch.nan
            return (first, *found[1:]) if isinstance(found, tuple) else first

    report = subject.verdict(images, Bad())
    assert failed(report)
    assert "not finite" in report.summary


def test_scores_alone_gone_wrong(task_onnx: Callable[[str], Path], images: dict[str, NDArray[np.uint8]]) -> None:
    """In one tensor with coordinates of hundreds, a tenth of every score would be rounding."""
    subject = Subject(
        "ChannelsFirstDetector", task_onnx("ChannelsFirstDetector"), replace(NORMALISED, mean=0.0, scale=1 / 255)
    )

    class Lessened(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            found = subject.module(image).clone()
            found[:, 4:] *= 0.9
            return found

    report = subject.verdict(images, Lessened())
    assert failed(report)
    (raw,) = (check for check in report.checks if check.name == "root mean square error of out0, relative")
    assert raw.passed, "the tensor as a whole hides it"
