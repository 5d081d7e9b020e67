"""A tensor that is scaled later is no fault; one that is wrong is."""

from __future__ import annotations

import pytest

from oakpoint.layers.debug.errors import LayerError, Size
from oakpoint.layers.debug.other_forms import in_another_form

READS = {"enlarged": {"image"}, "pooled": {"enlarged"}, "scaled": {"pooled"}, "out": {"scaled"}}


def error(tensor: str, own: float, grown: float) -> LayerError:
    return LayerError(
        tensor=tensor,
        shape=(4,),
        layers=(),
        grown=Size(grown, grown),
        own=Size(own, own),
        rounding=Size(0.0, 0.0),
        largest_expected=1.0,
        kind="jump" if own > 0.1 else "fine",
    )


def found(**errors: tuple[float, float]) -> tuple[set[str], set[str]]:
    return in_another_form({name: error(name, *sizes) for name, sizes in errors.items()}, READS, {"out"})


def test_what_is_made_up_for_by_a_later_layer() -> None:
    others, readers = found(enlarged=(254, 254), pooled=(0, 254), scaled=(0.996, 1e-4), out=(1e-4, 1e-4))
    assert others == {"enlarged", "pooled"}
    assert readers == {"scaled"}


@pytest.mark.parametrize("grown", [254.0, 1e-4])
def test_a_fault_whose_readers_are_right(grown: float) -> None:
    """Also where nothing of it is left in the end: what a ReLU cuts off, say."""
    others, readers = found(enlarged=(254, 254), pooled=(0, grown), scaled=(0, grown), out=(0, grown))
    assert not others | readers


def test_an_output_is_in_no_other_form() -> None:
    others, _ = found(enlarged=(0, 0), pooled=(0, 0), scaled=(0, 0), out=(254, 254))
    assert not others
