"""A torch network by name: ``acorn``, ``superpoint``, ``package.module:Class``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from oakpoint.backends.identity import described_network, described_shipped, identity_of_network
from oakpoint.backends.registry import ModelSource, RuntimeOptions, file_that_runs, open_backend
from oakpoint.bundle.interface import OPEN_BATCH, Interface, TensorSpec
from oakpoint.errors import BackendError, UsageError
from oakpoint.export import REFERENCE_SIZE, ExportedNetwork
from oakpoint.features.cells import require_multiples
from oakpoint.features.types import DecodeOptions
from oakpoint.models.base import Model, ModelOptions, Origin, Runnable, Size, require_float
from oakpoint.models.inputs import ImageOptions, InputOptions, Look, inputs_of
from oakpoint.models.probing import tried_outputs
from oakpoint.networks.registry import (
    NETWORKS,
    LoadedNetwork,
    NetworkEntry,
    load_network,
    shipped_onnx,
    shipped_weights,
)
from oakpoint.predictor import ModelIdentity
from oakpoint.tasks.base import Task
from oakpoint.tasks.keypoints.families.score_map import ScoreMap
from oakpoint.tasks.keypoints.task import INPUT, Keypoints
from oakpoint.tasks.registry import recognised_task


@final
@dataclass(frozen=True, slots=True)
class NetworkModel(Model):
    """A network by name.

    Attributes:
        name: of the network.
        options: what was said of it.
    """

    name: str
    options: ModelOptions

    def loaded(self) -> LoadedNetwork:
        """The network with its weights.

        Raises:
            UsageError, WeightsError, MissingExtraError: see ``load_network``.
        """
        options = self.options
        return load_network(self.name, options.weights, seed=options.seed, arguments=options.arguments)

    def runnable(self, options: RuntimeOptions) -> Runnable:
        """See ``Model.runnable``: the network itself for torch; for the other runtimes what it is exported to.

        Where that comes with oakpoint, torch is not needed.
        """
        require_float(self.name, options)
        if (shipped := self._shipped(options)) is not None:
            return shipped
        network = self.loaded()
        tried = _tried(network, self.options, REFERENCE_SIZE)
        if options.backend == "torch":
            source = ModelSource(module=network.module, outputs=tried.outputs)
            return Runnable(
                open_at=lambda size: open_backend(source, options, tried.interface.at(size).tensors),
                source=lambda: source,
                interface=tried.interface,
                task=tried.task,
                identify=lambda: ModelIdentity(identity_of_network(network, None), described_network(network)),
                has_size=False,
            )
        exported = ExportedNetwork(network, options, tried.interface, tried.outputs)
        return Runnable(
            open_at=exported.open,
            source=lambda: exported.source,
            interface=tried.interface,
            task=tried.task,
            identify=lambda: ModelIdentity(
                identity_of_network(network, exported.source.onnx), described_network(network)
            ),
            has_size=False,
            prepare=exported.export,
        )

    def _shipped(self, options: RuntimeOptions) -> Runnable | None:
        """The ONNX that comes with oakpoint, where it is what was asked for and the backend runs it."""
        onnx, weights = shipped_onnx(self.name), shipped_weights(self.name)
        source = ModelSource(onnx=onnx)
        if onnx is None or weights is None or file_that_runs(source, options.backend) is None:
            return None
        if not _as_it_comes(self.options):
            return None
        tried = _tried_file(self.name, onnx, self.options)
        described = described_shipped(self.name, weights)
        return Runnable(
            open_at=lambda size: open_backend(source, options, tried.interface.at(size).tensors),
            source=lambda: source,
            interface=tried.interface,
            task=tried.task,
            identify=lambda: ModelIdentity(described, described),
            has_size=False,
        )

    def origin(self, size: Size | None) -> Origin:
        """See ``Model.origin``."""
        if size is None and not self.options.inputs.shapes:
            raise UsageError("size: needed for a network or an ONNX file, as --size 320x200 (width x height)")
        network = self.loaded()
        tried = _tried(network, self.options, size)
        return Origin(
            name=network.name,
            weights=network.weights,
            interface=tried.interface,
            task=tried.task,
            network=network,
            outputs=tried.outputs,
            parent=network.weights.sha256,
        )

    @property
    def changes_with_its_code(self) -> bool:
        """See ``Model.changes_with_its_code``: a class of the user's own does."""
        return self.name not in NETWORKS


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tried:
    """What a network takes and gives, and how its outputs are called in the chain: new name → its own."""

    interface: Interface
    task: Task[Any]
    outputs: Mapping[str, str]


def _tried(network: LoadedNetwork, options: ModelOptions, size: Size | None) -> _Tried:
    """Find out what a network takes and gives at a size, by running it on zeros.

    A class of the user's says nothing of its image's channels: it is tried on grey, and on colours where it does not
    take that.

    Raises:
        UsageError: options that do not fit it, or a size that its task does not take.
        BackendError: it fails.
    """
    from oakpoint.networks.calling import input_names

    entry = NETWORKS.get(network.name)
    if entry is not None and size is not None:
        require_multiples(size, entry.multiple)
    said = options.inputs if entry is None else _known(entry, options.inputs)
    channels = (1, 3) if said.image.colour is None else (1,) if said.image.colour == "grey" else (3,)
    failure: BackendError | None = None
    for number in channels:
        declared = _declared(network, options, size, number)
        looks: dict[str, Look] = {spec.name: ("nchw", number) for spec in declared if _is_image(spec)}
        inputs = inputs_of(declared, looks, said, size, of=network.name)
        try:
            found = tried_outputs(network, inputs, options.outputs)
        except BackendError as error:
            failure = failure or error
            continue
        return _settled(network.name, network.decode_preset, options, Interface(inputs=inputs, outputs=found))
    assert failure is not None
    name = next(iter(input_names(network.module)), INPUT)
    raise BackendError(
        f"{failure}; it was tried with {' and with '.join('grey' if n == 1 else 'colours' for n in channels)}: "
        f"give the shape of what it takes, such as --shape {name}=1x4x48x64"
    ) from failure


def _as_it_comes(said: ModelOptions) -> bool:
    """Whether nothing was said of a network that would make another one of it, or take other tensors."""
    pictures_alone = replace(said.inputs, image=ImageOptions())
    return said.task in (None, Keypoints.name) and replace(said, task=None, inputs=pictures_alone) == ModelOptions()


def _tried_file(name: str, onnx: Path, options: ModelOptions) -> _Tried:
    """The same as ``_tried`` finds at ``REFERENCE_SIZE``, read from what was exported at that size.

    Raises:
        UsageError: options that do not fit it.
    """
    entry = NETWORKS[name]
    width, height = REFERENCE_SIZE
    declared = (TensorSpec(INPUT, "float32", (OPEN_BATCH, entry.channels, height, width)),)
    looks: dict[str, Look] = {INPUT: ("nchw", entry.channels)}
    inputs = inputs_of(declared, looks, _known(entry, options.inputs), REFERENCE_SIZE, of=name)
    interface = Interface(inputs=inputs, outputs=_outputs_of(onnx))
    return _settled(name, entry.decode_preset, options, interface)


def _outputs_of(path: Path) -> tuple[TensorSpec, ...]:
    """The outputs of an ONNX with all sizes in numbers, at these sizes."""
    import onnx

    outputs = onnx.load(path, load_external_data=False).graph.output
    shapes = {value.name: tuple(side.dim_value for side in value.type.tensor_type.shape.dim) for value in outputs}
    return tuple(TensorSpec(name, "float32", shape) for name, shape in shapes.items())


def _declared(
    network: LoadedNetwork, options: ModelOptions, size: Size | None, channels: int
) -> tuple[TensorSpec, ...]:
    """The inputs of a network: those whose shapes were given, or else one image."""
    from oakpoint.networks.calling import input_names

    if options.inputs.shapes:
        return tuple(TensorSpec(name, "float32", shape) for name, shape in options.inputs.shapes.items())
    if len(names := input_names(network.module)) > 1:
        hint = " ".join(f"--shape {name}=1x3x320x320" for name in names)
        raise UsageError(f"{network.name}: its forward takes {', '.join(names)}; give the shape of each: {hint}")
    assert size is not None, "asked for where no shapes were given"
    return (TensorSpec(INPUT, "float32", (OPEN_BATCH, channels, size[1], size[0])),)


def _is_image(spec: TensorSpec) -> bool:
    return len(spec.shape) == 4 and spec.shape[1] in (1, 3)


def _known(entry: NetworkEntry, said: InputOptions) -> InputOptions:
    """What a network that is known by name wants, where nothing else was said."""
    image = ImageOptions(
        colour=said.image.colour or entry.colour,
        mean=_number(entry.mean) if said.image.mean is None else said.image.mean,
        scale=_number(entry.scale) if said.image.scale is None else said.image.scale,
        resize=said.image.resize,
        interpolation=said.image.interpolation,
        padding_value=said.image.padding_value,
    )
    return replace(said, image=image)


def _number(values: tuple[float, ...]) -> float | tuple[float, ...]:
    return values[0] if len(values) == 1 else values


def _settled(name: str, decode_preset: str, options: ModelOptions, interface: Interface) -> _Tried:
    """Recognise the task, and give the outputs its names."""
    entry = NETWORKS.get(name)
    task: Task[Any] = recognised_task(interface, options.task or ("keypoints" if entry else None))
    if isinstance(task, Keypoints):
        activated = entry is not None and entry.scores == "pixel_logits" and task.family != ScoreMap.name
        decode = DecodeOptions.preset(decode_preset)
        task = replace(task, decode=decode, activated=activated, multiple=entry.multiple if entry else None)
    if interface.size is not None:
        task.require_size(interface.size)
    names = task.chain_names(interface)
    outputs = {names.get(spec.name, spec.name): spec.name for spec in _wanted(interface, names)}
    if options.outputs is not None:
        outputs = {name: options.outputs[own] for name, own in outputs.items()}
    renamed = {spec.name: spec for spec in interface.outputs}
    specs = tuple(replace(renamed[own], name=name) for name, own in _own_names(outputs, options).items())
    inputs = tuple(
        replace(given, tensor=replace(given.tensor, name=names.get(given.tensor.name, given.tensor.name)))
        for given in interface.inputs
    )
    return _Tried(interface=Interface(inputs=inputs, outputs=specs), task=task, outputs=outputs)


def _own_names(outputs: Mapping[str, str], options: ModelOptions) -> dict[str, str]:
    """Chain's name → the name under which the trial gave it."""
    if options.outputs is None:
        return dict(outputs)
    back = {own: wanted for wanted, own in options.outputs.items()}
    return {name: back[own] for name, own in outputs.items()}


def _wanted(interface: Interface, names: Mapping[str, str]) -> tuple[TensorSpec, ...]:
    """The outputs that the task reads, in its order; all of them where it reads whatever comes."""
    told = {spec.name: spec for spec in interface.outputs}
    chosen = tuple(told[own] for own in names if own in told)
    return chosen or interface.outputs
