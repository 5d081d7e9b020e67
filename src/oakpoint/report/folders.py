"""Folders of reports: the page, its facts for machines, and what else a command writes beside them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from oakpoint.bundle.manifest import PAGE_FILE
from oakpoint.files import replacing_file
from oakpoint.result_folders import FolderKind, check_place, replacing_result

OPTION: Final = "--report"


@dataclass(frozen=True, slots=True)
class ReportFolder:
    """A kind of report.

    Attributes:
        name: with its article: «a verification's report».
        facts_file: where the facts stand.
    """

    name: str
    facts_file: str

    @property
    def kind(self) -> FolderKind:
        """The kind of folder; one of another kind is not replaced."""
        return FolderKind(name=self.name, option=OPTION)

    def check(self, folder: Path | None) -> None:
        """Refuse to replace what is not an earlier report of this kind alone; None is no folder.

        Raises:
            OutputError: a file, or a folder with other things in it.
        """
        if folder is not None:
            check_place(folder, self.kind)

    def write(
        self, folder: Path, html: str, facts: Mapping[str, Any], beside: Callable[[Path], object] = lambda _: None
    ) -> None:
        """Write a report, whole or not at all.

        Args:
            folder: where to.
            html: the page.
            facts: what it shows, for machines.
            beside: writes further files into the folder that it is given.

        Raises:
            OutputError: see ``check``; or it cannot be written.
        """
        with replacing_result(folder, self.kind) as place:
            write_facts(place / self.facts_file, facts)
            beside(place)
            write_text(place / PAGE_FILE, html)


VERIFICATION: Final = ReportFolder("a verification's report", "verification.json")
CHECK: Final = ReportFolder("a check's report", "check.json")
DEBUGGING: Final = ReportFolder("a debugging report", "debug.json")
EVALUATION: Final = ReportFolder("an evaluation's report", "evaluation.json")
TUNING: Final = ReportFolder("a search's report", "tune.json")
CAMERA: Final = ReportFolder("a camera's report", "report.json")
BENCHMARK: Final = ReportFolder("a benchmark's report", "benchmark.json")


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with replacing_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")  # paths may hold other bytes


def write_facts(path: Path, facts: Mapping[str, Any]) -> None:
    """Write facts as JSON, whole or not at all."""
    write_text(path, json.dumps(facts, indent=2, allow_nan=False, default=str) + "\n")
