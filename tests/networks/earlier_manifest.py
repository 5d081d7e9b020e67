"""A manifest of schema 2 as schema 1 would have told of the same bundle."""

from __future__ import annotations

from typing import Any


def as_schema_1(content: dict[str, Any]) -> dict[str, Any]:
    """The content of ``manifest.json``, of a network for keypoints with one image, as an earlier version wrote it."""
    parameters, device = content["task"]["parameters"], content["device"]
    old = {
        "schema_version": 1,
        "oakpoint_version": content["oakpoint_version"],
        "network": content["network"],
        "weights": content["weights"],
        "preprocess": content["interface"]["inputs"][0]["preprocess"],
        "decode": parameters["decode"],
        "descriptor_dim": parameters["descriptor_dim"],
        "heads": device["heads"],
        "shaves": device["shaves"],
        "artifacts": [_artifact(artifact) for artifact in content["artifacts"]],
        "verdicts": {
            stage: verdict for stage, verdict in content["verdicts"].items() if stage != "onnx → device graph"
        },
        "not_made": content["not_made"],
        "failure": content["failure"],
        "descriptor_scale": device["measured"].get("descriptor_scale"),
        "descriptor_values": device["measured"].get("descriptor_values"),
        "files": content["files"],
    }
    return {name: value for name, value in old.items() if (name, value) != ("failure", None)}


def _artifact(artifact: dict[str, Any]) -> dict[str, Any]:
    (only,) = artifact["interface"]["inputs"]
    return {
        "kind": artifact["kind"],
        "files": artifact["files"],
        "inputs": [only["tensor"]],
        "outputs": artifact["interface"]["outputs"],
        "preprocess": only["preprocess"],
        "parents": artifact["parents"],
        "tool": artifact["tool"],
        "command": artifact["command"],
    }
