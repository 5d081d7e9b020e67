"""The ONNX of the networks whose weights come with oakpoint, from these very weights.

python scripts/export_shipped.py        writes what ``NetworkEntry.exported`` names, beside the weights

``tests/unit/networks/test_shipped_onnx.py`` holds the files against the weights and against torch.
"""

from __future__ import annotations

from pathlib import Path

from oakpoint.bundle.interface import TensorSpec
from oakpoint.convert.onnx_from_torch import export_onnx
from oakpoint.export import REFERENCE_SIZE
from oakpoint.networks.registry import NETWORKS, load_network, shipped_onnx
from oakpoint.tasks.keypoints.task import INPUT


def export(name: str, path: Path) -> str:
    """Export a network with the weights that it comes with; gives the tool that did it."""
    entry, (width, height) = NETWORKS[name], REFERENCE_SIZE
    image = TensorSpec(INPUT, "float32", (1, entry.channels, height, width))
    return export_onnx(load_network(name, None).module, path, inputs=(image,), outputs=entry.outputs)


def main() -> None:
    """Write the files."""
    for name in NETWORKS:
        if (path := shipped_onnx(name)) is not None:
            print(f"{path}: by {export(name, path)}")


if __name__ == "__main__":
    main()
