"""``load``: a predictor from a bundle, a file or a network's name."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

from oakpoint.backends.activations import memory_bytes
from oakpoint.backends.base import Backend
from oakpoint.backends.limit import MemoryLimit
from oakpoint.backends.registry import RuntimeOptions
from oakpoint.errors import UsageError
from oakpoint.extractor import Extractor, predictor_for
from oakpoint.images.sizes import size_or_native
from oakpoint.models.base import Model, ModelOptions, Runnable, identity_of_file
from oakpoint.models.naming import model_of
from oakpoint.predictor import ModelIdentity, Predictor
from oakpoint.tasks.base import Task
from oakpoint.tasks.keypoints.fused.choice import (
    Decoding,
    checked_decoding,
    mistaken,
    open_whole,
    require_whole,
    with_dense_part,
)
from oakpoint.tasks.keypoints.task import require_keypoints
from oakpoint.threads import cores

MOST_IN_FLIGHT = 16
"""Images that a network works on at a time where nobody says how many."""

logger = logging.getLogger(__name__)


def load(
    model: str | Path,
    *,
    weights: str | Path | None = None,
    said: ModelOptions | None = None,
    size: tuple[int, int] | Sequence[int] | str | None = None,
    max_side: int | None = None,
    max_memory_gb: float | None = None,
    backend: str = "openvino",
    device: str = "CPU",
    precision: str = "f32",
    threads: int | None = None,
    in_flight: int | None = 1,
    decoding: str = "auto",
    **changes: Any,
) -> Predictor[Any]:
    """Make a predictor from a bundle, an ONNX file or a network's name; an extractor where it has keypoints.

    Args:
        model: a bundle's folder, a ``.onnx`` or ``.blob`` file, ``acorn``, ``superpoint``, or ``package.module:Class``.
        weights: the weights file, for a network given by name; for a bundle only the torch backend needs it.
        said: what else is said of the model: its class's arguments, outputs, inputs and task; see ``ModelOptions``.
        size: (W, H) in pixels to which images are scaled, or the same as text, ``"320x200"``; ``"native"`` takes each
            image at its own size, cut to multiples of 8. Default: the bundle's size, or ``"native"`` for a network
            given by name. A blob has one size, and no other is taken.
        max_side: takes images at their own size too, but scales those down whose longer side is longer, in pixels; the
            ratio is kept, as hloc's ``resize_max`` keeps it.
        max_memory_gb: what the model may take for one image, in GB of 10⁹ bytes. Default: as much as is free when it is
            opened for a size. What would take more (``backends.activations`` has how that is estimated) is refused.
        backend: ``openvino``, ``onnxruntime``, ``torch``, or ``myriad_simulator`` for what the camera computes.
        device: OpenVINO's device.
        precision: OpenVINO's arithmetic: ``f32``, ``bf16``, ``f16``, or ``int8`` of a bundle that has it.
        threads: CPU threads; None lets the runtime choose.
        in_flight: images that the network works on at a time, for ``Predictor.map`` and for calls from several threads.
            1: each as soon as possible. More: all of them sooner, each later. None: as many as suit the cores.
        decoding: how outputs become keypoints, see ``tasks.keypoints.fused.choice``: ``numpy``, ``graph`` for all of it
            inside the network's graph, or ``auto`` for what is fastest. What is found is the same, to float32's
            rounding. Networks for something else are read in NumPy.
        **changes: parameters of the task that differ from the bundle's or the network's preset: fields of
            ``DecodeOptions`` for keypoints, ``Task.changeable`` for others.

    Raises:
        OakpointError: one of its kinds, naming what was expected, what came and what to do.
    """
    return _load(
        model,
        accepts=lambda _: None,
        said=_with_weights(said, weights),
        size=size,
        max_side=max_side,
        max_memory_gb=max_memory_gb,
        runtime=_runtime(backend, device, precision, threads, in_flight),
        decoding=checked_decoding(decoding),
        changes=changes,
    )


def load_extractor(
    model: str | Path | Model,
    *,
    weights: str | Path | None = None,
    said: ModelOptions | None = None,
    size: tuple[int, int] | Sequence[int] | str | None = None,
    max_side: int | None = None,
    max_memory_gb: float | None = None,
    backend: str = "openvino",
    device: str = "CPU",
    precision: str = "f32",
    threads: int | None = None,
    in_flight: int | None = 1,
    decoding: str = "auto",
    **decode_changes: Any,
) -> Extractor:
    """As ``load``, for a network with keypoints; a model that was described already (``models.naming``) is taken, too.

    Raises:
        UsageError: it finds something else; ``oakpoint run`` shows that.
        OakpointError: see ``load``.
    """
    predictor = _load(
        model,
        accepts=lambda task: require_keypoints(task, str(model), "oakpoint run shows what it finds"),
        said=_with_weights(said, weights),
        size=size,
        max_side=max_side,
        max_memory_gb=max_memory_gb,
        runtime=_runtime(backend, device, precision, threads, in_flight),
        decoding=checked_decoding(decoding),
        changes=decode_changes,
    )
    assert isinstance(predictor, Extractor)
    return predictor


def _load(
    model: str | Path | Model,
    *,
    accepts: Callable[[Task[Any]], object],
    said: ModelOptions,
    size: tuple[int, int] | Sequence[int] | str | None,
    max_side: int | None,
    max_memory_gb: float | None,
    runtime: RuntimeOptions,
    decoding: Decoding,
    changes: Mapping[str, Any],
) -> Predictor[Any]:
    asked = size_or_native(size)
    _require_one_of(asked, max_side)
    described = model if isinstance(model, Model) else model_of(model, said)
    opened_with = with_dense_part(runtime) if decoding == "auto" else runtime
    found = described.runnable(opened_with)
    if decoding == "auto" and mistaken(found.task, found.interface):
        opened_with, found = runtime, described.runnable(runtime)
    accepts(found.task)
    task = found.task.with_changes(**changes)
    if found.interface.size is None:
        inputs = ", ".join(f"{spec.name} {'x'.join(map(str, spec.shape))}" for spec in found.interface.tensors)
        raise UsageError(
            f"{model}: expected a network that takes an image of 1 or 3 channels, got one that takes {inputs}; it can "
            "be converted and verified here, and is run by a program that feeds it"
        )
    if others := [given.tensor.name for given in found.interface.inputs if given.preprocess is None]:
        logger.warning("%s: what its input %s takes is no image; it is fed with noise here", model, ", ".join(others))
    chosen = _chosen_size(asked, max_side, found)
    interface = found.interface if chosen == "native" else found.interface.at(found.task.require_size(chosen))
    memory = MemoryLimit(lambda at: memory_bytes(found.source(), runtime, interface, at), max_memory_gb)
    found.prepare(None if chosen == "native" else chosen)
    in_graph: dict[str, Any] = {}
    identify = found.identify
    if decoding == "graph":
        require_whole(task, runtime, source := found.source())
        in_graph = {
            "open_whole": lambda given, read: open_whole(found.source(), runtime, given, read, found.decoding_graph)
        }
        if source.ir is not None and source.onnx is not None:  # it is made from the ONNX, also where the IR would run
            identify = partial(identity_of_file, source.onnx)
    return predictor_for(
        found.open_at,
        interface=interface,
        task=task,
        native=chosen == "native",
        max_side=max_side,
        memory=memory,
        runtime=f"{runtime.backend} {runtime.device} {runtime.precision}",
        identify=lambda: _with_outputs(identify(), said.outputs),
        in_flight=runtime.in_flight,
        open_alone_at=_alone(described, opened_with),
        **in_graph,
    )


def _runtime(backend: str, device: str, precision: str, threads: int | None, in_flight: int | None) -> RuntimeOptions:
    """What ``load`` is told of the runtime; see there."""
    side_by_side = images_in_flight(threads) if in_flight is None else in_flight
    return RuntimeOptions(backend=backend, device=device, precision=precision, threads=threads, in_flight=side_by_side)


def images_in_flight(threads: int | None = None) -> int:
    """As many images as suit the cores: one for each, up to ``MOST_IN_FLIGHT``, since each takes memory.

    Args:
        threads: that the network may have; None: as many as there are cores.
    """
    return min(threads or cores(), MOST_IN_FLIGHT)


def _alone(model: Model, runtime: RuntimeOptions) -> Callable[[tuple[int, int]], Backend] | None:
    """Opens the model for one run at a time; None where it is opened so anyway."""
    if runtime.in_flight == 1:
        return None
    runnable = cache(lambda: model.runnable(replace(runtime, in_flight=1)))  # not before the first size that needs it
    return lambda size: runnable().open_at(size)


def _with_weights(said: ModelOptions | None, weights: str | Path | None) -> ModelOptions:
    options = said or ModelOptions()
    return options if weights is None else replace(options, weights=Path(weights))


def _with_outputs(identity: ModelIdentity, outputs: Mapping[str, str] | None) -> ModelIdentity:
    """A model of which other outputs are taken is another one."""
    if outputs is None:
        return identity
    chosen = " ".join(f"{wanted}={own}" for wanted, own in sorted(outputs.items()))
    return replace(identity, model=f"{identity.model} outputs {chosen}")


def _require_one_of(asked: tuple[int, int] | Literal["native"] | None, max_side: int | None) -> None:
    """Refuse a size together with a longest side.

    Raises:
        UsageError: both were given.
    """
    if max_side is not None and isinstance(asked, tuple):
        raise UsageError(
            f"max_side: counts for images at their own size only, not at {asked[0]}x{asked[1]}; leave one out"
        )


def _chosen_size(
    asked: tuple[int, int] | Literal["native"] | None, max_side: int | None, found: Runnable
) -> tuple[int, int] | Literal["native"]:
    own, step = found.interface.image.size, found.task.size_step_px
    if found.one_size and (max_side is not None or asked not in (None, "native", own)):
        wanted = f"a longest side of {max_side}" if max_side is not None else "{}x{}".format(*asked or ())
        raise UsageError(f"size: the blob was compiled for {own[0]}x{own[1]}, not for {wanted}; a blob has one size")
    if max_side is not None:
        if isinstance(max_side, bool) or not isinstance(max_side, int) or max_side < step:
            raise UsageError(f"max_side: expected {step} or more whole pixels, got {max_side!r}")
        return "native"
    return asked or (own if found.has_size else "native")
