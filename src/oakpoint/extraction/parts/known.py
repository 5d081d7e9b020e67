"""What is there already: of each name the content and its file, in 56 bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import final

import numpy as np
from numpy.typing import NDArray

from oakpoint.extraction.parts.listing import tells_changes
from oakpoint.extraction.parts.manifest import Part
from oakpoint.extraction.parts.names import NameRow, read_names
from oakpoint.extraction.parts.small_files import side_by_side
from oakpoint.extraction.parts.storage import Storage

_ROW = np.dtype([("name", "S16"), ("facts", "S16"), ("place", "S8"), ("content", "S16")])
"""Digests of 128 bits, so that among 10⁸ names two alike are not to be expected (n²/2¹²⁹ = 1.5e-23)."""

_NONE = b""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a name.

    Attributes:
        content: first half of the SHA-256 of what it was, in hexadecimal; empty where it has no features.
        same_file: the file has not been written to since.
        same_place: it is the file of that place.
    """

    content: str
    same_file: bool
    same_place: bool


@final
class Known:
    """The names that parts serve, as sorted arrays.

    Attributes:
        failures: why names have no features, by name.
        contents: first half of the SHA-256 of each content with features, sorted.
    """

    def __init__(self, storage: Storage, parts: Iterable[Part]) -> None:
        """Read the names of all parts.

        Raises:
            FeaturesError: one is damaged.
            OutputError: one cannot be read.
        """
        blocks = list(side_by_side(lambda part: _block(read_names(storage, part)), parts))
        rows = np.concatenate([block.rows for block in blocks]) if blocks else np.empty(0, _ROW)
        texts = [pair for block in blocks for pair in block.failures]
        self.contents = np.sort(np.concatenate([block.computed for block in blocks])) if blocks else _contents([])
        # Later runs come later; a stable sort keeps that, and the last row of a name is what counts.
        rows = rows[np.argsort(rows["name"], kind="stable")]
        last = np.ones(len(rows), bool)
        last[:-1] = rows["name"][1:] != rows["name"][:-1]
        self._rows = rows[last]
        served = self._holds(self._rows["content"])
        self._rows["content"][~served] = _NONE
        self.failures = {name: text for name, text in texts if not self._content_of(name)}

    def __len__(self) -> int:
        """How many names have features."""
        return int((self._rows["content"] != _NONE).sum())

    @property
    def nbytes(self) -> int:
        """Memory that is kept."""
        return int(self._rows.nbytes + self.contents.nbytes)

    def of(self, name: str, facts: str) -> Standing | None:
        """What is known of a name whose file is now told by these facts; None for a new one."""
        row = self._row(name)
        if row is None:
            return None
        content = bytes(row["content"]).ljust(16, b"\0").hex() if row["content"] != _NONE else ""
        place, told = _place(json.loads(facts) if facts else {}), _told(facts)
        return Standing(content, told != _NONE and row["facts"] == told, place != _NONE and row["place"] == place)

    def holds(self, sha256: str) -> bool:
        """Whether some part has the features of a content."""
        return bool(self._holds(_contents([sha256]))[0])

    def _content_of(self, name: str) -> bool:
        row = self._row(name)
        return row is not None and row["content"] != _NONE

    def _row(self, name: str) -> np.void | None:
        digest = _digest(name)
        at = int(np.searchsorted(self._rows["name"], digest))
        if at == len(self._rows) or self._rows["name"][at] != digest:
            return None
        row: np.void = self._rows[at]
        return row

    def _holds(self, contents: NDArray[np.bytes_]) -> NDArray[np.bool_]:
        if not len(self.contents):
            return np.zeros(len(contents), bool)
        at = np.minimum(np.searchsorted(self.contents, contents), len(self.contents) - 1)
        found: NDArray[np.bool_] = (self.contents[at] == contents) & (contents != _NONE)
        return found


@dataclass(frozen=True, slots=True)
class _Block:
    rows: NDArray[np.void]
    computed: NDArray[np.bytes_]
    failures: list[tuple[str, str]]


def _block(names: Iterable[NameRow]) -> _Block:
    rows, computed, failures = [], [], []
    for row in names:
        said = json.loads(row.facts) if row.facts else {}
        content = _NONE if row.error else bytes.fromhex(row.sha256)[:16]
        rows.append((_digest(row.name), _told(row.facts), _place(said), content))
        if row.computed:
            computed.append(row.sha256)
        if row.error:
            failures.append((row.name, row.error))
    return _Block(np.array(rows, _ROW), _contents(computed), failures)


def _contents(hashes: Iterable[str]) -> NDArray[np.bytes_]:
    return np.array([bytes.fromhex(each)[:16] for each in hashes], "S16")


def _place(facts: dict[str, object]) -> bytes:
    return _stored(bytes.fromhex(str(facts.get("place", "")))[:8])


def _told(facts: str) -> bytes:
    """Digest of facts that tell a file from what it was; of others nothing, which no file is the same as."""
    return _digest(facts) if facts and tells_changes(json.loads(facts)) else _NONE


def _digest(text: str) -> bytes:
    return _stored(blake2b(text.encode(), digest_size=16).digest())


def _stored(digest: bytes) -> bytes:
    """As numpy gives it back, which fills strings up with zeros and leaves them out."""
    return digest.rstrip(b"\0")
