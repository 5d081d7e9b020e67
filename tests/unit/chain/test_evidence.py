"""What is kept of a comparison to be looked at is of the first image, in its pixels, and costs no run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from oakpoint.backends.base import Backend, Tensors
from oakpoint.backends.registry import ModelSource, RuntimeOptions, open_backend
from oakpoint.bundle.folder import open_bundle
from oakpoint.bundle.interface import TensorSpec
from oakpoint.bundle.records import Verdict
from oakpoint.chain.evidence import Evidence, StageWitness
from oakpoint.chain.verification import verify_bundle
from oakpoint.features.types import Features
from oakpoint.report.parts.blocks import Overlay
from oakpoint.report.sections.seen import seen_section
from oakpoint.tasks.registry import task_of_bundle
from oakpoint.verify.stages import verify_stage
from oakpoint.verify.tolerances import INT8_STAGE, IR_STAGE, ONNX_STAGE

Images = dict[str, NDArray[np.uint8]]


@pytest.fixture
def two(photographs: Images) -> Images:
    return {name: photographs[name] for name in ("camera", "coffee")}


def test_a_bundle_gives_what_each_form_found_in_the_first_image(small_bundle: Path, two: Images) -> None:
    evidence = Evidence()
    with_it = verify_bundle(open_bundle(small_bundle), two, None, evidence)
    assert with_it == verify_bundle(open_bundle(small_bundle), two, None)
    assert evidence.name == "camera"
    assert evidence.picture is two["camera"]
    assert list(evidence.sights) == [ONNX_STAGE, IR_STAGE]
    height, width = two["camera"].shape
    for stage, sight in evidence.sights.items():
        for found in (sight.expected, sight.got):
            assert isinstance(found, Features)
            assert found.image_size == (width, height)
            assert found.keypoints[:, 0].max() > width / 2  # in pixels of the picture, not of the tensor
        assert sight.differences is not None
        assert sight.differences.common + sight.differences.missing == len(sight.expected)  # type: ignore[arg-type]
        assert len(evidence.distributions[stage]["descriptor cosine"]) > 100
        assert "a fault is of order 1" in evidence.reasons[stage].values()


class Fixed(Backend):
    """Gives the same tensors whatever comes in, and counts."""

    def __init__(self, tensors: Tensors) -> None:
        self.description, self.outputs = "fixed", ()
        self.inputs = (TensorSpec("input", "float32", (1,)),)
        self.tensors, self.runs = tensors, 0

    def close(self) -> None: ...

    def _run(self, tensors: Tensors) -> Tensors:
        self.runs += 1
        return self.tensors


@pytest.fixture
def judged(small_bundle: Path, two: Images) -> Callable[[Tensors, Tensors], tuple[Any, Evidence, int]]:
    """Compares tensors as the outputs of two models of the small network; how often one was run."""
    manifest = open_bundle(small_bundle).manifest
    task = task_of_bundle(open_bundle(small_bundle))

    def judge(expected: Tensors, got: Tensors) -> tuple[Any, Evidence, int]:
        evidence, sides = Evidence(), (Fixed(expected), Fixed(got))
        report = verify_stage(
            IR_STAGE,
            lambda: sides[0],
            lambda: sides[1],
            task.comparison(IR_STAGE),
            images=two,
            feed=lambda image: {"input": np.zeros(1, np.float32)},
            witness=StageWitness(IR_STAGE, evidence, manifest.interface, task),
        )
        return report, evidence, sides[0].runs

    return judge


def outputs(small_bundle: Path, *, lifted: tuple[int, int] | None = None) -> Tensors:
    """Outputs with two keypoints; a third one at a cell that is ``lifted``."""
    width, height = open_bundle(small_bundle).manifest.preprocess.size
    semi = np.zeros((1, 65, height // 8, width // 8), np.float32)
    semi[:, 64] = 9
    for row, column in [(3, 4), (7, 9), *([] if lifted is None else [lifted])]:
        semi[0, 20, row, column] = 14
    desc = np.random.default_rng(0).normal(size=(1, 256, height // 8, width // 8)).astype(np.float32)
    return {"semi": semi, "desc": desc}


def test_what_is_extra_and_missing_is_kept_where_it_is(
    judged: Callable[[Tensors, Tensors], tuple[Any, Evidence, int]], small_bundle: Path, two: Images
) -> None:
    report, evidence, runs = judged(outputs(small_bundle), outputs(small_bundle, lifted=(10, 12)))
    assert report.verdict is Verdict.FAIL
    assert runs == 2 * len(two)  # an image and its second view, as without a witness
    differences = evidence.sights[IR_STAGE].differences
    assert differences is not None
    assert (differences.common, differences.missing, differences.extra) == (2, 0, 1)
    height, width = two["camera"].shape
    x, y = differences.extra_part.keypoints[0]
    size = open_bundle(small_bundle).manifest.preprocess.size
    assert x == pytest.approx((12 * 8 + 4.5) * width / size[0], abs=0.6 * width / size[0])
    assert y == pytest.approx((10 * 8 + 2.5) * height / size[1], abs=0.6 * height / size[1])


def test_a_model_that_gives_something_else_leaves_nothing(
    judged: Callable[[Tensors, Tensors], tuple[Any, Evidence, int]], small_bundle: Path
) -> None:
    report, evidence, _ = judged(outputs(small_bundle), {"other": np.zeros(3, np.float32)})
    assert report.verdict is Verdict.FAIL
    assert evidence.sights == {}


def test_what_was_seen_in_another_picture_is_not_laid_over_the_first(small_bundle: Path, photographs: Images) -> None:
    """INT8 is judged on images that did not calibrate it, so that its first one is another."""
    bundle = open_bundle(small_bundle)
    manifest, task, evidence = bundle.manifest, task_of_bundle(bundle), Evidence()
    images = {name: photographs[name] for name in ("camera", "coffee")}
    assert manifest.interface.size is not None
    stages = ((ONNX_STAGE, "camera"), (IR_STAGE, "camera"), (INT8_STAGE, "coffee"))
    with open_backend(
        ModelSource(onnx=bundle.path("onnx")),
        RuntimeOptions(backend="onnxruntime"),
        manifest.interface.at(manifest.interface.size).tensors,
    ) as backend:
        for stage, name in stages:
            tensors = backend.run(manifest.interface.feed_apart(images[name]))
            StageWitness(stage, evidence, manifest.interface, task).saw(name, images[name], tensors, tensors)
    assert (evidence.name, list(evidence.sights)) == ("camera", [ONNX_STAGE, IR_STAGE])
    assert evidence.apart is not None
    assert evidence.apart.picture is images["coffee"]
    assert (evidence.apart.name, list(evidence.apart.sights), evidence.apart.apart) == ("coffee", [INT8_STAGE], None)
    blocks = seen_section(evidence, takes_image=True).blocks
    pictures = [block for block in blocks if isinstance(block, Overlay)]
    assert [picture.label.split(" with ")[0] for picture in pictures] == [
        "The photograph camera", "The photograph coffee",
    ]  # fmt: skip
    assert [[layer.name for layer in picture.layers] for picture in pictures] == [
        ["PyTorch", "ONNX", "IR"], ["ONNX", "INT8 IR"],
    ]  # fmt: skip
