"""Networks tried out on nothing, to see what they give before they are exported or opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from oakpoint.backends.registry import ModelSource, RuntimeOptions, open_backend
from oakpoint.bundle.interface import Input, TensorSpec
from oakpoint.networks.registry import LoadedNetwork

Outputs = Sequence[str] | Mapping[str, str] | None


def tried_outputs(network: LoadedNetwork, inputs: tuple[Input, ...], outputs: Outputs) -> tuple[TensorSpec, ...]:
    """What a torch network gives: names, types and shapes of the outputs for one image.

    Args:
        network: the network.
        inputs: with all sizes, but for an open batch.
        outputs: which of its outputs are wanted; None for all.

    Raises:
        BackendError: it fails on zeros of these sizes.
    """
    specs = tuple(_at_one(given.tensor) for given in inputs)
    source = ModelSource(module=network.module, outputs=outputs)
    with open_backend(source, RuntimeOptions(backend="torch"), specs) as backend:
        found = backend.run({spec.name: np.zeros(spec.shape, spec.dtype) for spec in specs})  # type: ignore[arg-type]
    return tuple(TensorSpec(name, array.dtype.name, array.shape) for name, array in found.items())


def _at_one(spec: TensorSpec) -> TensorSpec:
    return TensorSpec(spec.name, spec.dtype, tuple(1 if isinstance(side, str) else side for side in spec.shape))
