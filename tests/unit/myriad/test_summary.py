"""The blob for a reader."""

from __future__ import annotations

import json

from oakpoint.myriad.blob import Blob
from oakpoint.myriad.summary import summarize, summary_as_json


def test_rows_and_totals(tiny: Blob) -> None:
    summary = summarize(tiny)
    assert (summary.version, summary.shaves, summary.cmx_slices) == ("6.0", 6, 6)
    assert summary.inputs == ("image: U8 NCHW 1x1x32x48",)
    assert summary.stage_counts == {"MyriadXHwOp": 5, "Convert": 1, "Permute": 1, "Copy": 1, "Softmax": 1}
    assert [row.index for row in summary.rows] == list(range(8))
    assert summary.rows[2].operations.startswith("conv_pool 3x3 ")
    assert summary.rows[5].name == "MyriadXHwOp + Permute"
    assert summary.rows[6].inputs == ("NCHW 1x17x8x12 FP16 at CMX+0xbb800",)
    assert 0 < summary.cmx_used_bytes <= 6 * 128 * 1024
    assert summary.estimate.total_ms > 0


def test_json_holds_the_same_facts(tiny: Blob) -> None:
    summary = summarize(tiny)
    read = json.loads(json.dumps(summary_as_json(summary)))
    assert read["estimate"]["total_ms"] == summary.estimate.total_ms
    assert read["estimate"]["uncertainty"] == 0.3
    assert all(constant["source"] for constant in read["estimate"]["constants"])
    assert len(read["rows"]) == 8
    assert read["rows"][2]["cost"]["engine_cycles"] == summary.rows[2].cost.engine_cycles
