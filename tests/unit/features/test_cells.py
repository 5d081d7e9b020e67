from __future__ import annotations

import pytest

from oakpoint.errors import UsageError
from oakpoint.features.cells import require_cells, require_multiples


def test_whole_cells_are_taken() -> None:
    assert require_cells((320, 200)) == (320, 200)


@pytest.mark.parametrize(
    ("size", "nearest"), [((321, 200), "320x200"), ((3, -5), "8x8"), ((0, 8), "8x8"), ((8, 12), "8x16")]
)
def test_others_are_refused_with_the_nearest(size: tuple[int, int], nearest: str) -> None:
    with pytest.raises(UsageError, match=rf"size: expected positive multiples of 8, got .*; the nearest is {nearest}$"):
        require_cells(size)


def test_other_steps() -> None:
    assert require_multiples((321, 199), 1) == (321, 199)
    with pytest.raises(
        UsageError, match=r"size: expected positive multiples of 32, got 328x200; the nearest is 320x192$"
    ):
        require_multiples((328, 200), 32)
