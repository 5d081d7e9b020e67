"""Which images there are: of a folder, a list or a URL, one after the other, none of them opened."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oakpoint.errors import FeaturesError, ImageError, UsageError
from oakpoint.extraction.parts.storage import file_system, is_url, shown_url, translated
from oakpoint.features.hdf5 import check_name
from oakpoint.images.origin import ImageOrigin
from oakpoint.images.reading import IMAGE_SUFFIXES, is_image_name, walk_images

LIST_SUFFIX = ".txt"

_TELLING = ("ETag", "etag", "md5Hash", "content_md5", "mtime", "LastModified", "last_modified", "updated", "created")
"""What drivers of fsspec say of a file beside its size; any of them tells a file that was written anew."""


@dataclass(frozen=True, slots=True)
class Listed:
    """An image that was found.

    Attributes:
        name: under which its features are kept.
        path: on this machine, in the storage that was given, or a URL.
        facts: what tells its file, as JSON: ``place`` and ``bytes``, and times or what else the storage has.
        error: why it cannot be one; the rest is empty then.
    """

    name: str
    path: str = ""
    facts: str = ""
    error: str = ""


def listed_images(source: str) -> Iterator[Listed]:
    """The images of a source, streamed: what is in memory is one folder of it.

    A name that cannot be stored, a file that is not there and a subfolder that cannot be read are among them, with
    their reason.

    Args:
        source: a folder with its subfolders; a text file (``.txt``) with a path or URL in each line, relative to it; an
            image; or the URL of a folder, for fsspec.

    Raises:
        ImageError: nothing there.
        UsageError: a URL that cannot be had; see ``storage.file_system``.
    """
    if is_url(source):
        return _checked(_in_storage(source))
    path = Path(source)
    if path.is_dir():
        return _checked(_in_folder(path))
    if not path.is_file():
        raise ImageError(f"{source}: no such image, list or folder")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return _checked(iter([_of_file(path.parent, path.name)]))
    if path.suffix.lower() != LIST_SUFFIX:
        raise UsageError(
            f"{source}: expected a folder, an image, a URL, or a list with the suffix {LIST_SUFFIX}; videos are "
            "extracted without --engine ray"
        )
    return _checked(_in_list(path))


def tells_changes(facts: Mapping[str, object]) -> bool:
    """Whether facts say more of a file than where it is and how large."""
    return bool(facts.keys() - {"place", "bytes"})


def _checked(found: Iterator[Listed]) -> Iterator[Listed]:
    for image in found:
        reason = _refusal(image.name)
        yield image if reason is None else Listed(image.name, error=reason)


def _refusal(name: str) -> str | None:
    try:
        check_name(name)
    except FeaturesError as error:
        return str(error)
    return None


def _in_folder(folder: Path) -> Iterator[Listed]:
    unreadable: dict[str, str] = {}
    for name in walk_images(folder, unreadable.__setitem__, recursive=True):
        yield _of_file(folder, name)
    for name, reason in unreadable.items():
        yield Listed(name, error=f"{folder / name}: {reason}")


def _of_file(folder: Path, name: str) -> Listed:
    origin = ImageOrigin(folder, name)
    try:
        return Listed(name, str(origin.path.absolute()), _text(origin.quick()))
    except ImageError as error:
        return Listed(name, error=str(error))


def _in_list(path: Path) -> Iterator[Listed]:
    try:
        with path.open(encoding="utf-8") as lines:
            for line in filter(None, map(str.strip, lines)):
                yield _of_line(path.parent, line)
    except (OSError, UnicodeDecodeError) as error:
        raise ImageError(f"{path}: expected a text file in UTF-8 with a path in each line ({error})") from error


def _of_line(folder: Path, line: str) -> Listed:
    if not is_url(line):
        return _of_file(folder, line) if not line.startswith("/") else _of_file(Path("/"), line.lstrip("/"))
    name = shown_url(line).partition("://")[2].lstrip("/")
    if shown_url(line) != line:
        return Listed(name, error=f"{shown_url(line)}: a list is kept; leave passwords and queries to the driver")
    return Listed(name, line, _facts(line, {}))  # asking for more would cost as much as reading it


def _in_storage(source: str) -> Iterator[Listed]:
    fs, root = file_system(source)
    shown = shown_url(source).rstrip("/")
    with translated(source, ImageError, "cannot be listed"):
        if fs.isfile(root):
            folder = root.rpartition("/")[0]
            yield Listed(root[len(folder) :].strip("/"), root, _facts(shown, fs.info(root)))
            return
        if not fs.exists(root):
            raise ImageError(f"{shown}: no such folder")
        for folder, subfolders, files in fs.walk(root, detail=True):
            for name in [name for name in subfolders if name.startswith(".")]:
                del subfolders[name]
            for file in sorted(filter(is_image_name, files)):
                name = f"{folder}/{file}"[len(root) :].strip("/")
                yield Listed(name, files[file]["name"], _facts(f"{shown}/{name}", files[file]))


def _facts(place: str, info: Mapping[str, Any]) -> str:
    said = {key: str(info[key]) for key in _TELLING if info.get(key) is not None}
    hashed = hashlib.sha256(place.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return _text({"place": hashed, "bytes": info.get("size"), **said})


def _text(facts: Mapping[str, object]) -> str:
    return json.dumps(facts, sort_keys=True)
