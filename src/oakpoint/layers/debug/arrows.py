"""An arrow of the chain, walked layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.bundle.interface import Interface
from oakpoint.layers.debug.errors import LayerError, Limits, Measured
from oakpoint.layers.debug.looking import Divisible, Seen, in_fp16
from oakpoint.layers.debug.onnx_layers import OnnxLayers
from oakpoint.layers.debug.other_forms import in_another_form
from oakpoint.layers.names import Layer
from oakpoint.layers.portions import portions

Images = Mapping[str, NDArray[np.uint8]]
Feed = Callable[[NDArray[np.uint8]], Tensors]
Progress = Callable[[str], None]

_MOST_BYTES: Final = 192 * 2**20
"""Of tensors that are looked at in one run; about five times as much is held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrow:
    """One form of a network and the next, which should compute the same.

    Attributes:
        stage: its name.
        reference: the form that is believed.
        feed: the reference's inputs for an image.
        candidate: the form that is judged.
        candidate_feed: its inputs for an image.
        limits: what one of its layers may add.
        layers_of: the user's layers by which a tensor comes from others that are looked at.
        rounded: the reference again, with constants of FP16, where the candidate has these or rounds what layers give;
            several times with constants rounded otherwise, since their errors may cancel by chance; empty where nothing
            is rounded.
        graph: the reference as an ONNX network.
        interface: of the reference, as ``feed`` makes its inputs.
        reported: names of the tensors on which to report; None for all that both forms have.
        outputs_differ: what is wrong with the names and shapes of the candidate's outputs; empty for nothing.
    """

    stage: str
    reference: Seen
    feed: Feed
    candidate: Divisible
    candidate_feed: Feed
    limits: Limits
    layers_of: Callable[[str, Sequence[str]], Sequence[Layer]]
    graph: OnnxLayers
    interface: Interface
    rounded: tuple[Divisible, ...] = ()
    reported: frozenset[str] | None = None
    outputs_differ: str = ""

    def tensors(self) -> list[str]:
        """Names of the tensors that both forms have, in the candidate's order of execution."""
        mine, theirs = self.candidate.shapes, self.reference.shapes
        return [name for name in mine if theirs.get(name) == mine[name]]


def walk(arrow: Arrow, images: Images, progress: Progress) -> list[LayerError]:
    """Compare every tensor that both forms of an arrow have.

    Args:
        arrow: the arrow.
        images: to run both on.
        progress: told what is being done.

    Raises:
        BackendError: one of the two cannot be run.
    """
    names = arrow.tensors()
    wanted = [name for name in names if arrow.reported is None or name in arrow.reported]
    found: dict[str, LayerError] = {}
    _compare(arrow, wanted, names, images, found, progress)
    if any(error.kind == "jump" for error in found.values()):
        reads = {name: arrow.candidate.read_by([name], names) for name in wanted}
        others, readers = in_another_form(found, reads, {spec.name for spec in arrow.interface.outputs})
        found = {name: error for name, error in found.items() if name not in others}
        again = [name for name in wanted if name in readers]
        _compare(arrow, again, [name for name in names if name not in others], images, found, progress)
    return list(found.values())


def _compare(
    arrow: Arrow,
    wanted: Sequence[str],
    names: Sequence[str],
    images: Images,
    found: dict[str, LayerError],
    progress: Progress,
) -> None:
    """Find the errors of tensors, of which each layer gets those of the names that it reads as they should be."""
    parts = portions(wanted, arrow.candidate.shapes, _MOST_BYTES)
    for number, portion in enumerate(parts, start=1):
        progress(
            f"{arrow.stage}: {len(wanted)} tensors" + (f", part {number} of {len(parts)}" if len(parts) > 1 else "")
        )
        measured = _measured(arrow, portion, names, images)
        for name in portion:
            given = [found[before] for before in arrow.candidate.read_by([name], names) if before in found]
            layers = arrow.layers_of(name, names)
            found[name] = measured[name].result(name, arrow.candidate.shapes[name], layers, arrow.limits, given)


def _measured(arrow: Arrow, names: Sequence[str], all_names: Sequence[str], images: Images) -> dict[str, Measured]:
    needed = arrow.candidate.read_by(names, all_names)
    rounded_needed = {name for form in arrow.rounded for name in form.read_by(names, all_names)}
    reference = arrow.reference.run(sorted({*names, *needed, *rounded_needed}))
    whole = arrow.candidate.run(names)
    apart = arrow.candidate.run_apart(names, sorted(needed))
    roundings = [form.run_apart(names, sorted(rounded_needed)) for form in arrow.rounded]
    measured = {name: Measured() for name in names}
    for image, picture in images.items():
        feed, fed = arrow.feed(picture), arrow.candidate_feed(picture)
        expected = reference(feed)
        grown = whole(fed)
        own = apart({**fed, **{name: expected[name] for name in needed}})
        given = {name: in_fp16(expected[name]) for name in rounded_needed}
        rounded = [rounding({**feed, **given}) for rounding in roundings]
        for name in names:
            explained = [in_fp16(tensors[name]) for tensors in rounded]
            measured[name].add(image, expected[name], grown[name], own[name], explained)
    return measured
