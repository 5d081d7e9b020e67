"""An image and another one, or each of a folder: features, matches, and the geometry that these agree on."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from oakpoint.errors import BackendError, FeaturesError, ImageError, UsageError, line_about
from oakpoint.estimation.fit import Fit, fit_model
from oakpoint.estimation.options import FitOptions
from oakpoint.extraction.images import NamedImage
from oakpoint.extraction.one_file import extract_images
from oakpoint.extractor import Extractor
from oakpoint.features.hdf5 import Facts, read_features
from oakpoint.features.matches_hdf5 import NamedMatches
from oakpoint.features.matching import match
from oakpoint.features.types import Features, Matches
from oakpoint.images.origin import ImageOrigin
from oakpoint.images.reading import find_images, no_image_in, read_image

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchOptions:
    """How two images are matched.

    Attributes:
        max_distance: see ``features.matching.match``.
        ratio: likewise.
        fit: the model that is fitted to the matches; None for none.
    """

    max_distance: float | None = None
    ratio: float | None = None
    fit: FitOptions | None

    def __post_init__(self) -> None:
        if self.max_distance is not None and not 0 <= self.max_distance <= 2:
            raise UsageError(f"match-distance: expected a distance from 0 to 2, got {self.max_distance}")
        if self.ratio is not None and not 0 < self.ratio <= 1:
            raise UsageError(f"ratio: expected a number above 0 and up to 1, got {self.ratio}")

    def matching_facts(self) -> Facts:
        """What decides which keypoints are matched."""
        return {
            "match": "mutual nearest neighbours",
            "match max_distance": self.max_distance,
            "match ratio": self.ratio,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesToMatch:
    """What there is to match.

    Attributes:
        first: the first image.
        others: those that it is matched with.
        unreadable: reasons of those that cannot be found, a line each.
        is_folder: whether a folder was given.
    """

    first: ImageOrigin
    others: tuple[ImageOrigin, ...]
    unreadable: tuple[str, ...] = ()
    is_folder: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MatchedPair:
    """What came of the first image and another one.

    Attributes:
        image: the other one.
        features: its own; descriptors are left out, (N, 0).
        matches: of the first image's features with them.
        fit: the model; None where none was asked for.
    """

    image: ImageOrigin
    features: Features
    matches: Matches
    fit: Fit | None

    @property
    def inliers(self) -> int:
        """How many matches agree with the model; 0 where there is none."""
        return self.fit.count if self.fit is not None else 0

    @property
    def found(self) -> bool:
        """Whether the model that was asked for was found."""
        return self.fit is None or self.fit.matrix is not None

    def named(self, first: ImageOrigin, features: Features) -> NamedMatches:
        """The matches as a file of them takes them; ``features`` are those of the first image."""
        return NamedMatches(first.name, self.image.name, (len(features), len(self.features)), self.matches)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An image that could not be matched, and why."""

    name: str
    reason: str

    @property
    def line(self) -> str:
        """Both in one line."""
        return line_about(self.name, self.reason)


FeaturesOf = Callable[[ImageOrigin], Features]


def images_to_match(first: Path, second: Path, *, root: Path | None = None) -> ImagesToMatch:
    """Look up an image, and another one or the images of a folder with its subfolders, but for the first one.

    Args:
        first: an image file.
        second: an image file or a folder.
        root: the folder that names are relative to. None: the deepest that holds all of them.

    Raises:
        ImageError: there is no such image, or none in the folder.
        UsageError: an image does not lie in ``root``.
    """
    if first.is_dir():
        raise ImageError(f"{first}: expected an image to match, got a folder; the second one may be a folder")
    for path in (first, second):
        if not path.exists():
            raise ImageError(f"{path}: no such image{' or folder' if path is second else ''}")
    folder = second if second.is_dir() else second.parent
    base = root if root is not None else Path(os.path.commonpath([first.parent.resolve(), folder.resolve()]))
    origin = _origin(first, base)
    if not second.is_dir():
        return ImagesToMatch(first=origin, others=(_origin(second, base),))
    found = find_images(second, recursive=True)
    others = [_origin(second / name, base) for name in found.names if not _same(second / name, first)]
    if not others:
        raise ImageError(
            f"{second}: no image in this folder but {first.name}"
            if found.names
            else no_image_in(second, recursive=True)
        )
    unreadable = tuple(f"{second / name}: {reason}" for name, reason in found.unreadable.items())
    return ImagesToMatch(first=origin, others=tuple(others), unreadable=unreadable, is_folder=True)


def features_of_first(image: ImageOrigin, features_of: FeaturesOf) -> Features:
    """The features of the image that all others are matched with.

    Raises:
        ImageError, FeaturesError: they cannot be had; the error names the image.
    """
    try:
        return features_of(image)
    except (ImageError, FeaturesError) as error:
        raise type(error)(LeftOut(image.name, str(error)).line) from error


def match_images(
    first: Features, others: Sequence[ImageOrigin], features_of: FeaturesOf, options: MatchOptions
) -> Iterator[MatchedPair | LeftOut]:
    """Match the first image's features with those of the others, one after the other, in their order.

    An image whose features cannot be had is left out.

    Raises:
        OakpointError: see ``match``, ``fit_model`` and whatever ``features_of`` raises but for images at fault.
    """
    for image in others:
        try:
            features = features_of(image)
        except (ImageError, FeaturesError) as error:
            yield LeftOut(image.name, str(error))
            continue
        yield match_features(image, first, features, options)


def match_features(image: ImageOrigin, first: Features, second: Features, options: MatchOptions) -> MatchedPair:
    """Match two images' features and fit the model; ``image`` is the second one."""
    matches = match(first, second, max_distance=options.max_distance, ratio=options.ratio)
    fit = None
    if options.fit is not None:
        points = first.keypoints[matches.indices[:, 0]], second.keypoints[matches.indices[:, 1]]
        fit = fit_model(*points, options.fit, sizes=(first.image_size, second.image_size))
    bare = replace(second, descriptors=np.zeros((len(second), 0), np.float32))
    return MatchedPair(image=image, features=bare, matches=matches, fit=fit)


def ranked(pairs: Sequence[MatchedPair]) -> list[MatchedPair]:
    """Most inliers first, of equal ones most matches, then by name."""
    return sorted(pairs, key=lambda pair: (-pair.inliers, -len(pair.matches), pair.image.name))


def extracted_features(extractor: Extractor, *, upright: bool) -> FeaturesOf:
    """Features that are made when they are asked for, and not kept."""

    def features_of(image: ImageOrigin) -> Features:
        pixels = read_image(image.path, upright=upright)
        try:
            return extractor(pixels)
        except BackendError as error:
            if not extractor.native:
                raise
            raise ImageError(f"{image.path}: {error}") from error  # at this image's size

    return features_of


def filed_features(
    images: Sequence[ImageOrigin],
    extractor: Extractor,
    path: Path,
    *,
    upright: bool,
    done: Callable[[], None] = lambda: None,
) -> FeaturesOf:
    """Features of a features file, which gets those that it lacks first; the rules are those of ``extract``.

    Args:
        images: of which features will be asked for.
        extractor: makes them.
        path: the HDF5 file.
        upright: see ``read_image``.
        done: called after each image.

    Returns:
        Reads an image's features; raises FeaturesError for one that was refused or failed, with the reason.

    Raises:
        OakpointError: see ``extract_images``.
    """

    def named(image: ImageOrigin) -> NamedImage:
        return NamedImage(image.name, lambda: read_image(image.path, upright=upright), image)

    reasons: dict[str, str] = {}
    for result in extract_images(map(named, images), extractor, path, upright=upright):
        if result.error is not None:
            reasons[result.name] = result.error
        elif result.outcome == "unknown":
            _log.warning("%s does not say from which file its features of %s were made", path, result.name)
        done()

    def features_of(image: ImageOrigin) -> Features:
        if image.name in reasons:
            raise FeaturesError(reasons[image.name])
        return read_features(path, image.name)

    return features_of


def _origin(path: Path, base: Path) -> ImageOrigin:
    try:
        name = (path.parent.resolve() / path.name).relative_to(base.resolve()).as_posix()
    except ValueError:
        raise UsageError(f"root: expected a folder that holds all images, got {base}; {path} is not in it") from None
    return ImageOrigin(base, name)


def _same(path: Path, other: Path) -> bool:
    """Whether two paths lead to one file; a link that leads nowhere is none."""
    return path.exists() and path.samefile(other)
