"""Boxes: objects of known classes, by the heads of one-stage detectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.bundle.interface import Interface, TensorSpec
from oakpoint.bundle.records import DeviceRecord, TaskRecord
from oakpoint.errors import BackendError, UsageError
from oakpoint.geometry import PixelMap, centre_from_outer
from oakpoint.tasks.base import AS_THEY_ARE, Differences, Knob, Task, from_parameters
from oakpoint.tasks.boxes.agreement import CORNERS, SCORES, BoxesAgreement
from oakpoint.tasks.boxes.archive import yolo_head
from oakpoint.tasks.boxes.layouts.base import Candidates, Layout, Shape
from oakpoint.tasks.boxes.layouts.one_list import POSE_CHANNELS
from oakpoint.tasks.boxes.layouts.registry import LAYOUTS, layout_of, layouts_that_fit
from oakpoint.tasks.boxes.lost import boxes_lost
from oakpoint.tasks.boxes.overlap import pairs_of_boxes
from oakpoint.tasks.boxes.result import Boxes
from oakpoint.tasks.boxes.suppression import kept_boxes
from oakpoint.tasks.boxes.yolo_heads import YOLO, YoloHeads, yolo_form_of
from oakpoint.tasks.labels import require_one_each

if TYPE_CHECKING:
    from typing_extensions import Self

    from oakpoint.convert.rewrites.base import Rewrite

BEYOND = 0.02
"""A probability may lie outside [0, 1] by as much for rounding."""

SAME_IOU = 0.5
"""Boxes of two models that overlap by as much are shown as the same."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class BoxesTask(Task[Boxes]):
    """A detector of one of the layouts in ``layouts.registry``.

    Attributes:
        layout: how its outputs are laid out.
        classes: C.
        strides: of its maps, in pixels.
        size: (W, H) of the image that it was recognised for, in pixels.
        threshold: lowest score of a box.
        iou_threshold: of two boxes of one class that overlap by more than this, the better one stays.
        max_boxes: of an image; the best are told.
        labels: names of the classes; empty without any.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    name = "boxes"
    loses = "boxes lost"
    heads = (AS_THEY_ARE, YOLO)
    changeable = ("threshold", "iou_threshold", "max_boxes", "labels")

    layout: str
    classes: int
    strides: tuple[int, ...]
    size: tuple[int, int]
    threshold: float
    iou_threshold: float
    max_boxes: int
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        layout_of(self.layout)
        for name in ("threshold", "iou_threshold"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name}: expected a number from 0 to 1, got {getattr(self, name)}")
        if self.max_boxes < 1:
            raise UsageError(f"max_boxes: expected 1 or more, got {self.max_boxes}")
        require_one_each(self.labels, self.classes)

    @classmethod
    def recognised(cls, interface: Interface) -> Self | None:
        """See ``Task.recognised``: what may be laid out otherwise is left to ``--task boxes:LAYOUT``.

        So is ``yolov8`` with as many channels as a detector of bodies with 17 points has.
        """
        if not _has_one_image(interface):
            return None
        fitting = layouts_that_fit(interface.outputs, interface.image.size)
        certain = [name for name in fitting if LAYOUTS[name].certain]
        if len(certain) != 1 or POSE_CHANNELS in interface.outputs[0].shape:
            return None
        return cls._of(certain[0], fitting[certain[0]], interface)

    @classmethod
    def taken_as(cls, interface: Interface, form: str = "") -> Self | None:
        """See ``Task.taken_as``: the form is a layout's name."""
        if form:
            layout_of(form)
        if not _has_one_image(interface):
            return None
        fitting = layouts_that_fit(interface.outputs, interface.image.size)
        chosen = [form] if form else [n for n in fitting if LAYOUTS[n].certain] or list(fitting)
        if len(chosen) > 1:
            forms = " or ".join(f"boxes:{name}" for name in chosen)
            raise UsageError(f"task: these outputs look alike in several detectors; give --task {forms}")
        return cls._of(chosen[0], fitting[chosen[0]], interface) if chosen and chosen[0] in fitting else None

    @classmethod
    def _of(cls, layout: str, shape: Shape, interface: Interface) -> Self:
        threshold, iou_threshold, most = LAYOUTS[layout].preset
        return cls(
            layout=layout,
            classes=shape.classes,
            strides=shape.strides,
            size=interface.image.size,
            threshold=threshold,
            iou_threshold=iou_threshold,
            max_boxes=most,
        )

    @classmethod
    def from_record(cls, record: TaskRecord) -> Self:
        """See ``Task.from_record``."""
        return from_parameters(cls, record)

    def record(self) -> TaskRecord:
        """See ``Task.record``."""
        return TaskRecord(name=self.name, parameters=asdict(self))

    def knobs(self) -> tuple[Knob, ...]:
        """See ``Task.knobs``."""
        return (
            Knob(name="threshold", label="threshold", low=0, high=1, whole=False, value=self.threshold),
            Knob(name="iou_threshold", label="overlap (IoU)", low=0, high=1, whole=False, value=self.iou_threshold),
            Knob(name="max_boxes", label="most boxes", low=1, high=1000, whole=True, value=self.max_boxes),
        )

    def with_interface(self, interface: Interface, producers: Mapping[str, str]) -> Self:
        """See ``Task.with_interface``."""
        return replace(self.with_operators(producers), size=interface.image.size)

    @property
    def size_step_px(self) -> int:
        """See ``Task``: the coarsest grid."""
        return 32

    @property
    def shape(self) -> Shape:
        """Classes and strides."""
        return Shape(self.classes, self.strides)

    def read(self, tensors: Tensors) -> Boxes:
        """See ``Task.read``."""
        candidates = self.candidates(tensors)
        best = candidates.scores.argmax(axis=1)
        scores = np.take_along_axis(candidates.scores, best[:, np.newaxis], axis=1)[:, 0]
        passing = np.flatnonzero((scores >= self.threshold) & np.isfinite(candidates.corners).all(axis=1))
        corners, classes = candidates.corners[passing], best[passing].astype(np.int64)
        kept = kept_boxes(corners, scores[passing], classes, self.iou_threshold)[: self.max_boxes]
        return Boxes(_in_pixels(corners[kept]), scores[passing][kept], classes[kept], self.labels)

    def candidates(self, tensors: Tensors) -> Candidates:
        """All boxes of one image, of either heads.

        Raises:
            BackendError: outputs of another kind of network, or scores that are no probabilities.
        """
        form = yolo_form_of(tensors)
        if form is not None:
            found = form.candidates(tensors, self.shape)
        else:
            layout: Layout = layout_of(self.layout)
            found = layout.candidates(tensors, self.shape, self.size)
        low, high = np.nanmin(found.scores, initial=0.0), np.nanmax(found.scores, initial=0.0)
        if low < -BEYOND or high > 1 + BEYOND:
            raise BackendError(
                f"boxes: expected scores from 0 to 1, got {low:.3g} to {high:.3g}: the outputs are wrong, or "
                f"those of no detector laid out as {self.layout}; --task tensors takes them as they are"
            )
        return found

    def in_frame(self, result: Boxes, original_from_tensor: PixelMap, image_size: tuple[int, int]) -> Boxes:
        """See ``Task.in_frame``: cut at the image's edges; a box that lies beyond them altogether is left out."""
        corners = original_from_tensor(result.corners.reshape(-1, 2))
        corners = np.clip(corners, -0.5, np.array(image_size) - 0.5).reshape(-1, 4).astype(np.float32)
        seen = (corners[:, 2:] > corners[:, :2]).all(axis=1)
        return replace(result, corners=corners[seen], scores=result.scores[seen], classes=result.classes[seen])

    def differences(self, expected: Boxes, got: Boxes) -> Differences[Boxes]:
        """See ``Task.differences``: boxes of one class that overlap by half are one, the nearest first."""
        pairs = pairs_of_boxes(expected.corners, expected.classes, got.corners, got.classes, SAME_IOU)
        missing = np.setdiff1d(np.arange(len(expected)), [i for i, _, _ in pairs])
        extra = np.setdiff1d(np.arange(len(got)), [j for _, j, _ in pairs])
        return Differences(
            unit=self.name,
            common=len(pairs),
            missing=len(missing),
            extra=len(extra),
            missing_part=_chosen(expected, missing),
            extra_part=_chosen(got, extra),
        )

    def lost(self, expected: Sequence[Tensors], got: Sequence[Tensors]) -> float:
        """See ``Task.lost``: boxes of either that the other has not, see ``boxes.lost``."""
        return boxes_lost(self, expected, got)

    def comparison(self, stage: str, *, device: DeviceRecord | None = None, onnx: Path | None = None) -> BoxesAgreement:
        """See ``Task.comparison``."""
        del onnx
        raw = device is None or device.heads == AS_THEY_ARE
        form = partial(self._compared, raw=raw)
        return BoxesAgreement(stage, self.iou_threshold, self.threshold, (form, form))

    def _compared(self, tensors: Tensors, *, raw: bool) -> Tensors:
        """What is compared: boxes and scores by themselves, and the outputs as they are where both models have them.

        In one tensor coordinates of hundreds would hide the scores.
        """
        candidates = self.candidates(tensors)
        parts = {CORNERS: candidates.corners.T[np.newaxis], SCORES: candidates.scores.T[np.newaxis]}
        return {**tensors, **parts} if raw else parts

    def device_rewrites(self, device: DeviceRecord, interface: Interface) -> Sequence[Rewrite]:
        """See ``Task.device_rewrites``."""
        super(BoxesTask, self).device_rewrites(device, interface)
        if device.heads != YOLO:
            return ()
        return (YoloHeads(self.layout, interface.outputs, self.shape, interface.image.size),)

    def archive_heads(self, outputs: Sequence[TensorSpec], device: DeviceRecord) -> list[dict[str, Any]]:
        """See ``Task.archive_heads``: a ``YOLO`` head for heads that DepthAI decodes; nothing for others."""
        if device.heads != YOLO:
            return []
        head = yolo_head(
            self.name,
            self.layout,
            outputs,
            strides=self.strides,
            classes=self.labels or [str(index) for index in range(self.classes)],
            iou_threshold=self.iou_threshold,
            threshold=self.threshold,
            max_boxes=self.max_boxes,
        )
        return [head]


def _in_pixels(outer: np.ndarray[Any, np.dtype[np.float32]]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Corners (N, 4) counted from the image's corner, as of a pixel frame."""
    return centre_from_outer(outer.reshape(-1, 2)).reshape(-1, 4)


def _chosen(boxes: Boxes, rows: NDArray[np.intp]) -> Boxes:
    return replace(boxes, corners=boxes.corners[rows], scores=boxes.scores[rows], classes=boxes.classes[rows])


def _has_one_image(interface: Interface) -> bool:
    return len([given for given in interface.inputs if given.preprocess is not None]) == 1 and bool(interface.outputs)
