from __future__ import annotations

from pathlib import Path

from oakpoint.bench.host.machine import machine_facts

INTEL = """processor\t: 0
model name\t: Xeon 8480
flags\t\t: fpu avx2 amx_bf16 amx_tile ssse3

processor\t: 1
flags\t\t: avx512f
"""


def test_what_linux_tells(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(INTEL)
    facts = machine_facts(path)
    assert (facts["processor"], facts["features"]) == ("Xeon 8480", ["avx2", "amx_tile", "amx_bf16"])
    path.write_text("processor\t: 0\nFeatures\t: fp asimddp i8mm\n")
    assert machine_facts(path)["features"] == ["asimddp", "i8mm"]
    assert facts["versions"]["openvino"]


def test_where_nobody_tells(tmp_path: Path) -> None:
    facts = machine_facts(tmp_path / "none")
    assert facts["features"] == []
    assert facts["processor"]
    assert facts["cores"] >= 1
