"""What a rewrite is, and how a list of them is applied."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import onnx

from oakpoint.bundle.records import Applied
from oakpoint.errors import Finding, UnsupportedNetworkError

COMPUTED = "_projected_"
"""In the names of constants that a rewrite computed by a decomposition: their last bits are the machine's."""


class Rewrite(ABC):
    """A change of a graph that leaves what it computes as it is.

    One class, one file, one property test that runs a graph before and after it on random inputs. The docstring says
    what is matched, what is guaranteed afterwards, and why the result is equal.

    Attributes:
        name: as the manifest calls it; stable, lower case with hyphens.
        tolerance: largest difference that the rewrite itself may make to a float32 result, relative to the largest
            value; 0 where every bit stays.
    """

    name: ClassVar[str]
    tolerance: ClassVar[float] = 0.0

    @abstractmethod
    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """Rewrite a model in place.

        Args:
            model: a valid one.

        Returns:
            The layers that were touched, by ``label``; empty where nothing was to be done.

        Raises:
            UnsupportedNetworkError: a layer that this rewrite is about cannot be brought to the device.
            ConversionError: the model cannot be taken for another reason.
        """


def apply_all(model: onnx.ModelProto, rewrites: Sequence[Rewrite]) -> tuple[Applied, ...]:
    """Apply rewrites in order, in place, and return a journal of those that changed something.

    What one of them finds does not keep the others from looking: a user hears of all layers at once. A rewrite that
    raises findings leaves the model in a valid state.

    Raises:
        UnsupportedNetworkError: layers that the target does not take, as all rewrites found them.
        ConversionError: see ``Rewrite.apply``.
    """
    journal: list[Applied] = []
    findings: dict[tuple[str, str], Finding] = {}  # the first that is said of a layer is the cause
    for rewrite in rewrites:
        try:
            layers = tuple(rewrite.apply(model))
        except UnsupportedNetworkError as error:
            for finding in error.findings:
                findings.setdefault((finding.layer, finding.operator), finding)
            continue
        except Exception:
            if findings:  # what comes after a layer that cannot be taken is its consequence
                break
            raise
        if layers:
            journal.append(Applied(rewrite=rewrite.name, layers=layers))
    if findings:
        raise UnsupportedNetworkError(tuple(findings.values()))
    return tuple(journal)


def name_of(node: Any) -> str:
    """What a finding calls a layer."""
    return str(node.name or first_output(node))


def first_output(node: Any) -> str:
    """The first output that is not left out."""
    return next(str(name) for name in node.output if name)


def label(node: Any) -> str:
    """How messages and journals name a layer."""
    return f"layer {name_of(node)!r} ({node.op_type})"
