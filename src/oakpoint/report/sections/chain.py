"""The chain of a bundle as a diagram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from oakpoint.bundle.manifest import Manifest
from oakpoint.bundle.records import ArtifactKind, StageReport
from oakpoint.report.parts.diagram import Diagram, Node
from oakpoint.report.sections.stages import TONES, WORDS
from oakpoint.verify.superblob import SUPERBLOB_STAGE
from oakpoint.verify.tolerances import (
    BLOB_STAGE,
    DEVICE_STAGE,
    FUSED_STAGE,
    INT8_STAGE,
    IR_STAGE,
    ONNX_ARCHIVE_STAGE,
    ONNX_STAGE,
)

_ARTIFACTS: tuple[tuple[ArtifactKind, str, str, str, str], ...] = (
    ("blob", "blob", "for the Myriad X", "device", BLOB_STAGE),
    ("archive", "NN archive", "for DepthAI", "blob", ""),
    ("superblob", "superblob", "1 to 16 SHAVEs", "blob", SUPERBLOB_STAGE),
    ("host_tail", "host tail", "the rest of it", "onnx", ""),
    ("ir", "OpenVINO IR", "for the host", "onnx", IR_STAGE),
    ("fused", "decoding graph", "keypoints out", "onnx", FUSED_STAGE),
    ("ir_int8", "INT8 IR", "for Intel's", "onnx", INT8_STAGE),
    ("onnx_archive", "ONNX archive", "to be compiled", "onnx", ONNX_ARCHIVE_STAGE),
)
"""Kind, name, note, what it is made of, and the stage that judges it."""


def chain_diagram(manifest: Manifest, reports: Sequence[StageReport]) -> Diagram:
    """The diagram: what was made of what, and the verdict on each arrow.

    Args:
        manifest: of the bundle.
        reports: the verdicts.
    """
    judged = {report.stage: report for report in reports}
    nodes = [*_beginning(manifest, judged), *_device(manifest, judged)]
    for kind, name, note, parent, stage in _ARTIFACTS:
        absent = not manifest.has(kind)
        if absent and kind not in manifest.not_made and stage not in judged:
            continue
        parent = parent if any(node.key == parent for node in nodes) else "onnx"
        note = "not made" if absent else note
        verdict = _verdict(judged, stage) or _broken(manifest, kind, nodes, parent)
        nodes.append(Node(key=kind, name=name, note=note, parent=parent, absent=absent, **verdict))
    arrows = [f"{report.stage}: {WORDS[report.verdict]}" for report in reports]
    made = [node.name for node in nodes if not node.absent]
    label = f"Diagram of the chain: {', '.join(made)}. Verdicts: {'; '.join(arrows) or 'none'}."
    caption = "Every arrow with a verdict was compared"
    caption += "." if manifest.interface.size is None else " on photographs."
    caption += " The blob was executed, and compared with the ONNX." if BLOB_STAGE in judged else ""
    caption += " What is dashed was not made." if any(node.absent for node in nodes) else ""
    return Diagram(nodes=nodes, label=label, caption=caption)


def _beginning(manifest: Manifest, judged: Mapping[str, StageReport]) -> list[Node]:
    size = manifest.interface.size
    note = "" if size is None else f"{size[0]}×{size[1]} px"
    absent = not manifest.has("onnx")
    onnx = Node(key="onnx", name="ONNX", note="not kept" if absent else note, absent=absent)
    if ONNX_STAGE not in judged and ONNX_STAGE not in manifest.verdicts:
        return [onnx]
    torch = Node(key="torch", name="PyTorch", note=manifest.network)
    verdict = _verdict(judged, ONNX_STAGE)
    return [torch, Node(key="onnx", name="ONNX", note=onnx.note, parent="torch", absent=absent, **verdict)]


def _device(manifest: Manifest, judged: Mapping[str, StageReport]) -> list[Node]:
    if DEVICE_STAGE not in judged and not manifest.has("blob") and "blob" not in manifest.not_made:
        return []
    absent = DEVICE_STAGE not in judged and not manifest.has("blob")
    note = f"{len(manifest.device.rewrites)} rewrites" if manifest.device.rewrites else ""
    if manifest.split is not None:
        note = "its first part"
    name = "device graph"
    verdict = _verdict(judged, DEVICE_STAGE)
    if absent and not verdict:
        verdict = _end(manifest)
    note = "not made" if absent else note
    return [Node(key="device", name=name, note=note, parent="onnx", absent=absent, **verdict)]


def _broken(manifest: Manifest, kind: ArtifactKind, nodes: Sequence[Node], parent: str) -> dict[str, Any]:
    """The word for the arrow at which a chain ends: to what was not made of what is there."""
    made = {node.key for node in nodes if not node.absent}
    return _end(manifest) if kind in manifest.not_made and not manifest.has(kind) and parent in made else {}


def _end(manifest: Manifest) -> dict[str, Any]:
    return {"tone": "open" if manifest.failure is None else "fail", "word": "NOT MADE"}


def _verdict(judged: Mapping[str, StageReport], stage: str) -> dict[str, Any]:
    if stage not in judged:
        return {}
    verdict = judged[stage].verdict
    return {"tone": TONES[verdict], "word": WORDS[verdict] if verdict.value != "nothing compared" else "OPEN"}
