"""``oakpoint match``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from oakpoint.cli.console import print_error, progress_bar
from oakpoint.cli.match_output import PICTURES, MatchRun, print_facts, print_lines, save_pictures
from oakpoint.cli.model_options import with_model_options
from oakpoint.cli.notices import notice_for
from oakpoint.cli.options import (
    Backend,
    Decoding,
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
from oakpoint.errors import UsageError
from oakpoint.estimation.options import Camera, FitOptions
from oakpoint.extractor import Extractor
from oakpoint.features.hdf5 import check_features_file
from oakpoint.features.matches_hdf5 import check_matches_file, write_matches
from oakpoint.features.types import Features
from oakpoint.files import check_can_write
from oakpoint.image_matching import (
    ImagesToMatch,
    LeftOut,
    MatchedPair,
    MatchOptions,
    extracted_features,
    features_of_first,
    filed_features,
    images_to_match,
    match_images,
    ranked,
)
from oakpoint.loading import load_extractor
from oakpoint.models.base import ModelOptions
from oakpoint.result_folders import check_place
from oakpoint.view.picture import STILL_SUFFIXES, check_not_read

EXIT_NO_MODEL = 1

_Shown = Literal["homography", "fundamental", "essential", "none"]


def _option(text: str, *names: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(*names, help=text, show_default=False, rich_help_panel="Matching")
    return option


@with_model_options
def match_command(
    first: Annotated[Path, typer.Argument(metavar="A", help="An image.", show_default=False)],
    second: Annotated[
        Path,
        typer.Argument(
            metavar="B", help="Another one, or a folder of images, with its subfolders.", show_default=False
        ),
    ],
    geometry: Annotated[
        _Shown,
        _option(
            "What is fitted: homography (default: flat scenes, a camera that turns), fundamental, essential (with "
            "--camera) or none.",
            "--model",
        ),
    ] = "homography",
    camera: Annotated[
        str | None,
        _option("fx,fy,cx,cy in pixels, for --model essential; 0,0 is the centre of the top-left pixel.", "--camera"),
    ] = None,
    camera_b: Annotated[str | None, _option("The camera of B. Default: --camera.", "--camera-b")] = None,
    threshold_px: Annotated[
        float | None,
        _option("Largest error of an inlier. Default: 3 of a homography, otherwise 1.5.", "--threshold-px"),
    ] = None,
    confidence: Annotated[
        float | None, _option("That a sample without an outlier was drawn. Default: 0.9999.", "--confidence")
    ] = None,
    iterations: Annotated[int | None, _option("Samples at most. Default: 10000.", "--iterations")] = None,
    seed: Annotated[int | None, _option("Of the samples; the same one, the same result. Default: 0.", "--seed")] = None,
    match_distance: Annotated[
        float | None, _option("Largest distance of two descriptors, 0 to 2. Default: any.", "--match-distance")
    ] = None,
    ratio: Annotated[
        float | None,
        _option("Lowe's test: nearer than so many times the second nearest. Default: no test.", "--ratio"),
    ] = None,
    top: Annotated[int, _option("Print and --save the N best of a folder. Default: 10.", "--top")] = 10,
    save: Annotated[
        Path | None, _option("Picture (.png, .jpg) of two images; folder of pictures for a folder.", "--save")
    ] = None,
    features: Annotated[
        Path | None,
        _option("Take features from this HDF5 file (see extract), which gets those that it lacks.", "--features"),
    ] = None,
    matches: Annotated[
        Path | None, _option("Add the matches to this HDF5 file, in hloc's layout; with --features.", "--matches")
    ] = None,
    root: Annotated[
        Path | None,
        _option("Folder that names in HDF5 files are relative to. Default: the deepest that holds A and B.", "--root"),
    ] = None,
    network: Annotated[
        str, typer.Option(help="A bundle, a .onnx or .blob file, or a network's name.", rich_help_panel="The network")
    ] = "acorn",
    weights: Weights = None,
    size: Annotated[
        str | None, typer.Option(help="WIDTHxHEIGHT or native. Default: a bundle's, or native.", show_default=False)
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
    decoding: Decoding = "auto",
    as_json: Json = False,
    *,
    said: ModelOptions,
) -> None:
    """Match two images, or one with each of a folder, and fit a homography or an epipolar geometry.

    Exit 1: no model was found, of a folder in none of its images; or an image was left out.
    """
    options = MatchOptions(
        max_distance=match_distance,
        ratio=ratio,
        fit=_fit_options(geometry, threshold_px, confidence, iterations, seed, _cameras(camera, camera_b)),
    )
    images = images_to_match(first, second, root=root)
    _check_places(images, top, save, features, matches, root)
    extractor = load_extractor(
        network,
        weights=weights,
        said=said,
        size=parse_size_or_native(size),
        max_side=max_side,
        max_memory_gb=max_memory,
        backend=backend,
        device=device,
        precision=precision,
        decoding=decoding,
        max_keypoints=max_keypoints,
        threshold=threshold,
        nms_radius_px=nms_radius,
        subpixel=subpixel,
    )
    notice = notice_for(network)
    with extractor:
        settings = {**extractor.identity(), **options.matching_facts()}
        if matches is not None:
            check_matches_file(matches, settings)
        own, pairs, left_out = _matched(images, extractor, options, features, upright=upright)
        description = extractor.description()
    if matches is not None:
        write_matches(matches, [pair.named(images.first, own) for pair in pairs], settings)
    run = MatchRun(images=images, features=own, pairs=ranked(pairs), left_out=left_out, options=options, notice=notice)
    saved = save_pictures(run, save, top=top, upright=upright) if save is not None else {}
    if as_json:
        print_facts(run, network=network, backend=description, saved=saved, matches=matches)
    else:
        print_lines(run, top=top, saved=saved, save=save, matches=matches)
    for item in left_out:
        print_error(item.line)
    if left_out or not any(pair.found for pair in pairs):
        raise typer.Exit(EXIT_NO_MODEL)


def _fit_options(
    geometry: _Shown,
    threshold_px: float | None,
    confidence: float | None,
    iterations: int | None,
    seed: int | None,
    cameras: tuple[Camera, Camera] | None,
) -> FitOptions | None:
    given = {"confidence": confidence, "max_iterations": iterations, "seed": seed, "threshold_px": threshold_px}
    said: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if geometry == "none":
        if said or cameras is not None:
            raise UsageError("--model none fits nothing: leave out --camera, --threshold-px and how it is searched for")
        return None
    return FitOptions(model=geometry, cameras=cameras, **said)


def _cameras(first: str | None, second: str | None) -> tuple[Camera, Camera] | None:
    if first is None:
        if second is not None:
            raise UsageError("--camera-b: expected --camera, that of A, as well")
        return None
    return Camera.from_text(first), Camera.from_text(second if second is not None else first)


def _check_places(
    images: ImagesToMatch, top: int, save: Path | None, features: Path | None, matches: Path | None, root: Path | None
) -> None:
    """Refuse what cannot be written before anything is worked out."""
    if top < 1:
        raise UsageError(f"top: expected 1 or more, got {top}")
    if matches is not None and features is None:
        raise UsageError("--matches: its indices are those of keypoints in a features file; give --features F.h5, too")
    if root is not None and features is None:
        raise UsageError("--root: counts for names in HDF5 files; give --features F.h5, too")
    if matches is not None and features is not None and matches.resolve() == features.resolve():
        raise UsageError(f"{matches}: expected two files for --features and --matches, got one")
    if features is not None:
        check_features_file(features)
    if matches is not None:
        check_can_write(matches.resolve())
    if save is None:
        return
    if images.is_folder:
        check_place(save, PICTURES)
        return
    if save.suffix.lower() not in STILL_SUFFIXES:
        raise UsageError(
            f"{save}: expected {', '.join(STILL_SUFFIXES)} for two images, got {save.suffix or 'no suffix'}"
        )
    for image in (images.first, *images.others):
        check_not_read(save, image.path)
    check_can_write(save)


def _matched(
    images: ImagesToMatch, extractor: Extractor, options: MatchOptions, file: Path | None, *, upright: bool
) -> tuple[Features, list[MatchedPair], list[LeftOut]]:
    """The first image's features, the pairs, and the images that were left out."""
    pairs: list[MatchedPair] = []
    left_out = [LeftOut(reason, reason) for reason in images.unreadable]
    with progress_bar(quiet=not images.is_folder) as progress:
        if file is None:
            features_of = extracted_features(extractor, upright=upright)
        else:
            all_images = (images.first, *images.others)
            extracting = progress.add_task("features", total=len(all_images))
            features_of = filed_features(
                all_images, extractor, file, upright=upright, done=lambda: progress.advance(extracting)
            )
        own = features_of_first(images.first, features_of)
        matching = progress.add_task("matched", total=len(images.others))
        for result in match_images(own, images.others, features_of, options):
            if isinstance(result, LeftOut):
                left_out.append(result)
            else:
                pairs.append(result)
            progress.advance(matching)
    return own, pairs, left_out
