"""A network checked layer by layer for a target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal, get_args

import onnx

from oakpoint.bundle.interface import OPEN_BATCH
from oakpoint.bundle.records import DeviceRecord
from oakpoint.convert.output_operators import output_operators
from oakpoint.errors import MissingExtraError, UsageError
from oakpoint.images.reading import no_image_in
from oakpoint.layers.check.on_host import Images, check_on_host
from oakpoint.layers.check.on_myriad import Heads, MyriadCheck
from oakpoint.layers.check.verdicts import CheckReport
from oakpoint.layers.names import Layers
from oakpoint.layers.trying.search import Trial
from oakpoint.layers.trying.trials import CompilerTrial, Progress
from oakpoint.models.base import ModelOptions
from oakpoint.models.host_onnx import HostOnnx, write_host_onnx
from oakpoint.models.naming import model_of
from oakpoint.tasks.base import AS_THEY_ARE, Task
from oakpoint.tasks.registry import ALL_HEADS
from oakpoint.verify.photographs import load_photographs

CheckTarget = Literal["onnx", "openvino", "myriad"]
TARGETS: Final[tuple[str, ...]] = get_args(CheckTarget)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """What to check.

    Attributes:
        model: see ``models.naming.model_of``.
        target: one of ``TARGETS``.
        size: (W, H) of the images in pixels; None for the model's own.
        heads: what the blob puts out, as ``ConversionOptions.heads``; other targets have the network's own outputs.
        said: what else was said of the model, its weights among it.
        images: folder of images to measure numbers on; None for photographs.

    Raises:
        UsageError: an unknown target or heads, or heads for a target that has none.
    """

    model: str
    target: str = "myriad"
    size: tuple[int, int] | None = None
    heads: str = AS_THEY_ARE
    said: ModelOptions = field(default_factory=ModelOptions)
    images: Path | None = None

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise UsageError(f"target: expected one of {', '.join(TARGETS)}, got {self.target!r}")
        if self.heads not in ALL_HEADS:
            raise UsageError(f"heads: expected one of {', '.join(ALL_HEADS)}, got {self.heads!r}")
        if self.heads != AS_THEY_ARE and self.target != "myriad":
            raise UsageError(f"heads: are for --target myriad, got {self.heads!r} with --target {self.target}")


def check_layers(
    options: CheckOptions, progress: Progress, *, compiler: Callable[[list[str]], Trial] | None = None
) -> CheckReport:
    """Find out of every layer of a network whether a target takes it.

    Args:
        options: what to check.
        progress: told what is being done, in a few words.
        compiler: makes the trial that stands for the device's compiler, given the names of inputs that take images;
            None for the compiler itself.

    Raises:
        UsageError: heads that the network does not have, or a fixed batch that the device does not have.
        OakpointError: the model cannot be read or exported.
    """
    origin = model_of(options.model, options.said).origin(options.size)
    images, notes = _photographs(options.images)
    if not origin.weights.trained:
        notes.append("the weights are random: the numbers, and where they overflow, are not those of a trained network")
    with TemporaryDirectory(prefix="oakpoint-check-") as scratch:
        path = Path(scratch) / "model.onnx"
        progress("making the ONNX")
        written = write_host_onnx(origin, path, title=origin.name)
        model = onnx.load(path)
        layers = Layers(model, written.modules)
        if options.target != "myriad":
            return check_on_host(
                options.model, options.target, model, layers, written.interface, images, progress, notes
            )
        _require_one_image(options.model, written)
        task = origin.task.with_interface(written.interface, output_operators(model))
        heads, note = _heads(options.heads, task, path, images, written)
    if note:
        notes.append(f"heads {options.heads}: {note}")
    check = MyriadCheck(model, layers, written.interface, heads, images, progress, notes)
    return check.report(options.model, compiler or partial(CompilerTrial, progress=progress))


def _require_one_image(name: str, written: HostOnnx) -> None:
    """Refuse a fixed batch: the compiler would make a blob of one image of it, and write the number into its header."""
    if written.interface.batch not in (OPEN_BATCH, 1):
        raise UsageError(
            f"{name}: its batch is fixed to {written.interface.batch}, and a Myriad X blob has batch 1; "
            "export it with batch 1 or an open batch"
        )


def _heads(name: str, task: Task[Any], onnx_file: Path, images: Images, written: HostOnnx) -> tuple[Heads, str]:
    """The heads as conversion would append them, and a note on what was measured for them."""
    task.device_rewrites(DeviceRecord(heads=name), written.interface)  # says which heads it does not have
    device, note = task.measured_heads(name, onnx_file, images, written.interface)
    rewrites = tuple(task.device_rewrites(device, written.interface))
    return Heads(rewrites, task.vectors, name), note


def _photographs(folder: Path | None) -> tuple[Images, list[str]]:
    try:
        images = load_photographs(folder)
    except MissingExtraError as error:
        return {}, [f"numbers were not measured: {error}"]
    return images, [] if images else [f"numbers were not measured: {no_image_in(folder or Path())}"]
