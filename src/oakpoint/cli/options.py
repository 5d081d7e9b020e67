"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from oakpoint.images.sizes import size_from, size_or_native

Weights = Annotated[
    Path | None, typer.Option(help="Weights file (.pth, .pt, .safetensors) of a network given by name.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the facts as JSON instead.")]
Images = Annotated[
    Path | None,
    typer.Option(help="Folder of images to verify on. Default: photographs that come with scikit-image."),
]
Backend = Annotated[
    str, typer.Option(help="Runtime: openvino, onnxruntime, torch, or myriad_simulator (what the camera computes).")
]
Device = Annotated[str, typer.Option(help="OpenVINO's device: CPU, GPU, NPU or AUTO.")]
Precision = Annotated[str, typer.Option(help="OpenVINO's arithmetic: f32, bf16, f16, or int8 of a bundle that has it.")]
Threads = Annotated[
    int | None, typer.Option(help="CPU threads of the network. Default: the runtime's choice.", show_default=False)
]
Decoding = Annotated[
    str,
    typer.Option(
        help="Where outputs become keypoints: numpy; graph, all of it inside the network's graph (openvino, "
        "onnxruntime); or auto, what is fastest. What is found is the same."
    ),
]
MaxKeypoints = Annotated[
    int | None, typer.Option(help="Keep the N keypoints of highest score. Default: the network's preset.")
]
Threshold = Annotated[
    float | None,
    typer.Option(help="Lowest probability of a keypoint, a box or a pixel. Default: the network's preset."),
]
Iou = Annotated[
    float | None,
    typer.Option(help="Of two boxes that overlap by more, the better one stays. Default: the network's preset."),
]
MaxBoxes = Annotated[int | None, typer.Option(help="Keep the highest-scoring N boxes. Default: the network's preset.")]
Top = Annotated[int | None, typer.Option(help="Tell the N most probable classes. Default: 5.")]
Labels = Annotated[
    Path | None,
    typer.Option(help="Names of the classes: one a line, or JSON. Default: the bundle's, or numbers."),
]
NmsRadius = Annotated[int | None, typer.Option(help="NMS radius in pixels. Default: the network's preset.")]
Subpixel = Annotated[
    str | None,
    typer.Option(
        help="Refine keypoints between pixels: none, soft_argmax or quadratic. Default: the network's preset."
    ),
]
MaxSide = Annotated[
    int | None,
    typer.Option(
        help="Take each image at its own size, but scale down one whose longer side has more pixels; the ratio is kept."
    ),
]
MaxMemory = Annotated[
    float | None,
    typer.Option(help="GB that the network may take for one image; more is refused. Default: what is free."),
]
Upright = Annotated[
    bool,
    typer.Option(
        "--upright",
        help="Turn photographs as their EXIF orientation says; places are then in pixels of the upright image. "
        "Without it they are taken as stored. Videos are always turned.",
    ),
]


def parse_size(text: str | None) -> tuple[int, int] | None:
    """``320x200`` to (320, 200), width and height in pixels.

    Raises:
        UsageError: not of that form.
    """
    return None if text is None else size_from(text)


def parse_size_or_native(text: str | None) -> tuple[int, int] | Literal["native"] | None:
    """As ``parse_size``, and ``native`` for each image's own size."""
    return size_or_native(text)
