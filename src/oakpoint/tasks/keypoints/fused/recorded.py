"""A decoding graph that a bundle holds, and what it was made for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from oakpoint.bundle.interface import Interface
from oakpoint.tasks.keypoints.fused.running import levels_of
from oakpoint.tasks.keypoints.task import Keypoints


@dataclass(frozen=True, slots=True)
class RecordedGraph:
    """A file, with the options of decoding and the size that are part of it.

    Attributes:
        path: the ONNX.
        interface: what it takes.
        task: how it decodes.
    """

    path: Path
    interface: Interface
    task: Keypoints

    def serves(self, interface: Interface, task: Keypoints) -> bool:
        """Whether it is the graph that would be made for a network.

        Args:
            interface: of the network, at the size of the images.
            task: how its outputs are to be decoded.
        """
        if self.task != task or len(interface.inputs) != 1:
            return False
        wanted = levels_of(interface)
        if wanted.tensors != self.interface.tensors or wanted.image.layout != self.interface.image.layout:
            return False
        asked, there = wanted.image, self.interface.image
        return bool(np.all(asked.mean == np.asarray(there.mean)) and np.all(asked.scale == np.asarray(there.scale)))
