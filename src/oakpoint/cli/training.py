"""``oakpoint distill`` and ``oakpoint train``."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.markup import escape
from rich.progress import TaskID, TextColumn

from oakpoint.cli.console import out, print_json, print_warning, progress_bar
from oakpoint.cli.options import Json, parse_size
from oakpoint.errors import MissingExtraError
from oakpoint.networks.registry import shipped_weights

if TYPE_CHECKING:
    from oakpoint.training.distillation import TeacherOptions, Trained, TrainingJob
    from oakpoint.training.loop import StepReport
    from oakpoint.training.options import Precision as PrecisionName
    from oakpoint.training.processes import Meeting, Place

SCRATCH = "scratch"
SAY_EVERY = 500
"""Steps or images from one line to the next."""

Student = Annotated[str, typer.Option(help="Network to train: acorn, or package.module:Class.")]
Out = Annotated[
    Path, typer.Option("--out", help="Folder of the run; one that was begun is continued.", show_default=False)
]
Steps = Annotated[int, typer.Option(min=1, help="Optimiser steps.")]
Pairs = Annotated[int, typer.Option(min=1, help="View pairs of a step in each process.")]
Rate = Annotated[float, typer.Option(min=1e-7, help="Highest learning rate of AdamW.")]
View = Annotated[str, typer.Option(help="WIDTHxHEIGHT of the views that are trained on.")]
Precision = Annotated[
    str | None,
    typer.Option(
        help="Arithmetic of the convolutions: bf16 or f32. Default: bf16 on a GPU or a CPU that multiplies in it.",
        show_default=False,
    ),
]
Device = Annotated[str | None, typer.Option(help="cpu or cuda. Default: a GPU when there is one.", show_default=False)]
Processes = Annotated[
    int | None, typer.Option(min=1, help="Default: one for each core, or for each GPU.", show_default=False)
]
Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of weights, views and synthetic images.")]
AcceptLicence = Annotated[
    bool,
    typer.Option("--accept-licence", help="Take weights whose licence stands against shipping what learns from them."),
]
ValidateEvery = Annotated[int, typer.Option(min=1, help="Steps from one validation and look to the next.")]


def distill_command(
    images: Annotated[list[Path], typer.Option(help="Folder, image or video; can be given again.", show_default=False)],
    out_folder: Out,
    teacher: Annotated[
        str, typer.Option(help="acorn, edgepoint2, alike, superpoint, or package.module:Class.")
    ] = "acorn",
    teacher_weights: Annotated[
        Path | None, typer.Option(help="Its weights file. Default: those that come with acorn.", show_default=False)
    ] = None,
    accept_licence: AcceptLicence = False,
    teacher_share: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Share of the teacher in the descriptors' loss; 0: it teaches keypoints alone."
        ),
    ] = 0.5,
    locate: Annotated[
        bool,
        typer.Option(
            "--locate",
            help="Move the teacher's keypoints to where the weights that are started from find them in many views.",
        ),
    ] = False,
    student: Student = "acorn",
    init: Annotated[
        str | None,
        typer.Option(
            help="Weights file to start from, or scratch. Default: those that come with acorn.", show_default=False
        ),
    ] = None,
    steps: Steps = 2000,
    pairs: Pairs = 16,
    learning_rate: Rate = 1e-3,
    view: View = "256x192",
    image_size: Annotated[
        str | None,
        typer.Option(
            help="WIDTHxHEIGHT to which images are brought, cut to that shape. "
            "Default: the first one's, no more than 640x480 in all.",
            show_default=False,
        ),
    ] = None,
    synthetic: Annotated[int, typer.Option(min=0, help="Synthetic images beside the photographs.")] = 0,
    precision: Precision = None,
    device: Device = None,
    processes: Processes = None,
    seed: Seed = 0,
    validate_every: ValidateEvery = 1000,
    as_json: Json = False,
) -> None:
    """Train a keypoint network on your own images, from what a teacher finds in them. Goes on where it was stopped."""
    _require_torch()
    from oakpoint.training.distillation import TeacherOptions

    job = _job(
        out_folder=out_folder,
        images=tuple(images),
        teacher=TeacherOptions(name=teacher, weights=teacher_weights),
        accept_licence=accept_licence,
        teacher_share=teacher_share,
        locate=locate,
        student=student,
        init=_start(init, student),
        image_size=parse_size(image_size),
        synthetic=synthetic,
        steps=steps,
        pairs=pairs,
        learning_rate=learning_rate,
        view=view,
        precision=precision,
        device=device,
        seed=seed,
        validate_every=validate_every,
    )
    _run(job, processes, as_json=as_json)


def train_command(
    out_folder: Out,
    student: Student = "acorn",
    init: Annotated[str, typer.Option(help="Weights file to start from, or scratch.")] = SCRATCH,
    accept_licence: AcceptLicence = False,
    synthetic: Annotated[int, typer.Option(min=2, help="Synthetic images, whose corners are known.")] = 2000,
    steps: Steps = 5000,
    pairs: Pairs = 16,
    learning_rate: Rate = 3e-3,
    view: View = "256x192",
    precision: Precision = None,
    device: Device = None,
    processes: Processes = None,
    seed: Seed = 0,
    validate_every: ValidateEvery = 1000,
    as_json: Json = False,
) -> None:
    """Train a keypoint network with no teacher, on drawn images whose corners are known. Goes on where it was stopped.

    What comes out can teach: distill --teacher acorn --teacher-weights FILE --init FILE --images DIR carries it over to
    photographs by homographic adaptation.
    """
    _require_torch()
    job = _job(
        out_folder=out_folder,
        teacher_share=0.0,
        accept_licence=accept_licence,
        student=student,
        init=_start(init, student),
        synthetic=synthetic,
        steps=steps,
        pairs=pairs,
        learning_rate=learning_rate,
        view=view,
        precision=precision,
        device=device,
        seed=seed,
        validate_every=validate_every,
    )
    _run(job, processes, as_json=as_json)


def _require_torch() -> None:
    for package in ("torch", "safetensors"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, "train")


def _start(init: str | None, student: str) -> Path | None:
    if init == SCRATCH:
        return None
    return Path(init) if init is not None else shipped_weights(student)


def _job(
    *,
    out_folder: Path,
    student: str,
    init: Path | None,
    accept_licence: bool,
    images: tuple[Path, ...] = (),
    teacher: TeacherOptions | None = None,
    teacher_share: float,
    locate: bool = False,
    image_size: tuple[int, int] | None = None,
    synthetic: int,
    steps: int,
    pairs: int,
    learning_rate: float,
    view: str,
    precision: str | None,
    device: str | None,
    seed: int,
    validate_every: int,
) -> TrainingJob:
    from oakpoint.training.distillation import TrainingJob
    from oakpoint.training.labelling import DatasetOptions
    from oakpoint.training.labels import LabelOptions
    from oakpoint.training.losses import LossOptions
    from oakpoint.training.options import TrainingOptions
    from oakpoint.training.positions import PositionOptions
    from oakpoint.training.views import ViewOptions

    view_size = parse_size(view)
    assert view_size is not None
    return TrainingJob(
        out=out_folder,
        student=student,
        init=init,
        teacher=teacher,
        dataset=DatasetOptions(images=images, size=image_size, synthetic=synthetic, labels=LabelOptions(), seed=seed),
        training=TrainingOptions(
            steps=steps,
            pairs=pairs,
            learning_rate=learning_rate,
            precision=cast("PrecisionName | None", precision),  # which ones there are, the options say
            seed=seed,
            views=ViewOptions(size=view_size),
            loss=LossOptions(teacher_share=teacher_share),
            validate_every=validate_every,
        ),
        positions=PositionOptions() if locate else None,
        accept_licence=accept_licence,
        device=device,
    )


def _run(job: TrainingJob, processes: int | None, *, as_json: bool) -> None:
    from oakpoint.training.processes import process_count, run_in_processes

    try:
        trained = run_in_processes(_work, job, process_count(job.device, processes))
    except KeyboardInterrupt:
        if job.out.is_dir():
            print_warning("the same command goes on where this one stopped")
        raise
    if trained is None:  # one of torchrun's processes that is not the first
        return
    if as_json:
        facts = {"weights": str(trained.weights), "validation": trained.figures, "folder": str(job.out)}
        print_json({**facts, "precision": trained.precision})
        return
    out.print(f"weights in {trained.weights}; losses and pictures in {job.out}")
    out.print(f"next: oakpoint convert {job.student} --weights {trained.weights} --size 320x200 --out BUNDLE")


def _work(job: TrainingJob, meeting: Meeting | None) -> Trained | None:
    from oakpoint.training.distillation import run_job

    rank = meeting.rank if meeting is not None else int(os.environ.get("RANK", 0))  # of torchrun
    # What a student's or teacher's own code prints goes to standard error: standard output has the results alone.
    with contextlib.redirect_stdout(sys.stderr), _Reporter(job.training.steps, quiet=rank > 0) as reporter:
        return run_job(job, meeting, reporter)


class _Reporter:
    """A bar with losses and views per second on a terminal, a line now and then elsewhere."""

    def __init__(self, steps: int, *, quiet: bool) -> None:
        self._steps, self._quiet = steps, quiet
        self._progress = progress_bar(TextColumn("{task.fields[figures]}"), quiet=quiet)
        self._task: TaskID | None = None
        self._what, self._said = "", 0

    def __enter__(self) -> _Reporter:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def began(self, place: Place, precision: PrecisionName) -> None:
        """See ``JobListener``."""
        processes = "1 process" if place.world == 1 else f"{place.world} processes"
        self._print(f"training in {precision} on {place.device.type}, {processes}")

    def gathered(self, count: int) -> None:
        """See ``JobListener``."""
        self._show("photographs", count, None, "")
        self._say_at_times(count, None, f"read {count} photographs")

    def labelled(self, done: int, total: int) -> None:
        """See ``JobListener``."""
        self._show("labels", done, total, "")
        self._say_at_times(done, total, f"labelled {done} of {total} images")

    def located(self, done: int, total: int) -> None:
        """See ``JobListener``."""
        self._show("positions", done, total, "")
        self._say_at_times(done, total, f"located the keypoints of {done} of {total} images")

    def stepped(self, report: StepReport) -> None:
        """See ``Listener``."""
        losses = "  ".join(f"{name} {value:.3f}" for name, value in report.losses.items())
        text = f"{losses}  {report.views_per_s:.0f} images/s"
        self._show("steps", report.step, self._steps, text)
        self._say_at_times(report.step, self._steps, f"step {report.step} of {self._steps}: {text}")

    def validated(self, step: int, figures: dict[str, float | None]) -> None:
        """See ``Listener``."""
        text = ", ".join(f"{name} –" if value is None else f"{name} {value:.3f}" for name, value in figures.items())
        self._print(f"step {step}: {text}")

    def _show(self, what: str, done: int, total: int | None, figures: str) -> None:
        if self._what != what or self._task is None:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._task, self._what = self._progress.add_task(what, total=total, figures=figures), what
            self._said = done // SAY_EVERY
        self._progress.update(self._task, completed=done, figures=figures)

    def _say_at_times(self, done: int, total: int | None, text: str) -> None:
        """A line now and then, and at the end, where no bar is shown; counts of several processes skip some."""
        due = done // SAY_EVERY > self._said or done == total
        self._said = done // SAY_EVERY
        if due and self._progress.disable:
            self._print(text)

    def _print(self, text: str) -> None:
        if not self._quiet:
            self._progress.console.print(escape(text))
