"""``metrics.jsonl``, whole and damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from oakpoint.errors import OutputError
from oakpoint.training.metrics import append_metrics, drop_metrics_after, read_metrics

RECORDS = [{"step": 1, "detector_loss": 4.5}, {"step": 2, "validation": {"mma_1px": 0.5, "localisation_px": None}}]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    for record in RECORDS:
        append_metrics(tmp_path / "m.jsonl", record)
    return tmp_path / "m.jsonl"


def test_records_come_back(path: Path) -> None:
    assert read_metrics(path) == RECORDS
    assert read_metrics(path.with_name("none")) == []


@pytest.mark.parametrize(
    "garbage",
    [b"moon", b"\xff\xfe\n", b"[]", b"{}", b'{"step": "x"}', b'{"step": 1, "validation": 3}', b"3", b'{"step": 2, "det',
     b'{"step": 1, "a_loss": "x"}', b'{"step": 1, "validation": {"a": []}}'],
)  # fmt: skip
def test_lines_that_cannot_be_read_are_left_out(path: Path, garbage: bytes) -> None:
    path.write_bytes(garbage + b"\n" + path.read_bytes() + garbage)
    assert read_metrics(path) == RECORDS
    drop_metrics_after(path, 1)
    append_metrics(path, RECORDS[1])
    assert read_metrics(path) == RECORDS
    assert len(path.read_text().splitlines()) == 2


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"none/m.jsonl: cannot be written \(No such file"):
        append_metrics(tmp_path / "none" / "m.jsonl", RECORDS[0])
