"""What OpenVINO is told where its threads are bounded."""

from __future__ import annotations

from oakpoint.backends.openvino import configuration


def test_bounded_threads_are_tied_to_no_core() -> None:
    """Else all processes that share a machine would be tied to its first cores: benchmarks/scale.py."""
    assert configuration("CPU", "f32", 1)["ENABLE_CPU_PINNING"] is False
    assert "ENABLE_CPU_PINNING" not in configuration("CPU", "f32")
    assert "ENABLE_CPU_PINNING" not in configuration("GPU", "f32", 1)
