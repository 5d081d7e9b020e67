"""What a stage becomes when it is prepared: a step that runs on the memories it was prepared for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, TypeVar

from oakpoint.errors import BlobError
from oakpoint.myriad.parameters import Parameters

Step: TypeAlias = Callable[[], None]

_P = TypeVar("_P", bound=Parameters)


def expect(parameters: Parameters, kind: type[_P]) -> _P:
    """``parameters`` as the class that a stage type needs.

    Raises:
        BlobError: they are of another class.
    """
    if not isinstance(parameters, kind):
        raise BlobError(f"parameters {parameters}, expected {kind.__name__}")
    return parameters
