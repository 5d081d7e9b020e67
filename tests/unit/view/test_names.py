from __future__ import annotations

import pytest

from oakpoint.view.names import without_beginning


@pytest.mark.parametrize(
    ("mark", "expected"), [("…", ["conv1", "abcdef", "…456/b"]), ("...", ["conv1", "abcdef", "...6/b"])]
)
def test_the_end_stays(mark, expected):
    assert [without_beginning(name, 6, mark=mark) for name in ("conv1", "abcdef", "a/123456/b")] == expected
