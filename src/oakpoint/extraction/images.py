"""The images of a folder, a file or a video, each read when its turn comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import ImageError
from oakpoint.images.origin import ImageOrigin
from oakpoint.images.reading import IMAGE_SUFFIXES, find_images, no_image_in, read_image
from oakpoint.images.sources import Source, open_video


@dataclass(frozen=True, slots=True)
class NamedImage:
    """An image that can be read when its turn comes.

    Attributes:
        name: the image's, in the file.
        read: reads it.
        origin: the file that it comes from; None where there is none to be told from others.
    """

    name: str
    read: Callable[[], NDArray[np.uint8]]
    origin: ImageOrigin | None = None


def named_images(source: Path, *, upright: bool = False) -> tuple[list[NamedImage] | None, Iterator[NamedImage]]:
    """The images of a folder with its subfolders, of one image file, or of a video.

    Args:
        source: where they are.
        upright: turn image files as their EXIF orientation says (``read_image``); videos always are turned.

    Returns:
        The list of images, or None for a video, whose length may be unknown; and an iterator over them. A subfolder
        that cannot be read is among them, as an image that cannot.

    Raises:
        ImageError: nothing there that could be read.
    """
    if source.is_dir():
        found = find_images(source, recursive=True)
        if not found.names:
            raise ImageError(no_image_in(source, recursive=True))
        images = [_unreadable(name, f"{source / name}: {reason}") for name, reason in found.unreadable.items()]
        images += [_image_of_file(ImageOrigin(source, name), upright=upright) for name in found.names]
        return images, iter(images)
    if source.suffix.lower() in IMAGE_SUFFIXES or not source.exists():
        if not source.is_file():
            raise ImageError(f"{source}: no such image, folder or video")
        images = [_image_of_file(ImageOrigin(source.parent, source.name), upright=upright)]
        return images, iter(images)
    video = open_video(source)  # now, so that what is no video leaves no file
    return None, _frames(video, ImageOrigin(source.parent, source.name))


def _image_of_file(origin: ImageOrigin, *, upright: bool) -> NamedImage:
    return NamedImage(origin.name, lambda: read_image(origin.path, upright=upright), origin)


def _unreadable(name: str, reason: str) -> NamedImage:
    def read() -> NDArray[np.uint8]:
        raise ImageError(reason)

    return NamedImage(name, read)


def _frames(video: Source, origin: ImageOrigin) -> Iterator[NamedImage]:
    with video:
        for frame in video:
            yield NamedImage(frame.name, lambda image=frame.image: image, origin)  # type: ignore[misc]
