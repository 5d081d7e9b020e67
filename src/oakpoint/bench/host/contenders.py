"""What is measured against what: ways from an image to a result, each at some numbers of threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from oakpoint.errors import UsageError

TUTORIAL: Final = "tutorial"
"""Name of the way that ``tutorial`` has; the others are called by runtime and precision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way from an image to what a network finds.

    Attributes:
        name: in tables, and for ``--against``.
        backend: the runtime.
        precision: of its arithmetic.
        tutorial: reads the outputs as the original tutorial does, see ``bench.host.tutorial``.
        loading: further arguments of ``oakpoint.load``.
    """

    name: str
    backend: str
    precision: str = "f32"
    tutorial: bool = False
    loading: Mapping[str, Any] = field(default_factory=dict)


WAYS: Final = (
    Way(name=TUTORIAL, backend="openvino", tutorial=True, loading={"decoding": "numpy"}),
    Way(name="torch f32", backend="torch"),
    Way(name="onnxruntime f32", backend="onnxruntime"),
    Way(name="openvino f32", backend="openvino"),
    Way(name="openvino f32 numpy", backend="openvino", loading={"decoding": "numpy"}),
    Way(name="openvino f32 graph", backend="openvino", loading={"decoding": "graph"}),
    Way(name="openvino bf16", backend="openvino", precision="bf16"),
    Way(name="openvino f16", backend="openvino", precision="f16"),
    Way(name="openvino int8", backend="openvino", precision="int8"),
)
"""Every row that a table can have, in its order. A further way of running a network is a further line."""

BACKENDS: Final = tuple(dict.fromkeys(way.backend for way in WAYS))
PRECISIONS: Final = tuple(dict.fromkeys(way.precision for way in WAYS))


@dataclass(frozen=True, slots=True)
class Contender:
    """A way at a number of threads.

    Attributes:
        way: the way.
        threads: CPU threads of the runtime.
    """

    way: Way
    threads: int

    @property
    def label(self) -> str:
        """In words."""
        return f"{self.way.name}, {self.threads} thread{'s' if self.threads > 1 else ''}"


def contenders(
    backends: Sequence[str], precisions: Sequence[str], threads: Sequence[int], *, tutorial: bool
) -> tuple[Contender, ...]:
    """Everything that takes part, in the table's order, for each number of threads.

    Args:
        backends: of ``BACKENDS``.
        precisions: of ``PRECISIONS``; each runtime takes part with those that it has.
        threads: at least one number.
        tutorial: whether its way takes part, too, whatever backends and precisions are.

    Raises:
        UsageError: an unknown backend or precision, or none of the backends has one of the precisions.
    """
    for name, given, known in (("backends", backends, BACKENDS), ("precisions", precisions, PRECISIONS)):
        if unknown := [word for word in given if word not in known]:
            raise UsageError(f"--{name}: expected some of {','.join(known)}, got {unknown[0]!r}")
    ways = [way for way in WAYS if not way.tutorial and way.backend in backends and way.precision in precisions]
    if not ways:
        raise UsageError(f"--precisions: {', '.join(backends)} runs at f32, not at {', '.join(precisions)}")
    ours = [way for way in WAYS if way in ways or (tutorial and way.tutorial)]
    return tuple(Contender(way, number) for number in sorted(set(threads)) for way in ours)
