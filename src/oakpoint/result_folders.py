"""Folders of results, and whether one may be written to: one rule for bundles, reports, recordings and all others.

A folder that oakpoint replaces holds a list of the files that were written there. It is replaced only if there is
nothing in it but those files, as they were left: what is not on the list, or was changed since, is somebody's, and no
name or suffix says otherwise.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from oakpoint.errors import OutputError
from oakpoint.files import replacing_folder, shown_name, writing

LIST_FILE = ".oakpoint-files.json"
"""What oakpoint wrote to the folder that it lies in."""

Files = Mapping[str, int | None]
"""Names of files, relative to their folder and with «/», and their sizes in bytes; None: of any size, or no file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderKind:
    """What a folder is for.

    Attributes:
        name: of what it holds, with its article, for messages and for the list: «a recording».
        option: by which a user names the folder.
        own_files: gives the files that oakpoint has written to a folder, where a record of its own says so, as a
            bundle's manifest does; None from it: the folder is not of this kind. None here: ``LIST_FILE`` says so.
    """

    name: str
    option: str
    own_files: Callable[[Path], Files | None] | None = None

    def files_of(self, folder: Path) -> Files | None:
        """The files that oakpoint has written to a folder of this kind; None: it is not of this kind."""
        return _listed(folder, self) if self.own_files is None else self.own_files(folder)


def check_place(folder: Path, kind: FolderKind) -> None:
    """Make sure that writing to ``folder`` loses nothing: it is not there, empty, or holds oakpoint's own files alone.

    Raises:
        OutputError: a file, or a folder with other files in it, or with own ones that were changed since.
    """
    if folder.is_dir():
        present = files_in(folder)
        own = kind.files_of(folder) if present else {}
        if own is None:
            first = min(present.keys() - {LIST_FILE} or present)
            raise OutputError(
                f"{folder}: holds {shown_name(first)}, and is not {kind.name} that oakpoint made; choose "
                f"another {kind.option}"
            )
        for name, size in sorted(present.items()):
            if name == LIST_FILE:
                continue
            if name not in own:
                raise OutputError(
                    f"{folder}: {shown_name(name)} is not part of {kind.name} there and would be lost; move it away, "
                    f"or choose another {kind.option}"
                )
            if own[name] is not None and own[name] != size:
                raise OutputError(
                    f"{folder}: {shown_name(name)} was changed since oakpoint wrote it, and would be lost; move it "
                    f"away, or choose another {kind.option}"
                )
    elif folder.exists() or folder.is_symlink():
        raise OutputError(
            f"{folder}: expected a folder for {kind.name}, got a file or a link to nothing; choose another "
            f"{kind.option}"
        )


@contextlib.contextmanager
def replacing_result(folder: Path, kind: FolderKind) -> Iterator[Path]:
    """Give an empty folder to fill; with a list of its files it takes the place of ``folder`` when the block ends well.

    Raises:
        OutputError: see ``check_place``, which is asked before and after; or the place cannot be written.
    """
    check_place(folder, kind)
    with replacing_folder(folder) as temporary:
        yield temporary
        if kind.own_files is None:
            _write_list(temporary, kind)
        check_place(folder, kind)  # what came there meanwhile is somebody's, too


def files_in(folder: Path) -> dict[str, int | None]:
    """Everything in a folder and the folders in it that would be lost with it.

    A link, an empty folder and whatever else is no file counts with the size None.

    Raises:
        OutputError: a folder in it cannot be looked into.
    """
    found: dict[str, int | None] = {}
    with writing(folder):
        for place, folders, files in os.walk(folder, onerror=_raise):
            for name in (*folders, *files):
                path = Path(place, name)
                if path.is_dir() and not path.is_symlink() and any(path.iterdir()):
                    continue  # its files are told one by one
                is_file = path.is_file() and not path.is_symlink()
                found[path.relative_to(folder).as_posix()] = path.stat().st_size if is_file else None
    return found


def _raise(error: OSError) -> None:
    raise error


def _listed(folder: Path, kind: FolderKind) -> Files | None:
    """What a folder's list says; None where there is none, or one of another kind of folder."""
    try:
        record = json.loads((folder / LIST_FILE).read_text(encoding="utf-8"))
        if record["holds"] != kind.name:
            return None
        return {str(name): None if size is None else int(size) for name, size in record["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _write_list(folder: Path, kind: FolderKind) -> None:
    record = {"holds": kind.name, "files": dict(sorted(files_in(folder).items()))}
    with writing(folder):
        (folder / LIST_FILE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
