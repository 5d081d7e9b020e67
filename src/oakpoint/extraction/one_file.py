"""Features of many images into one HDF5 file; a killed run goes on where it stopped, a bad image does not end it."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from oakpoint.errors import BackendError, FeaturesError, ImageError
from oakpoint.extraction.images import NamedImage
from oakpoint.extractor import Extractor
from oakpoint.features.hdf5 import Facts, FeaturesWriter, check_name, refusal_of, stored_sources, writing_features
from oakpoint.features.types import Features

SETTINGS_BEFORE = {"decode subpixel": "none", "orientation": "as stored", "preprocess max_side": None}
"""What a setting was in files from before it existed; they can still be added to."""

HOPELESS_AFTER = 5
"""When the model fails at as many images and has not done one yet, it is the model's fault, not the images'."""

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
        stored = stored_sources(path)
        for image in images:
            try:
                result = _result(image, extractor, writer, stored, replace=replace)
            except BackendError as error:
                failures += 1
                if not extractor.native or (not done and failures >= HOPELESS_AFTER):
                    raise
                result = Extracted(image.name, "failed", error=str(error))
            done += result.keypoints is not None
            yield result


def _result(
    image: NamedImage,
    extractor: Extractor,
    writer: FeaturesWriter,
    stored: Mapping[str, Facts | None],
    *,
    replace: bool,
) -> Extracted:
    there = image.name in stored
    try:
        check_name(image.name)
        if there:
            standing = image.origin.standing(stored[image.name]) if image.origin else "unknown"
            if standing == "same":
                return Extracted(image.name, "there")
            if standing == "unknown" and not replace:
                return Extracted(image.name, "unknown")
            if standing == "other" and not replace:
                return Extracted(image.name, "refused", error=f"{writer.path} holds another image of this name")
        facts = image.origin.facts() if image.origin else None
        features = _features(image, facts, extractor)
    except (ImageError, FeaturesError) as error:
        return Extracted(image.name, "failed", error=str(error))
    except MemoryError:
        return Extracted(image.name, "failed", error=f"{image.name}: too large for this machine's memory")
    try:
        writer.write(image.name, features, facts)
    except FeaturesError:
        reason = refusal_of(writer.path, image.name)
        if reason is None:  # it is not the name's fault
            raise
        return Extracted(image.name, "failed", error=reason)
    return Extracted(image.name, "replaced" if there else "extracted", len(features))


def _features(image: NamedImage, facts: Facts | None, extractor: Extractor) -> Features:
    pixels = image.read()
    if image.origin is not None and facts is not None and image.origin.quick().items() - facts.items():
        raise ImageError(f"{image.origin.path}: written to while it was read; run this again")
    return extractor(pixels)
