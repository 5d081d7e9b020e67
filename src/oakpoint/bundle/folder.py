"""A bundle on disk: opened with every hash checked, written beside its place and moved in with one rename."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from oakpoint.bundle.manifest import MANIFEST_FILE, Manifest, read_manifest
from oakpoint.bundle.records import ArtifactKind
from oakpoint.errors import BundleError
from oakpoint.files import sha256_of_file
from oakpoint.result_folders import Files, FolderKind, check_place, replacing_result


@dataclass(frozen=True, slots=True)
class Bundle:
    """An opened bundle: its folder and its manifest. Make one with ``open_bundle``."""

    folder: Path
    manifest: Manifest

    def path(self, kind: ArtifactKind) -> Path:
        """The file to open for an artefact.

        Raises:
            BundleError: the bundle has no such artefact.
        """
        return self.folder / self.manifest.artifact(kind).main_file


def is_bundle(path: Path) -> bool:
    """Whether ``path`` is a folder with a manifest in it."""
    return (path / MANIFEST_FILE).is_file()


def bundle_near(path: Path) -> str:
    """The end of a message on a path that is no bundle: which bundle lies in it or around it; empty where none does."""
    if path.is_dir():
        below: list[Path] = []
        with contextlib.suppress(OSError):  # what cannot be looked into is not what was asked about
            below = sorted(child for child in path.iterdir() if is_bundle(child))
        if below:
            others = f", and {len(below) - 1} more there" if len(below) > 1 else ""
            return f"; {below[0]} is a bundle{others}: give that folder"
    elif path.exists() and is_bundle(path.parent):
        return f"; the folder {path.parent} is a bundle: give that"
    return ""


def open_bundle(folder: Path) -> Bundle:
    """Open a bundle and check every file that its manifest names against its sha256.

    Raises:
        BundleError: no bundle; a file missing, altered or outside the folder.
    """
    if not is_bundle(folder):
        remedy = bundle_near(folder) or "; make one with: oakpoint convert"
        raise BundleError(f"{folder}: not a bundle (no {MANIFEST_FILE}){remedy}")
    manifest = read_manifest(folder / MANIFEST_FILE)
    for name, expected in manifest.hashes().items():
        path = folder / name
        if Path(name).name != name:
            raise BundleError(f"{folder}: the manifest names {name!r}, which is not a file of the bundle")
        if not path.is_file():
            raise BundleError(f"{folder}: {name} is missing; convert again")
        if (got := sha256_of_file(path)) != expected:
            raise BundleError(
                f"{path}: altered since the conversion: expected sha256 {expected}, got {got}; convert again"
            )
    return Bundle(folder, manifest)


def check_replaceable(folder: Path) -> None:
    """Make sure that writing to ``folder`` loses nothing: there is nothing, an empty folder, or a bundle alone.

    Raises:
        OutputError: a file, a folder that is no bundle, or a bundle with files in it that are not its own.
    """
    check_place(folder, BUNDLE)


@contextlib.contextmanager
def writing_bundle(folder: Path) -> Iterator[Path]:
    """Give a folder to write a bundle's files to; it replaces ``folder`` in one step when the block ends well.

    Raises:
        OutputError: something that is not a bundle stands there, or the place cannot be written.
    """
    with replacing_result(folder, BUNDLE) as temporary:
        yield temporary


def _own_files(folder: Path) -> Files | None:
    """The manifest and what it names, of whatever size: what was altered is the bundle's, and is made anew."""
    try:
        return dict.fromkeys([*read_manifest(folder / MANIFEST_FILE).hashes(), MANIFEST_FILE])
    except BundleError:
        return None


BUNDLE = FolderKind(name="a bundle", option="--out", own_files=_own_files)
