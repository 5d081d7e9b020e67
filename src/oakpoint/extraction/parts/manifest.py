"""Which parts there are, and what they are bound to: small JSON files, each written after what it speaks of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Literal, get_args

from oakpoint.errors import FeaturesError, UsageError
from oakpoint.extraction.parts.small_files import side_by_side
from oakpoint.extraction.parts.storage import Storage
from oakpoint.features.hdf5 import settings_difference

Format = Literal["parquet", "hdf5"]
SUFFIXES: Mapping[Format, str] = {"parquet": ".parquet", "hdf5": ".h5"}
SETTINGS_FILE, SCHEMA = "settings.json", 1
FEATURES, NAMES, MANIFEST, PLAN = "features", "names", "manifest", "plan"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The row of a part.

    Attributes:
        part: its name, without suffix: the run's number, and what was planned for it, hashed.
        run: the run that wrote it; of two rows of one image, that of the later run counts.
        images: rows of its names.
        contents: rows of its features; with none there is no such file.
        keypoints: of its features.
        refused: names of images of another folder, whose names were taken.
        features_bytes: size of the file of features.
        names_bytes: size of the file of names.
    """

    part: str
    run: int
    images: int
    contents: int
    keypoints: int
    refused: tuple[str, ...]
    features_bytes: int
    names_bytes: int


def format_of(text: str) -> Format:
    """Parquet or HDF5, as it was asked for.

    Raises:
        UsageError: something else.
    """
    for known in get_args(Format):
        if text == known:
            return known  # type: ignore[no-any-return]
    raise UsageError(f"format: expected {' or '.join(get_args(Format))}, got {text!r}")


def bound_to(storage: Storage) -> tuple[Format, dict[str, object]] | None:
    """The format of the parts, and what makes the features; None where there is nothing yet.

    Raises:
        FeaturesError: what is there was made by another program, or another version.
    """
    content = storage.read(SETTINGS_FILE)
    if content is None:
        return None
    try:
        noted = json.loads(content)
        schema, form, settings = noted["schema"], format_of(noted["format"]), dict(noted["settings"])
    except (ValueError, KeyError, TypeError, UsageError) as error:
        raise FeaturesError(f"{storage.shown}/{SETTINGS_FILE}: damaged, or another program's ({error})") from error
    if schema != SCHEMA:
        raise FeaturesError(f"{storage.shown}/{SETTINGS_FILE}: expected schema {SCHEMA}, got {schema}; update oakpoint")
    return form, settings


def bind(storage: Storage, form: Format, settings: Mapping[str, object]) -> None:
    """Note in a new folder what makes its features; make sure of it in one that is there.

    Raises:
        FeaturesError: it holds features made otherwise, in another format, or something else.
        OutputError: it cannot be written.
    """
    now = json.loads(json.dumps(settings))
    there = bound_to(storage)
    if there is None:
        if others := storage.sizes(""):
            raise FeaturesError(f"{storage.shown}: expected a new folder or parts, found {min(others)}; choose another")
        noted = {"schema": SCHEMA, "format": form, "settings": now}
        storage.write(SETTINGS_FILE, json.dumps(noted, indent=1, sort_keys=True).encode())
        return
    if there[0] != form:
        raise FeaturesError(f"{storage.shown}: holds {there[0]} parts, asked for are {form}; choose another folder")
    difference = settings_difference(json.dumps(there[1]), now, {})
    if difference is not None:
        raise FeaturesError(f"{storage.shown}: {difference}; choose another folder")


def write_row(storage: Storage, row: Part) -> None:
    """Let a part count.

    Raises:
        OutputError: it cannot be written.
    """
    storage.write(f"{MANIFEST}/{row.part}.json", json.dumps(asdict(row)).encode())


def read_row(storage: Storage, part: str) -> Part | None:
    """The row of a part; None where it does not count yet, or is damaged."""
    content = storage.read(f"{MANIFEST}/{part}.json")
    try:
        noted = json.loads(content or "null")
        return None if noted is None else Part(**{**noted, "refused": tuple(noted["refused"])})
    except (ValueError, TypeError, KeyError):
        return None


def whole_parts(storage: Storage, form: Format) -> list[Part]:
    """The parts that count: their row is there, and their files are as long as it says; earlier runs first.

    Raises:
        OutputError: the folder cannot be read.
    """
    names = {name.removesuffix(".json") for name in storage.sizes(MANIFEST) if name.endswith(".json")}
    rows = [row for row in side_by_side(partial(read_row, storage), names) if row is not None and row.part in names]
    features, of_names = storage.sizes(FEATURES), storage.sizes(NAMES)
    whole = [
        row
        for row in rows
        if of_names.get(f"{row.part}.parquet") == row.names_bytes
        and (not row.contents or features.get(f"{row.part}{SUFFIXES[form]}") == row.features_bytes)
    ]
    return sorted(whole, key=lambda row: (row.run, row.part))


def remove_unfinished(storage: Storage, form: Format, parts: list[Part]) -> None:
    """Remove files of parts that do not count, which a killed run left.

    Raises:
        OutputError: one cannot be removed.
    """
    whole = {part.part for part in parts}
    for folder, suffix in ((MANIFEST, ".json"), (NAMES, ".parquet"), (FEATURES, SUFFIXES[form])):
        storage.remove_temporary(folder)
        for name in storage.sizes(folder):
            if name.removesuffix(suffix) not in whole:
                storage.remove_file(f"{folder}/{name}")
