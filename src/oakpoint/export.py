"""A torch network for runtimes that take ONNX: exported once, and again where one export does not hold for every size.

torch's exporter writes down numbers that Python computed from the image's size, such as the size to which a coarser
level is resized, a grid of coordinates, or a position embedding. A runtime that is given another size keeps them, and
is wrong without a word, or fails. So an export that is to serve other sizes is compared with the network at some.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Backend, Tensors
from oakpoint.backends.registry import ModelSource, RuntimeOptions, open_backend
from oakpoint.bundle.interface import Interface, TensorSpec
from oakpoint.errors import BackendError, naming
from oakpoint.networks.registry import LoadedNetwork

logger = logging.getLogger(__name__)

Outputs = Sequence[str] | Mapping[str, str] | None
"""Which outputs of a network are wanted; see ``networks.outputs.chosen_outputs``."""

REFERENCE_SIZE = (64, 64)
"""At which a network that is to serve images of any size is exported first."""

OTHER_SIZES = ((104, 72), (96, 160), (192, 128))
"""At which an export is compared with its network: odd numbers of cells, upright, and multiples of 64."""

SAME = 1e-4
"""Largest difference, relative to the largest output: float32 sums in another order, as in the chain."""

MAX_KEPT_EXPORTS = 32
"""Files of as many image sizes are kept for a network that needs one for each."""


def why_one_size(
    network: LoadedNetwork, onnx: Path, interface: Interface, outputs: Outputs, *, size: tuple[int, int]
) -> str | None:
    """Why an export holds for no size but its own; None where it gives at others what the network gives.

    Sizes that the network itself does not take are left out.

    Args:
        network: the network.
        onnx: its export.
        interface: its inputs.
        outputs: names of what it returns.
        size: (W, H) in pixels at which it was exported.

    Returns:
        A clause that names the size and what was found there.
    """
    refusal: str | None = "there is no other"
    for other in OTHER_SIZES:
        if other == size:
            continue
        try:
            source = ModelSource(module=network.module, outputs=outputs)
            expected = _outputs(source, "torch", interface.at(other))
        except BackendError as error:
            refusal = refusal and str(error)
            continue
        refusal = None
        at = f"{other[0]}x{other[1]}"
        try:
            found = _outputs(ModelSource(onnx=onnx), "onnxruntime", interface.at(other))
        except BackendError:
            return f"exported at {size[0]}x{size[1]}, it cannot be run at {at}, where the network can"
        if any(expected[name].shape != found[name].shape for name in expected):
            return f"exported at {size[0]}x{size[1]}, its outputs at {at} have other shapes than the network's"
        difference = max(_difference(expected[name], found[name]) for name in expected)
        if not difference <= SAME:
            return (
                f"exported at {size[0]}x{size[1]}, its outputs at {at} differ from the network's by {difference:.2g} "
                "of the largest"
            )
    return refusal and f"it could be compared with the network at no other size ({refusal})"


def _outputs(source: ModelSource, backend: str, interface: Interface) -> Tensors:
    with open_backend(source, RuntimeOptions(backend=backend), interface.tensors) as opened:
        return opened.run({spec.name: _noise(spec) for spec in interface.tensors})


def _noise(spec: TensorSpec) -> NDArray[Any]:
    return np.random.default_rng(0).random(spec.shape, np.float32)  # type: ignore[arg-type]


def _difference(expected: NDArray[Any], found: NDArray[Any]) -> float:
    """Largest difference relative to the largest value; NaN where only one is."""
    same = (expected == found) | (np.isnan(expected) & np.isnan(found))
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0.0, np.abs(expected - found))
    largest = np.abs(expected[np.isfinite(expected)]).max(initial=0.0)
    return float(apart.max(initial=0.0) / max(float(largest), np.finfo(np.float32).tiny))


class ExportedNetwork:
    """Opens a torch network in a runtime that takes ONNX, at any size; the files go with the last reference to it.

    One export serves all sizes where it holds for them; otherwise each size has its own, which is logged.
    """

    def __init__(self, network: LoadedNetwork, options: RuntimeOptions, interface: Interface, outputs: Outputs) -> None:
        self._network, self._options = network, options
        self._interface, self._outputs = interface, outputs
        self._folder: Path | None = None
        self._first: Path | None = None
        self._for_all: Path | None = None
        self._exports: OrderedDict[tuple[int, int], Path] = OrderedDict()
        self._exporting = threading.Lock()

    @property
    def source(self) -> ModelSource:
        """The first export; where each size has its own, the others differ from it in what follows from it."""
        assert self._first is not None, "export comes first"
        return ModelSource(onnx=self._first)

    def export(self, size: tuple[int, int] | None) -> None:
        """Export now, so that a network that cannot be exported is said before the first image.

        Args:
            size: (W, H) in pixels, of all images; None where they have sizes of their own.

        Raises:
            ConversionError: torch cannot export it.
        """
        path = self._first = self._exported(size or REFERENCE_SIZE)
        if size is not None:
            return
        reason = why_one_size(self._network, path, self._interface, self._outputs, size=REFERENCE_SIZE)
        if reason is None:
            self._for_all = path
        else:
            logger.warning(
                "%s: %s: numbers in it follow from the image's size, so it is exported again for each one, which takes "
                "some seconds; the backend torch, or one size for all images, is faster",
                self._network.name,
                reason,
            )

    def open(self, size: tuple[int, int]) -> Backend:
        """Open the network for images of (W, H) pixels.

        Raises:
            ConversionError: torch cannot export it at this size.
            BackendError: the runtime cannot run it.
        """
        with self._exporting:
            path = self._for_all or self._exported(size)
        with naming(path, f"{self._network.name}, exported"):
            return open_backend(ModelSource(onnx=path), self._options, self._interface.at(size).tensors)

    def _exported(self, size: tuple[int, int]) -> Path:
        from oakpoint.convert.onnx_from_torch import export_onnx

        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="oakpoint-model-"))
            weakref.finalize(self, shutil.rmtree, self._folder, True)  # TemporaryDirectory would warn of that
        if size not in self._exports:
            path = self._folder / f"{size[0]}x{size[1]}.onnx"
            inputs = self._interface.at(size).tensors
            export_onnx(self._network.module, path, inputs=inputs, outputs=self._outputs)
            self._exports[size] = path
        self._exports.move_to_end(size)
        if len(self._exports) > MAX_KEPT_EXPORTS:
            oldest = next(other for other, path in self._exports.items() if path != self._first)
            self._exports.pop(oldest).unlink()
        return self._exports[size]
