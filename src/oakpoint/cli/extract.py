"""``oakpoint extract``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oakpoint.cli.console import out, print_error, print_json, progress_bar
from oakpoint.cli.notices import notice_for
from oakpoint.cli.options import (
    Backend,
    Device,
    Json,
    MaxKeypoints,
    MaxMemory,
    MaxSide,
    NmsRadius,
    Precision,
    Subpixel,
    Threshold,
    Upright,
    Weights,
    parse_size_or_native,
)
from oakpoint.extraction import Extracted, extract_images, named_images, settings_of
from oakpoint.extractor import load, model_identity

EXIT_SOME_UNREADABLE = 1


def extract_command(
    model: Annotated[
        str, typer.Argument(metavar="MODEL_OR_BUNDLE", help="A bundle, .onnx file or network name.", show_default=False)
    ],
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="Image, folder (with its subfolders) or video.", show_default=False)
    ],
    out_file: Annotated[Path, typer.Option("--out", help="HDF5 file, in hloc's layout.", show_default=False)],
    weights: Weights = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="WIDTHxHEIGHT; or native: each image at its own size, cut to a multiple of 8. "
            "Default: a bundle's size, native for a network by name.",
            show_default=False,
        ),
    ] = None,
    max_side: MaxSide = None,
    max_memory: MaxMemory = None,
    upright: Upright = False,
    max_keypoints: MaxKeypoints = None,
    threshold: Threshold = None,
    nms_radius: NmsRadius = None,
    subpixel: Subpixel = None,
    backend: Backend = "openvino",
    device: Device = "CPU",
    precision: Precision = "f32",
    as_json: Json = False,
) -> None:
    """Write features of many images to one file; goes on where it was stopped. Exit 1: some images were unreadable."""
    extractor = load(
        model,
        weights=weights,
        size=parse_size_or_native(size),
        max_side=max_side,
        max_memory_gb=max_memory,
        backend=backend,
        device=device,
        precision=precision,
        max_keypoints=max_keypoints,
        threshold=threshold,
        nms_radius_px=nms_radius,
        subpixel=subpixel,
    )
    notice = notice_for(model)
    listed, images = named_images(source, upright=upright)
    results: list[Extracted] = []
    with extractor, progress_bar() as progress:
        task = progress.add_task("images", total=len(listed) if listed is not None else None)
        settings = settings_of(extractor, model_identity(model, weights), upright=upright)
        for result in extract_images(images, extractor, out_file, settings):
            results.append(result)
            progress.update(task, advance=1)
    _print_results(results, out_file, notice, as_json=as_json)
    if any(result.error for result in results):
        raise typer.Exit(EXIT_SOME_UNREADABLE)


def _print_results(results: list[Extracted], path: Path, notice: str | None, *, as_json: bool) -> None:
    done = [result for result in results if result.keypoints is not None]
    failed = [result for result in results if result.error is not None]
    skipped = sum(result.skipped for result in results)
    keypoints = sum(result.keypoints or 0 for result in done)
    if as_json:
        print_json(
            {
                "file": str(path),
                "notice": notice,
                "extracted": len(done),
                "skipped": skipped,
                "keypoints": keypoints,
                "failed": {result.name: result.error for result in failed},
            }
        )
        return
    out.print(f"{len(done)} images, {keypoints} keypoints in {path}" + (f"; {skipped} were there" if skipped else ""))
    for result in failed:
        named = result.name in str(result.error)
        print_error(str(result.error) if named else f"{result.name}: {result.error}")
