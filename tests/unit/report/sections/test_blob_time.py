from __future__ import annotations

import pytest

from oakpoint.report.sections.blob_time import ms_text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (0.163, "0.16"), (0.0042, "0.0042"), (5.04, "5"), (9.94, "9.9"), (131.7, "132")]
)
def test_a_short_time_is_not_told_as_none(value: float, text: str) -> None:
    assert ms_text(value) == text
