"""What an NN archive says of a detector whose maps DepthAI decodes by itself.

Source: ``HeadYOLOMetadata`` of luxonis-ml (``nn_archive/config_building_blocks``), and what
``dai.node.DetectionParser.setNNArchive`` reads of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from oakpoint.bundle.interface import TensorSpec
from oakpoint.tasks.boxes.layouts.maps import ANCHORS
from oakpoint.tasks.boxes.yolo_heads import Anchored, yolo_form_for

if TYPE_CHECKING:
    from oakpoint.tasks.boxes.task import BoxesTask


def yolo_head(task: BoxesTask, outputs: Sequence[TensorSpec]) -> dict[str, Any]:
    """The head of an archive.

    Args:
        task: the detector.
        outputs: of the device graph, with heads ``yolo``.
    """
    form = yolo_form_for(task.layout)
    assert form is not None, "such heads were made"
    metadata: dict[str, Any] = {
        "subtype": form.subtype,
        "yolo_outputs": list(form.names),
        "classes": list(task.labels) or [str(index) for index in range(task.classes)],
        "n_classes": task.classes,
        "iou_threshold": task.iou_threshold,
        "conf_threshold": task.threshold,
        "max_det": task.max_boxes,
    }
    if isinstance(form, Anchored):
        metadata["anchors"] = [[list(map(float, anchor)) for anchor in ANCHORS[stride]] for stride in task.strides]
    return {
        "name": task.name,
        "parser": "YOLO",
        "outputs": [tensor.name for tensor in outputs],
        "metadata": metadata,
    }
