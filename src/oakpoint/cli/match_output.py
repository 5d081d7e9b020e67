"""What ``oakpoint match`` says, and the pictures that it writes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.markup import escape

from oakpoint.cli.console import out, print_json
from oakpoint.estimation.fit import Fit
from oakpoint.features.types import Features
from oakpoint.files import shown_name
from oakpoint.image_matching import ImagesToMatch, LeftOut, MatchedPair, MatchOptions
from oakpoint.images.reading import read_image
from oakpoint.result_folders import FolderKind, replacing_result
from oakpoint.view.draw import draw_matches, with_status
from oakpoint.view.picture import write_image
from oakpoint.view.results.colours import drawable_text

PICTURES = FolderKind(name="a folder of matches", option="--save")

_ARTICLE = {"homography": "a homography", "fundamental": "a fundamental matrix", "essential": "an essential matrix"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MatchRun:
    """What came of the command.

    Attributes:
        images: what there was to match.
        features: those of the first image.
        pairs: the best first.
        left_out: images that could not be matched.
        options: how it was matched.
        notice: what must be told of the network's weights.
    """

    images: ImagesToMatch
    features: Features
    pairs: list[MatchedPair]
    left_out: list[LeftOut]
    options: MatchOptions
    notice: str | None


def save_pictures(run: MatchRun, save: Path, *, top: int, upright: bool) -> dict[str, str]:
    """Write the picture of two images to the file ``save``, or those of the best of a folder to a folder.

    Returns:
        For each image of which there is a picture its path, by the image's name.

    Raises:
        OutputError: it cannot be written.
        ImageError: an image cannot be read any more.
    """
    image = read_image(run.images.first.path, upright=upright)
    if not run.images.is_folder:
        for pair in run.pairs:
            write_image(save, pair_picture(image, run, pair, upright=upright))
        return {pair.image.name: str(save) for pair in run.pairs}
    saved = {}
    with replacing_result(save, PICTURES) as folder:
        for rank, pair in enumerate(run.pairs[:top], start=1):
            stem = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(pair.image.name).stem)[:80]
            name = f"{rank:02d}_{stem}.png"
            write_image(folder / name, pair_picture(image, run, pair, upright=upright))
            saved[pair.image.name] = str(save / name)
    return saved


def pair_picture(image: NDArray[np.uint8], run: MatchRun, pair: MatchedPair, *, upright: bool) -> NDArray[np.uint8]:
    """Both images with their matches and a line of figures: uint8 (H, W, 3) BGR; ``image`` is the first one."""
    other = read_image(pair.image.path, upright=upright)
    inliers = pair.fit.inliers if pair.fit is not None else None
    picture = draw_matches(image, other, run.features, pair.features, pair.matches, inliers=inliers)
    figures = [
        f"{Path(run.images.first.name).name} - {Path(pair.image.name).name}",
        f"{len(run.features)} and {len(pair.features)} keypoints",
        f"{len(pair.matches)} matches",
    ]
    if pair.fit is not None:
        figures.append(f"{pair.inliers} inliers" if pair.found else f"no {_words(pair.fit)}")
    if pair.fit is not None and pair.found:
        figures.append(f"{_words(pair.fit)}, {_limit(run):g} px")
    figures += [run.notice] if run.notice else []
    return with_status(picture, [drawable_text(shown_name(figure)) for figure in figures])


def print_facts(run: MatchRun, *, network: str, backend: str, saved: Mapping[str, str], matches: Path | None) -> None:
    """Everything for machines."""
    fit = run.options.fit
    print_json(
        {
            "network": network,
            "backend": backend,
            "notice": run.notice,
            "first": _image_facts(run.images.first.name, run.features),
            "matching": dict(run.options.matching_facts()),
            "fitting": fit.facts() if fit is not None else None,
            "pairs": [_pair_facts(run, pair, saved) for pair in run.pairs],
            "left_out": {item.name: item.reason for item in run.left_out},
            "matches_file": str(matches) if matches is not None else None,
        }
    )


def print_lines(run: MatchRun, *, top: int, saved: Mapping[str, str], save: Path | None, matches: Path | None) -> None:
    """The same for people; of a folder a line for each of the best images."""
    if run.images.is_folder:
        _print_table(run, top)
    else:
        for pair in run.pairs:
            _print_pair(run, pair)
    if save is not None and saved:
        said = f"{len(saved)} pictures in {save}" if run.images.is_folder else f"saved {save}"
        out.print(escape(said))
    if matches is not None:
        out.print(escape(f"matches of {len(run.pairs)} pair{'s' if len(run.pairs) != 1 else ''} in {matches}"))


def _print_pair(run: MatchRun, pair: MatchedPair) -> None:
    names = shown_name(run.images.first.name), shown_name(pair.image.name)
    for name, features in zip(names, (run.features, pair.features), strict=True):
        width, height = features.image_size
        _say(f"{name}: {width}x{height} px, {len(features)} keypoints")
    fit = pair.fit
    if fit is None:
        _say(f"{len(pair.matches)} matches")
    elif fit.matrix is None:
        _say(f"{len(pair.matches)} matches; no {_words(fit)}: {fit.reason}")
    else:
        error = float(np.median(fit.errors_px[fit.inliers]))
        _say(
            f"{len(pair.matches)} matches, {fit.count} of them inliers of {_ARTICLE[fit.model]} "
            f"(within {_limit(run):g} px, median {error:.2f} px)"
        )
        _print_model(fit, *names)


def _print_model(fit: Fit, first: str, second: str) -> None:
    assert fit.matrix is not None
    if fit.model == "homography":
        _say(f"homography, {second} from {first}:")
    else:
        unit = "pixels" if fit.model == "fundamental" else "directions"
        _say(f"{_words(fit)} M, with {second}ᵀ · M · {first} = 0 in {unit}:")
    for row in fit.matrix.tolist():
        _say(" ".join(f"{value:14.6g}" for value in row))
    if fit.pose is not None:
        x, y, z = fit.pose.direction.tolist()
        _say(
            f"the camera turned by {fit.pose.angle_deg:.2f}° and moved along ({x:.3f}, {y:.3f}, {z:.3f}), how far is "
            f"not known; {fit.pose.in_front} of {fit.count} inliers are in front of both"
        )
    if fit.on_one_homography is not None:
        _say(
            f"{fit.on_one_homography} of {fit.count} inliers also fit one homography; with nearly all, the scene is "
            "flat or the camera only turned, and this geometry is not the only one that fits"
        )


def _print_table(run: MatchRun, top: int) -> None:
    width, height = run.features.image_size
    _say(f"{shown_name(run.images.first.name)}: {width}x{height} px, {len(run.features)} keypoints")
    _say("rank  inliers  matches  image")
    for rank, pair in enumerate(run.pairs[:top], start=1):
        inliers = "-" if pair.fit is None or not pair.found else str(pair.inliers)
        _say(f"{rank:4d}  {inliers:>7}  {len(pair.matches):7d}  {shown_name(pair.image.name)}")
    if len(run.pairs) > top:
        _say(f"and {len(run.pairs) - top} more: --top {len(run.pairs)} or --json has them")
    fit = run.options.fit
    if fit is not None:
        found = sum(pair.found for pair in run.pairs)
        _say(f"{_ARTICLE[fit.model]} was found for {found} of {len(run.pairs)} images")


def _pair_facts(run: MatchRun, pair: MatchedPair, saved: Mapping[str, str]) -> dict[str, Any]:
    facts = _image_facts(pair.image.name, pair.features)
    facts["matches"] = len(pair.matches)
    facts["fit"] = pair.fit.facts() if pair.fit is not None else None
    facts["saved"] = saved.get(pair.image.name)
    if not run.images.is_folder:  # of a folder it would be most of what is printed
        facts["matched"] = {
            "first": run.features.keypoints[pair.matches.indices[:, 0]].tolist(),
            "second": pair.features.keypoints[pair.matches.indices[:, 1]].tolist(),
            "distances": pair.matches.distances.tolist(),
            "inliers": pair.fit.inliers.tolist() if pair.fit is not None else None,
        }
    return facts


def _image_facts(name: str, features: Features) -> dict[str, Any]:
    return {"image": name, "size": list(features.image_size), "keypoints": len(features)}


def _words(fit: Fit) -> str:
    return "homography" if fit.model == "homography" else f"{fit.model} matrix"


def _limit(run: MatchRun) -> float:
    assert run.options.fit is not None
    return run.options.fit.limit_px


def _say(line: str) -> None:
    out.print(escape(line))
