"""What every description of a model answers, and what it is opened to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oakpoint.backends.base import Backend
from oakpoint.backends.identity import sha256_of_model
from oakpoint.backends.registry import INT8, ModelSource, RuntimeOptions
from oakpoint.bundle.interface import Interface
from oakpoint.bundle.records import WeightsRecord
from oakpoint.errors import UsageError
from oakpoint.files import sha256_of_file
from oakpoint.models.inputs import InputOptions
from oakpoint.networks.registry import LoadedNetwork
from oakpoint.predictor import ModelIdentity
from oakpoint.tasks.base import Task
from oakpoint.tasks.keypoints.fused.recorded import RecordedGraph

if TYPE_CHECKING:
    import onnx

Size = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """What may be said of a model beside its name; what does not fit the kind of model is refused.

    Attributes:
        weights: the weights file of a network given by name; of a bundle only the torch backend needs it.
        seed: initialise a network given by name at random instead.
        arguments: of a network's class or factory, by name.
        outputs: wanted name → the network's own name of an output; None for all.
        inputs: what its inputs want.
        task: what its outputs mean; None finds out.
    """

    weights: Path | None = None
    seed: int | None = None
    arguments: Mapping[str, object] = field(default_factory=dict)
    outputs: Mapping[str, str] | None = None
    inputs: InputOptions = field(default_factory=InputOptions)
    task: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Runnable:
    """A model opened for one backend, at no size yet.

    Attributes:
        open_at: opens it for images of (W, H) pixels.
        source: gives the forms in which it is at hand; of a network by name what it was exported to.
        interface: what it takes.
        task: what its outputs mean.
        identify: tells it from others.
        has_size: images are scaled to the interface's size unless another is asked for.
        one_size: it runs at that size only.
        prepare: does what takes long once, so that what goes wrong with it is said before the first image; it is given
            the size of all images, None where they have sizes of their own.
        decoding_graph: one that is at hand; None where there is none.
    """

    open_at: Callable[[Size], Backend]
    source: Callable[[], ModelSource]
    interface: Interface
    task: Task[Any]
    identify: Callable[[], ModelIdentity]
    has_size: bool
    one_size: bool = False
    prepare: Callable[[Size | None], None] = lambda _: None
    decoding_graph: RecordedGraph | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A model to convert: exactly one of ``network`` and ``model`` is there.

    Attributes:
        name: as the manifest will call it.
        weights: the record of its weights.
        interface: what it takes, at the size that was asked for, and what it gives where that is known before.
        task: what its outputs mean.
        network: the torch network.
        outputs: which of its outputs are exported, and under which names.
        model: the ONNX model, its sizes fixed.
        names: what its inputs and outputs are called in the chain, by their own names; empty where they keep them.
        parent: sha256 of the file it came from, if any.
    """

    name: str
    weights: WeightsRecord
    interface: Interface
    task: Task[Any]
    network: LoadedNetwork | None = None
    outputs: Sequence[str] | Mapping[str, str] | None = None
    model: onnx.ModelProto | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    parent: str | None = None


class Model(ABC):
    """A bundle, a file or a network's name, with what was said of it. Frozen, picklable, opened as often as wanted."""

    @abstractmethod
    def runnable(self, options: RuntimeOptions) -> Runnable:
        """The model for one backend.

        Raises:
            OakpointError: one of its kinds, from reading it.
        """

    @abstractmethod
    def origin(self, size: Size | None) -> Origin:
        """The model as the start of a conversion.

        Args:
            size: (W, H) of its images in pixels; None for its own.

        Raises:
            UsageError: no size, or one that it does not hold for.
            OakpointError: from reading it.
        """

    @property
    def changes_with_its_code(self) -> bool:
        """Whether more than files and weights decides on what it computes, so that nothing can be kept of it."""
        return False


def identity_of_file(path: Path, formerly: str | None = None) -> ModelIdentity:
    """Of a model that a runtime reads from a file and what belongs to it."""
    return ModelIdentity(sha256_of_model(path), formerly or sha256_of_file(path))


def identity_of_files(paths: Sequence[Path], formerly: str) -> ModelIdentity:
    """Of a model that runs from several files, one after the other."""
    identities = [identity_of_file(path, formerly).model for path in paths]
    return ModelIdentity(" then ".join(identities), formerly)


def require_nothing_said(path: Path, options: ModelOptions) -> None:
    """Refuse options for what tells of itself; weights are another matter.

    Raises:
        UsageError: some were given.
    """
    if replace(options, weights=None, seed=None) != ModelOptions():
        raise UsageError(
            f"{path}: a bundle's manifest tells of its inputs, outputs and task; leave out --arg, --output, --shape, "
            "--task and the image's options, or convert the network again with them"
        )


def require_float(of: str, options: RuntimeOptions) -> None:
    """Refuse INT8 for what has no form in it.

    Raises:
        UsageError: it was asked for.
    """
    if options.precision == INT8:
        raise UsageError(
            f"{of}: precision {INT8} is for a bundle that has an INT8 model; make one with  oakpoint convert {of} "
            "--int8 --out BUNDLE"
        )


def require_own_weights(path: Path, options: ModelOptions) -> None:
    """Refuse weights for what holds its own.

    Raises:
        UsageError: weights or a seed.
    """
    if options.weights is not None or options.seed is not None:
        raise UsageError(
            f"{path}: holds its own weights; leave out --weights and --random, which are for networks by name"
        )
