"""Features by name, out of parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import final

from oakpoint.errors import FeaturesError
from oakpoint.extraction.parts.features_files import content_of_part, read_part
from oakpoint.extraction.parts.manifest import FEATURES, SUFFIXES, bound_to, whole_parts
from oakpoint.extraction.parts.names import NameRow, read_names
from oakpoint.extraction.parts.storage import Storage
from oakpoint.features.types import Features


@final
class FeatureParts(Mapping[str, Features]):
    """The parts at a place: ``parts["folder/a.jpg"]`` reads the features of an image, ``in_order`` all of them.

    Names and which content each has are kept in memory, some 300 bytes for each; features are read when asked for.

    Attributes:
        storage: where they are.
        form: their format.
        settings: what made the features, by name.
        parts: those that count.
    """

    def __init__(self, place: str | Path) -> None:
        """Look what is there.

        Args:
            place: a folder, or a URL for fsspec.

        Raises:
            FeaturesError: no parts there.
            OutputError: it cannot be read.
        """
        self.storage = Storage.at(str(place))
        bound = bound_to(self.storage)
        if bound is None:
            raise FeaturesError(f"{self.storage.shown}: expected parts of oakpoint extract --engine ray, found none")
        self.form, self.settings = bound
        self.parts = whole_parts(self.storage, self.form)

    def __getitem__(self, name: str) -> Features:
        """The features of an image; reads one group of rows of one file.

        Raises:
            KeyError: no features of that name.
            FeaturesError: a damaged file.
        """
        content = self.rows[name].sha256
        with self.storage.fetched(self._file(self._part_of[content])) as path:
            return content_of_part(self.form, path, content)

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def rows(self) -> Mapping[str, NameRow]:
        """What is noted of each image with features, by name."""
        return self._index[0]

    @property
    def failures(self) -> Mapping[str, str]:
        """Why images have no features, by name."""
        return self._index[1]

    def in_order(self) -> Iterator[tuple[tuple[str, ...], Features]]:
        """All features in the order of the files, each once, with all the names that it has."""
        names: dict[str, list[str]] = {}
        for name, row in self.rows.items():
            names.setdefault(row.sha256, []).append(name)
        for part in self.parts:
            if not part.contents:
                continue
            with self.storage.fetched(self._file(part.part)) as path:
                for content, features in read_part(self.form, path):
                    if held := names.pop(content, None):
                        yield tuple(held), features

    def part_of(self, name: str) -> tuple[str, str]:
        """The file with the features of an image, and under which content they are there."""
        content = self.rows[name].sha256
        return self._file(self._part_of[content]), content

    @cached_property
    def _index(self) -> tuple[dict[str, NameRow], dict[str, str]]:
        rows: dict[str, NameRow] = {}
        self._part_of: dict[str, str] = {}
        for part in self.parts:
            for row in read_names(self.storage, part):
                rows[row.name] = row
                if row.computed:
                    self._part_of.setdefault(row.sha256, part.part)
        served = {name: row for name, row in rows.items() if not row.error and row.sha256 in self._part_of}
        return served, {name: row.error for name, row in rows.items() if row.error}

    def _file(self, part: str) -> str:
        return f"{FEATURES}/{part}{SUFFIXES[self.form]}"
