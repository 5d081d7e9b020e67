"""What an NN archive says of a detector whose maps DepthAI decodes by itself.

Source: ``HeadYOLOMetadata`` of luxonis-ml (``nn_archive/config_building_blocks``), and what
``dai.node.DetectionParser.setNNArchive`` reads of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from oakpoint.bundle.interface import TensorSpec
from oakpoint.tasks.boxes.layouts.maps import ANCHORS
from oakpoint.tasks.boxes.yolo_heads import Anchored, yolo_form_for


def yolo_head(
    name: str,
    layout: str,
    outputs: Sequence[TensorSpec],
    *,
    strides: Sequence[int],
    classes: Sequence[str],
    iou_threshold: float,
    threshold: float,
    max_boxes: int,
) -> dict[str, Any]:
    """The head of an archive.

    Args:
        name: of the head.
        layout: of the detector's own outputs.
        outputs: of the device graph, with heads ``yolo``.
        strides: of its maps, in pixels.
        classes: their names, or their numbers.
        iou_threshold: of two boxes that overlap by more the better one stays.
        threshold: lowest score.
        max_boxes: of one image.
    """
    form = yolo_form_for(layout)
    assert form is not None, "such heads were made"
    metadata: dict[str, Any] = {
        "subtype": form.subtype,
        "yolo_outputs": list(form.names),
        "classes": list(classes),
        "n_classes": len(classes),
        "iou_threshold": iou_threshold,
        "conf_threshold": threshold,
        "max_det": max_boxes,
    }
    if isinstance(form, Anchored):
        metadata["anchors"] = [[list(map(float, anchor)) for anchor in ANCHORS[stride]] for stride in strides]
    return {"name": name, "parser": "YOLO", "outputs": [tensor.name for tensor in outputs], "metadata": metadata}
