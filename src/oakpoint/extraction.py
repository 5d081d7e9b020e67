"""Features of many images into one HDF5 file; a killed run goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import ImageError
from oakpoint.extractor import Extractor
from oakpoint.features.hdf5 import bind_settings, stored_names, write_features
from oakpoint.images.reading import IMAGE_SUFFIXES, list_images, read_image
from oakpoint.images.sources import Source, open_video

SETTINGS_BEFORE = {"decode subpixel": "none", "orientation": "as stored", "preprocess max_side": None}
"""What a setting was in files from before it existed; they can still be added to."""


@dataclass(frozen=True, slots=True)
class NamedImage:
    """An image that can be read when its turn comes."""

    name: str
    read: Callable[[], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Extracted:
    """What came of one image: the number of its keypoints, or why there are none.

    Attributes:
        name: the image's.
        keypoints: how many; None when it was skipped or failed.
        error: why it could not be read or used.
    """

    name: str
    keypoints: int | None = None
    error: str | None = None

    @property
    def skipped(self) -> bool:
        """Whether its features were in the file already."""
        return self.keypoints is None and self.error is None


def named_images(source: Path, *, upright: bool = False) -> tuple[list[NamedImage] | None, Iterator[NamedImage]]:
    """The images of a folder with its subfolders, of one image file, or of a video.

    Args:
        source: where they are.
        upright: turn image files as their EXIF orientation says (``read_image``); videos always are turned.

    Returns:
        The list of images, or None for a video, whose length may be unknown; and an iterator over them.

    Raises:
        ImageError: nothing there that could be read.
    """
    if source.is_dir():
        names = list_images(source, recursive=True)
        if not names:
            raise ImageError(f"{source}: no image in this folder; known are {' '.join(IMAGE_SUFFIXES)}")
        images = [NamedImage(name, lambda path=source / name: read_image(path, upright=upright)) for name in names]  # type: ignore[misc]
        return images, iter(images)
    if source.suffix.lower() in IMAGE_SUFFIXES or not source.exists():
        images = [NamedImage(source.name, lambda: read_image(source, upright=upright))]
        if not source.is_file():
            raise ImageError(f"{source}: no such image, folder or video")
        return images, iter(images)
    return None, _frames(open_video(source))  # opened now, so that what is no video leaves no file


def _frames(video: Source) -> Iterator[NamedImage]:
    with video:
        for frame in video:
            yield NamedImage(frame.name, lambda image=frame.image: image)  # type: ignore[misc]


def extract_images(
    images: Iterator[NamedImage], extractor: Extractor, path: Path, settings: Mapping[str, object]
) -> Iterator[Extracted]:
    """Extract image by image into ``path``; those that it holds already are skipped, an unreadable one is passed over.

    Args:
        images: what to extract.
        extractor: with what.
        path: the HDF5 file.
        settings: see ``settings_of``; a file made with other ones is not added to.

    Raises:
        FeaturesError: the file is none of ours, damaged, or made with other settings.
        OutputError: the file cannot be written.
    """
    bind_settings(path, settings, before=SETTINGS_BEFORE)
    there = set(stored_names(path))
    for image in images:
        if image.name in there:
            yield Extracted(image.name)
            continue
        try:
            features = extractor(image.read())
        except ImageError as error:
            yield Extracted(image.name, error=str(error))
            continue
        write_features(path, image.name, features)
        yield Extracted(image.name, keypoints=len(features))


def settings_of(extractor: Extractor, model: str, *, upright: bool = False) -> dict[str, object]:
    """What decides on the features: the model, the images' orientation, preprocessing, decode options, the runtime."""
    preprocess = {f"preprocess {name}": value for name, value in asdict(extractor.preprocess).items()}
    preprocess["preprocess max_side"] = extractor.max_side
    if extractor.native:
        preprocess |= {"preprocess size": "native", "preprocess resize": "cut"}
    options = {f"decode {name}": value for name, value in asdict(extractor.decode).items()}
    orientation = "upright" if upright else "as stored"
    return {"model": model, "runtime": extractor.runtime, "orientation": orientation, **preprocess, **options}
