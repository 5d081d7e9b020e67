"""HPatches as downloaded, and any folder in its layout.

A sequence is a folder with ``1.*`` and, for each other image ``k.*``, the homography ``H_1_k`` from pixels of image 1
to those of image k: nine numbers in three rows, as text. Images may have any suffix of ``IMAGE_SUFFIXES`` (HPatches
has .ppm). The dataset is a folder of such folders, or one such folder by itself.

Source: Balntas et al. 2017, «HPatches»; hpatches-sequences-release of github.com/hpatches/hpatches-dataset.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import ImageError
from oakpoint.evaluate.pairs import Dataset, Image, Sequence, SequenceImage, SequenceView, Skipped, View
from oakpoint.files import shown_name
from oakpoint.images.reading import IMAGE_SUFFIXES, read_image

_HOMOGRAPHY_FILE = re.compile(r"H_1_([0-9]+)")
_FIRST = 1


def read_dataset(folder: Path) -> Dataset:
    """The sequences of a folder, by name; a malformed one is in ``skipped`` with its reason.

    Raises:
        ImageError: no such folder, or not one usable sequence in it.
    """
    if not folder.is_dir():
        raise ImageError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}; expected a dataset")
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise ImageError(f"{folder}: cannot be read ({error.strerror})") from error
    if _is_sequence(folder):
        places = [(folder, "")]
    else:
        children = [path for path in entries if path.is_dir() and not path.name.startswith(".")]
        places = [(path, f"{shown_name(path.name)}/") for path in children]
    sequences, skipped = [], []
    for place, prefix in places:
        outcome = _sequence_or_reason(place, prefix)
        if isinstance(outcome, Sequence):
            sequences.append(outcome)
        else:
            skipped.append(outcome)
    if not sequences:
        below = next((place for place, _ in places if _holds_sequences(place)), None)
        if below is not None:
            raise ImageError(
                f"{folder}: no usable sequence, but {below} has some; give that folder (--dataset {below})"
            )
        told = f": {skipped[0].sequence}: {skipped[0].reason}" if skipped else ""
        raise ImageError(
            f"{folder}: no usable sequence; expected folders with 1.ppm (or .png, .jpg), 2.ppm … and H_1_2 …{told}"
        )
    return Dataset(shown_name(str(folder)), tuple(sequences), tuple(skipped))


def _is_sequence(folder: Path) -> bool:
    return any(_HOMOGRAPHY_FILE.fullmatch(path.name) for path in folder.iterdir())


def _holds_sequences(folder: Path) -> bool:
    try:
        return any(path.is_dir() and _is_sequence(path) for path in folder.iterdir())
    except OSError:  # what may not be read is not what was asked about
        return False


def _sequence_or_reason(folder: Path, prefix: str) -> Sequence | Skipped:
    try:
        return _read_sequence(folder, prefix)
    except ImageError as error:
        return Skipped(shown_name(folder.resolve().name), str(error))
    except OSError as error:
        return Skipped(shown_name(folder.resolve().name), f"{error.filename}: cannot be read ({error.strerror})")


def _read_sequence(folder: Path, prefix: str) -> Sequence:
    """A sequence whose files fit together; images are not decoded yet.

    Raises:
        ImageError: what is wrong with it, without the folder's name.
    """
    images = _numbered_images(folder)
    homographies = {
        int(found[1]): path
        for path in sorted(folder.iterdir())
        if (found := _HOMOGRAPHY_FILE.fullmatch(path.name)) and path.is_file()
    }
    if _FIRST not in images:
        raise ImageError("no image 1.*")
    numbers = sorted(images.keys() - {_FIRST})
    for number in sorted({*numbers, *homographies}):
        if number not in homographies:
            raise ImageError(f"{images[number].name} has no H_1_{number}")
        if number not in images:
            raise ImageError(f"H_1_{number} has no image {number}.*")
    if not numbers:
        raise ImageError("no image but the first")
    return Sequence(
        name=shown_name(folder.resolve().name),
        first=_image(images[_FIRST], prefix),
        others=tuple(_view(images[number], prefix, read_homography(homographies[number])) for number in numbers),
    )


def _numbered_images(folder: Path) -> dict[int, Path]:
    images: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.stem.isdecimal() and path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
            number = int(path.stem)
            if number in images:
                raise ImageError(f"image {number} twice: {images[number].name} and {path.name}")
            images[number] = path
    return images


def _image(path: Path, prefix: str) -> SequenceImage:
    def read() -> Image:
        return read_image(path)

    return SequenceImage(f"{prefix}{shown_name(path.name)}", read)


def _view(path: Path, prefix: str, other_from_first: NDArray[np.float64]) -> SequenceView:
    def read() -> View:
        return View(read_image(path), other_from_first)

    return SequenceView(f"{prefix}{shown_name(path.name)}", read)


def read_homography(path: Path) -> NDArray[np.float64]:
    """Nine numbers as text to a homography (3, 3), scaled to H₃₃ = 1 where that is not 0.

    Raises:
        ImageError: not nine finite numbers, or not invertible.
    """
    try:
        numbers = [float(word) for word in path.read_text(encoding="utf-8").split()]
    except (OSError, ValueError) as error:
        raise ImageError(f"{path.name}: expected nine numbers, got something else ({error})") from error
    if len(numbers) != 9:
        raise ImageError(f"{path.name}: expected nine finite numbers, got {len(numbers)}")
    if not np.isfinite(numbers).all():
        place, number = next((place, number) for place, number in enumerate(numbers, 1) if not np.isfinite(number))
        raise ImageError(f"{path.name}: expected nine finite numbers, got {number} as number {place}")
    homography = np.array(numbers).reshape(3, 3)
    if np.linalg.matrix_rank(homography) < 3:
        raise ImageError(f"{path.name}: the homography cannot be inverted")
    return homography / homography[2, 2] if homography[2, 2] else homography
