"""One portion from its images to a part: what a worker does."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import BackendError, FeaturesError, ImageError, UsageError
from oakpoint.extraction.one_file import HOPELESS_AFTER
from oakpoint.extraction.parts.claims import Claims
from oakpoint.extraction.parts.features_files import writing_part
from oakpoint.extraction.parts.manifest import FEATURES, SUFFIXES, Format, Part, read_row, write_row
from oakpoint.extraction.parts.names import NameRow, read_names, write_names
from oakpoint.extraction.parts.plan import Wanted, read_portion
from oakpoint.extraction.parts.storage import Storage, read_place
from oakpoint.extractor import Extractor
from oakpoint.features.types import Features
from oakpoint.images.reading import decode_image
from oakpoint.loading import load_extractor
from oakpoint.models.base import Model
from oakpoint.pipeline import Stage, overlapped

READERS = 8
"""Threads of a worker that read, hash and decode ahead of the network: they wait for a store or a disk, mostly."""

_CHUNK = 16
"""Images that are claimed together; twice as many are read ahead, as files."""

_DECODED_AHEAD = 2
"""Images that are pixels while they wait: they take many times the room of their files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """All that a worker needs to know; can be pickled.

    Attributes:
        model: what extracts; opens itself.
        options: keyword arguments of ``load_extractor`` but for ``threads``.
        settings: what the driver found that makes the features; a worker that finds something else gives up.
        output: where the parts go.
        form: their format.
        source: URL of the storage in which the images' paths are; empty where paths stand by themselves.
        run: number of this run.
        upright: turn images as their EXIF orientation says.
        replace: extract anew what would be refused.
    """

    model: Model
    options: Mapping[str, Any]
    settings: Mapping[str, object]
    output: Storage
    form: Format
    source: str = field(default="", repr=False)
    run: int = 1
    upright: bool = False
    replace: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PortionReport:
    """What came of a portion.

    Attributes:
        images: how many it has.
        extracted: features were computed for as many of them.
        shared: as many have a content whose features are there, or are computed for another image.
        keypoints: of the features that were computed.
        refused: names of images of another folder, whose names are taken.
        failed: why images have no features, by name.
    """

    images: int
    extracted: int = 0
    shared: int = 0
    keypoints: int = 0
    refused: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)


def settings_of(extractor: Extractor, *, upright: bool) -> dict[str, object]:
    """All that decides on the features."""
    return extractor.identity() | {"orientation": "upright" if upright else "as stored"}


@dataclass(slots=True)
class _Read:
    """An image on its way."""

    wanted: Wanted
    sha256: str = ""
    data: bytes = b""
    error: str = ""


@final
class PortionWorker:
    """Does one portion after the other; opens the model with the first."""

    def __init__(self, job: Job, claims: Claims, *, threads: int | None = None) -> None:
        self._job, self._claims, self._threads = job, claims, threads
        self._extractor: Extractor | None = None

    def __call__(self, number: int) -> PortionReport:
        """Extract a portion into a part of its own.

        A portion whose part is there, as that of a worker that was killed after it, is not done again.

        Raises:
            BackendError: the model fails, other than at some images' own sizes.
            OutputError: the part cannot be written.
            OakpointError: the model cannot be opened here.
        """
        images, digest = read_portion(self._job.output, number)
        part = f"{self._job.run:05d}-{digest}"
        if (row := read_row(self._job.output, part)) is not None:
            return report_of(row, read_names(self._job.output, row))
        portion = _Portion(self._job, self._claims, self._opened(), number, part)
        return portion.extract(images)

    def close(self) -> None:
        """Free the model."""
        if self._extractor is not None:
            self._extractor.close()

    def _opened(self) -> Extractor:
        if self._extractor is None:
            extractor = load_extractor(self._job.model, threads=self._threads, **self._job.options)
            found = settings_of(extractor, upright=self._job.upright)
            for name, value in self._job.settings.items():
                if found.get(name) != value:
                    raise UsageError(f"a worker has {name} {found.get(name)} where the driver has {value}: install the "
                                     "same oakpoint and model on all machines")  # fmt: skip
            self._extractor = extractor
        return self._extractor


class _Portion:
    """One portion, while it is done."""

    def __init__(self, job: Job, claims: Claims, extractor: Extractor, number: int, part: str) -> None:
        self._job, self._claims, self._extractor = job, claims, extractor
        self._number, self._part = number, part
        self._names: list[NameRow] = []
        self._refused: list[str] = []
        self._features: dict[str, tuple[str, Features]] = {}
        self._bad: dict[str, str] = {}
        self._model_failures = 0

    def extract(self, images: list[Wanted]) -> PortionReport:
        reading = Stage(self._read, READERS, "read", ahead=2 * _CHUNK - 1)
        with contextlib.closing(overlapped(images, reading)) as reads:
            while chunk := list(islice(reads, _CHUNK)):
                self._compute(self._claimed(chunk))
                self._names += [self._row(read) for read in chunk if read.wanted.name not in self._refused]
        formerly = {wanted.name: wanted.failure for wanted in images}
        news = [row for row in self._names if not row.error or row.error != formerly[row.name]]
        return report_of(self._written() if news else self._row_of_part(), self._names)

    def _read(self, wanted: Wanted) -> _Read:
        try:
            data = read_place(wanted.path, self._job.source)
        except ImageError as error:
            return _Read(wanted, error=str(error))
        return _Read(wanted, hashlib.sha256(data).hexdigest(), data)

    def _claimed(self, chunk: list[_Read]) -> list[_Read]:
        """The images of a chunk whose features are to be computed: one for each content that nobody has."""
        new: dict[str, _Read] = {}
        for read in chunk:
            content = read.wanted.content
            if read.error or (content and read.sha256.startswith(content)):
                continue
            if content and not read.wanted.same_place and not self._job.replace:
                self._refused.append(read.wanted.name)
            elif read.sha256 not in self._features and read.sha256 not in self._bad:
                new.setdefault(read.sha256, read)
        ours = self._claims.claim(self._number, list(new))
        return [read for read, is_ours in zip(new.values(), ours, strict=True) if is_ours]

    def _compute(self, reads: list[_Read]) -> None:
        decoding = Stage(self._decoded, name="decode", ahead=_DECODED_AHEAD - 1)
        with contextlib.closing(overlapped(reads, decoding)) as pictures:
            for read, decoded in zip(reads, pictures, strict=True):
                found = decoded if isinstance(decoded, str) else self._found(read, decoded)
                if isinstance(found, str):
                    self._bad[read.sha256] = found
                else:
                    self._features[read.sha256] = (read.wanted.name, found)

    def _decoded(self, read: _Read) -> NDArray[np.uint8] | str:
        """Its pixels, or why there are none."""
        try:
            return decode_image(np.frombuffer(read.data, np.uint8), read.wanted.path, upright=self._job.upright)
        except ImageError as error:
            return str(error)
        except MemoryError:
            return f"{read.wanted.path}: too large for this machine's memory"

    def _found(self, read: _Read, pixels: NDArray[np.uint8]) -> Features | str:
        """Its features, or why there are none."""
        try:
            return self._extractor(pixels)
        except (ImageError, FeaturesError) as error:
            return str(error)
        except MemoryError:
            return f"{read.wanted.path}: too large for this machine's memory"
        except BackendError as error:
            self._model_failures += 1
            hopeless = not self._features and self._model_failures >= HOPELESS_AFTER
            if not self._extractor.native or hopeless:
                raise
            return str(error)

    def _row(self, read: _Read) -> NameRow:
        name, held = read.wanted.name, self._features.get(read.sha256)
        error = read.error or self._bad.get(read.sha256, "")
        return NameRow(name, read.sha256, held is not None and held[0] == name, read.wanted.facts, error)

    def _written(self) -> Part:
        """Write features, names and, when they are there, the row that makes them count."""
        held = self._claims.claim(self._number, list(self._features))  # a second time: see ClaimRegister
        lost = {content for content, ours in zip(self._features, held, strict=True) if not ours}
        kept = {content: named for content, named in self._features.items() if content not in lost}
        self._names = [replace(row, computed=row.computed and row.sha256 not in lost) for row in self._names]
        output, features_bytes = self._job.output, 0
        if kept:
            with output.writing(f"{FEATURES}/{self._part}{SUFFIXES[self._job.form]}") as path:
                with writing_part(self._job.form, path, self._job.settings) as add:
                    for content, (name, features) in kept.items():
                        add(content, name, features)
                features_bytes = path.stat().st_size
        row = self._row_of_part(
            contents=len(kept),
            keypoints=sum(len(features) for _, features in kept.values()),
            features_bytes=features_bytes,
            names_bytes=write_names(output, self._part, self._names),
        )
        write_row(output, row)
        return row

    def _row_of_part(
        self, *, contents: int = 0, keypoints: int = 0, features_bytes: int = 0, names_bytes: int = 0
    ) -> Part:
        return Part(
            part=self._part,
            run=self._job.run,
            images=len(self._names),
            contents=contents,
            keypoints=keypoints,
            refused=tuple(self._refused),
            features_bytes=features_bytes,
            names_bytes=names_bytes,
        )


def report_of(row: Part, names: Iterable[NameRow]) -> PortionReport:
    """What came of a portion whose part is there."""
    failed = {name.name: name.error for name in names if name.error}
    return PortionReport(
        images=row.images + len(row.refused),
        extracted=row.contents,
        shared=row.images - row.contents - len(failed),
        keypoints=row.keypoints,
        refused=row.refused,
        failed=failed,
    )
