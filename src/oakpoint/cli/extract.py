"""``oakpoint extract``."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from oakpoint.cli.console import out, print_error, print_json, print_warning, progress_bar
from oakpoint.cli.model_options import with_model_options
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
from oakpoint.errors import line_about
from oakpoint.extraction.images import named_images
from oakpoint.extraction.one_file import Extracted, Outcome, extract_images
from oakpoint.features.hdf5 import check_features_file
from oakpoint.loading import load_extractor
from oakpoint.models.base import ModelOptions

EXIT_SOME_LEFT_OUT = 1
_NAMED = 3
"""Names of refused images that are said; ``--json`` has all of them."""


@with_model_options
def extract_command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A bundle, a .onnx or .blob file, or a network's name.", show_default=False
        ),
    ],
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="Image, folder (with its subfolders) or video.", show_default=False)
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
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="Extract anew where the file holds another folder's image of the same name, or does not say of which "
            "image its features are.",
        ),
    ] = False,
    as_json: Json = False,
    *,
    said: ModelOptions,
) -> None:
    """Write keypoints with descriptors of many images to one file. Exit 1: some images were left out.

    One that was stopped goes on with the same command.

    An image that has changed since is replaced. One that has the name of another folder's image in the file is refused.
    """
    listed, images = named_images(source, upright=upright)
    check_features_file(out_file)
    extractor = load_extractor(
        model,
        weights=weights,
        said=said,
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
        in_flight=None,
    )
    notice = notice_for(model)
    results: list[Extracted] = []
    with extractor, progress_bar() as progress:
        task = progress.add_task("images", total=len(listed) if listed is not None else None)
        extraction = extract_images(images, extractor, out_file, upright=upright, replace=replace)
        with contextlib.closing(extraction) as found:
            for result in found:
                results.append(result)
                progress.update(task, advance=1)
    _print_results(results, out_file, notice, as_json=as_json)
    if any(result.error for result in results):
        raise typer.Exit(EXIT_SOME_LEFT_OUT)


def _print_results(results: list[Extracted], path: Path, notice: str | None, *, as_json: bool) -> None:
    def named(outcome: Outcome) -> list[str]:
        return [result.name for result in results if result.outcome == outcome]

    done = [result for result in results if result.keypoints is not None]
    failed = {result.name: str(result.error) for result in results if result.outcome == "failed"}
    keypoints = sum(result.keypoints or 0 for result in done)
    refused, unknown, replaced = named("refused"), named("unknown"), named("replaced")
    skipped = sum(result.skipped for result in results)
    if as_json:
        print_json(
            {
                "file": str(path),
                "notice": notice,
                "extracted": len(done),
                "replaced": replaced,
                "skipped": skipped,
                "unknown": unknown,
                "keypoints": keypoints,
                "refused": refused,
                "failed": failed,
            }
        )
        return
    counts = {
        "of them replaced": len(replaced), "were there": skipped, "refused": len(refused), "left out": len(failed)
    }  # fmt: skip
    out.print("; ".join([f"{len(done)} images, {keypoints} keypoints in {escape(str(path))}", *_counted(counts)]))
    for name, reason in failed.items():
        print_error(line_about(name, reason))
    if unknown:
        print_warning(
            f"{path} does not say from which file its features of {len(unknown)} images were made "
            f"({_examples(unknown)}), so whether that has changed is not known; --replace extracts them anew"
        )
    if refused:
        print_error(
            f"{len(refused)} refused: {path} holds images of the same name from another folder or video "
            f"({_examples(refused)}); choose another --out, or replace them with --replace"
        )


def _counted(counts: dict[str, int]) -> list[str]:
    return [f"{count} {what}" for what, count in counts.items() if count]


def _examples(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
