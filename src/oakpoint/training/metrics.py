"""``metrics.jsonl`` of a run: one record a line, of which a killed run may leave half a line, and a user anything."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oakpoint.files import replacing_file, writing

METRICS_FILE = "metrics.jsonl"

_log = logging.getLogger(__name__)


def append_metrics(path: Path, record: Mapping[str, Any]) -> None:
    """Add a record, with the steps done under ``step``.

    Raises:
        OutputError: it cannot be written.
    """
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The records that can be read; none where there is no file."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    records = [record for line in lines if (record := _record(line)) is not None]
    if len(records) < len(lines):
        _log.info("%s: %d of %d lines cannot be read and are left out", path, len(lines) - len(records), len(lines))
    return records


def drop_metrics_after(path: Path, step: int) -> None:
    """Drop the records of steps past a checkpoint, which will be taken again.

    Raises:
        OutputError: the file cannot be written.
    """
    if not path.is_file():
        return
    kept = [record for record in read_metrics(path) if record["step"] <= step]
    with writing(path), replacing_file(path) as new:
        new.write_text("".join(f"{json.dumps(record)}\n" for record in kept), encoding="utf-8")


def _record(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict) or not isinstance(record.get("step"), int):
        return None
    validation = record.get("validation", {})
    if not isinstance(validation, dict):
        return None
    losses = [value for name, value in record.items() if name.endswith("_loss")]
    return record if all(_is_figure(value) for value in (*losses, *validation.values())) else None


def _is_figure(value: object) -> bool:
    return value is None or isinstance(value, float | int)
