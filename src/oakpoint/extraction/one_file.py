"""Features of many images into one HDF5 file; a killed run goes on where it stopped, a bad image does not end it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import BackendError, FeaturesError, ImageError
from oakpoint.extraction.images import NamedImage
from oakpoint.extractor import Extractor
from oakpoint.features.hdf5 import Facts, FeaturesWriter, check_name, refusal_of, stored_sources, writing_features
from oakpoint.features.types import Features
from oakpoint.pipeline import Stage, overlapped
from oakpoint.threads import one_opencv_thread

SETTINGS_BEFORE = {"decode subpixel": "none", "orientation": "as stored", "preprocess max_side": None}
"""What a setting was in files from before it existed; they can still be added to."""

HOPELESS_AFTER = 5
"""When the model fails at as many images and has not done one yet, it is the model's fault, not the images'."""

READERS = 2
"""Images that are read at a time: one is decoded while another waits for the disk."""

_OF_ONE_IMAGE = (ImageError, FeaturesError, MemoryError)
"""What goes wrong with one image and is no reason to leave out others."""

_log = logging.getLogger(__name__)

Outcome = Literal["extracted", "replaced", "there", "unknown", "refused", "failed"]


@dataclass(frozen=True, slots=True)
class Extracted:
    """What came of one image.

    Attributes:
        name: the image's.
        outcome: ``extracted``; ``replaced``, its features were there and the image has changed; ``there``, they were
            and it has not; ``unknown``, they were and the file does not say of which image; ``refused``, they are those
            of an image of this name from another folder; ``failed``.
        keypoints: how many; None where nothing was extracted.
        error: why it was refused or failed.
    """

    name: str
    outcome: Outcome
    keypoints: int | None = None
    error: str | None = None

    @property
    def skipped(self) -> bool:
        """Whether its features were in the file already."""
        return self.outcome in ("there", "unknown")


def extract_images(
    images: Iterator[NamedImage],
    extractor: Extractor,
    path: Path,
    *,
    upright: bool = False,
    replace: bool = False,
) -> Generator[Extracted, None, None]:
    """Extract image by image into ``path``; see ``Extracted`` for what comes of each.

    An image that the file holds already is skipped as long as it is the same, and replaced where it has changed. One of
    the same name from another folder is refused. An image that cannot be read, used or stored is passed over.

    Images are read, extracted and written beside each other (``pipeline``), some ahead of what is yielded; they are
    written in order, in the thread that takes the results. One that was yielded is in the file.

    Args:
        images: what to extract.
        extractor: with what; a file that was made with another one is not added to.
        path: the HDF5 file.
        upright: whether image files are turned as their orientation says; one file holds one kind.
        replace: extract anew what would be refused, and what the file holds without saying of which image.

    Raises:
        FeaturesError: the file is none of ours, damaged, or made with other settings.
        OutputError: the file cannot be written, or another process is writing it.
        BackendError: the model fails, other than at some images' own sizes.
    """
    settings = extractor.identity() | {"orientation": "upright" if upright else "as stored"}
    formerly = extractor.former_identity()
    done = failures = 0
    with writing_features(path) as writer:
        if writer.bind(settings, before=SETTINGS_BEFORE, formerly=formerly):
            _log.warning("%s: made before all of a model was noted; taken to be of this one, and bound to it now", path)
        look = _Look(path, stored_sources(path), replace=replace)
        find = _Find(extractor)
        stages = Stage(look, READERS, "read"), Stage(find, extractor.in_flight + 1, "extract")
        with one_opencv_thread(), contextlib.closing(overlapped(images, *stages)) as results:
            for found in results:
                if isinstance(found, _Failure):
                    failures += 1
                    if not extractor.native or (not done and failures >= HOPELESS_AFTER):
                        raise found.error
                    result = Extracted(found.name, "failed", error=str(found.error))
                else:
                    result = found if isinstance(found, Extracted) else _written(found, writer)
                done += result.keypoints is not None
                yield result


@dataclass(frozen=True, slots=True)
class _Read:
    """An image to be extracted: its pixels, what is known of its file, and whether features of its name are there."""

    name: str
    pixels: NDArray[np.uint8]
    facts: Facts | None
    there: bool


@dataclass(frozen=True, slots=True)
class _Found:
    """Features to be written, of an image that was read."""

    image: _Read
    features: Features


@dataclass(frozen=True, slots=True)
class _Failure:
    """The model failed at an image."""

    name: str
    error: BackendError


@dataclass(frozen=True, slots=True)
class _Look:
    """Reads an image, where its features are not in the file already; called from several threads.

    Attributes:
        path: the file.
        stored: what it holds, and of which files.
        replace: see ``extract_images``.
    """

    path: Path
    stored: Mapping[str, Facts | None]
    replace: bool

    def __call__(self, image: NamedImage) -> _Read | Extracted:
        """The image, or what came of it."""
        try:
            check_name(image.name)
            there = image.name in self.stored
            if there and (known := self._known(image)) is not None:
                return known
            facts = image.origin.facts() if image.origin else None
            return _Read(image.name, _pixels(image, facts), facts, there)
        except _OF_ONE_IMAGE as error:
            return _failed(image.name, error)

    def _known(self, image: NamedImage) -> Extracted | None:
        """What is said of an image whose features are there; None where they are to be extracted anew."""
        standing = image.origin.standing(self.stored[image.name]) if image.origin else "unknown"
        if standing == "same":
            return Extracted(image.name, "there")
        if standing == "unknown" and not self.replace:
            return Extracted(image.name, "unknown")
        if standing == "other" and not self.replace:
            return Extracted(image.name, "refused", error=f"{self.path} holds another image of this name")
        return None


@dataclass(frozen=True, slots=True)
class _Find:
    """Extracts features; called from several threads."""

    extractor: Extractor

    def __call__(self, image: _Read | Extracted) -> _Found | _Failure | Extracted:
        """Features, or what came of the image."""
        if isinstance(image, Extracted):
            return image
        try:
            return _Found(image, self.extractor(image.pixels))
        except BackendError as error:
            return _Failure(image.name, error)
        except _OF_ONE_IMAGE as error:
            return _failed(image.name, error)


def _written(found: _Found, writer: FeaturesWriter) -> Extracted:
    name, features = found.image.name, found.features
    try:
        writer.write(name, features, found.image.facts)
    except FeaturesError:
        reason = refusal_of(writer.path, name)
        if reason is None:  # it is not the name's fault
            raise
        return Extracted(name, "failed", error=reason)
    return Extracted(name, "replaced" if found.image.there else "extracted", len(features))


def _failed(name: str, error: Exception) -> Extracted:
    reason = f"{name}: too large for this machine's memory" if isinstance(error, MemoryError) else str(error)
    return Extracted(name, "failed", error=reason)


def _pixels(image: NamedImage, facts: Facts | None) -> NDArray[np.uint8]:
    pixels = image.read()
    if image.origin is not None and facts is not None and image.origin.quick().items() - facts.items():
        raise ImageError(f"{image.origin.path}: written to while it was read; run this again")
    return pixels
