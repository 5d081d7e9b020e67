"""From a teacher and images to a student's weights: label, train, write; each part goes on where it was left."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from oakpoint import __version__
from oakpoint.errors import UsageError
from oakpoint.files import holding_folder
from oakpoint.networks.folding import settle_norms
from oakpoint.networks.header import DECODE_PRESET
from oakpoint.networks.licences import arrays_of
from oakpoint.networks.recognition import recognise
from oakpoint.networks.registry import shipped_weights
from oakpoint.networks.student import (
    build_student,
    check_deployed,
    deployed,
    descriptor_dim_of,
    freeze_unused,
    trained_preset,
)
from oakpoint.training.checkpoint import check_checkpoint, progress_of
from oakpoint.training.dataset import Dataset
from oakpoint.training.labelling import DatasetOptions, create_dataset, gather, label_dataset
from oakpoint.training.loop import Listener, train
from oakpoint.training.options import Precision, TrainingOptions
from oakpoint.training.positions import PositionOptions, locate_keypoints
from oakpoint.training.processes import Meeting, Place, join_processes
from oakpoint.training.provenance import Source, header_facts, source_of, source_of_values
from oakpoint.training.run import RunFolder, save_curves, write_weights
from oakpoint.training.teachers.probe import probe_teacher
from oakpoint.training.teachers.protocol import Teacher
from oakpoint.training.teachers.registry import ROLE, open_teacher, restriction_of_teacher, weights_of
from oakpoint.training.validation import Validation, check_size
from oakpoint.training.views import PairSampler
from oakpoint.view.picture import write_image

START_ROLE = "initial weights"
"""What weights are that a student starts from, for messages."""

HELD_BACK_EVERY = 20
MAX_HELD_BACK = 48
SETTLING_PAIRS = 32
"""View pairs on which the batch norms of weights that were given are measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherOptions:
    """Which teacher.

    Attributes:
        name: see ``open_teacher``.
        weights: its weights file.
    """

    name: str
    weights: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """All that a run is asked.

    Attributes:
        out: the run's folder.
        student: name of the network that is trained.
        init: weights that it starts from; None: random ones.
        teacher: None: synthetic images alone, whose corners are known.
        dataset: what the images are.
        positions: how keypoints are moved to where the weights that it starts from find them; None leaves them where
            the teacher says they are.
        training: how it is trained.
        accept_licence: take weights, as a teacher or to start from, whose licence stands against shipping what learns
            from them.
        device: ``cpu`` or ``cuda``; None takes a GPU when there is one.
    """

    out: Path
    student: str
    init: Path | None
    teacher: TeacherOptions | None
    dataset: DatasetOptions
    training: TrainingOptions
    positions: PositionOptions | None = None
    accept_licence: bool = False
    device: str | None = None

    def __post_init__(self) -> None:
        if self.positions is not None and self.init is None:
            raise UsageError(
                "locate: random weights find no keypoints; start from trained ones (--init FILE), or leave it out"
            )
        if self.dataset.images and self.teacher is None:
            raise UsageError("images: expected a teacher to label them, got none")


class JobListener(Listener, Protocol):
    """Hears of a job's progress, on the first process."""

    def began(self, place: Place, precision: Precision) -> None:
        """Nothing was refused; work begins, in this precision."""

    def gathered(self, count: int) -> None:
        """So many photographs are read; nobody knows of how many."""

    def labelled(self, done: int, total: int) -> None:
        """So many images of all are labelled."""

    def located(self, done: int, total: int) -> None:
        """Of so many images of all the keypoints are located."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What came out.

    Attributes:
        weights: the student's file.
        figures: of the last validation.
        precision: that was trained in.
    """

    weights: Path
    figures: dict[str, float | None]
    precision: Precision


def run_job(job: TrainingJob, meeting: Meeting | None, listener: JobListener) -> Trained | None:
    """Do a job, or go on with it, as one process or as one of several.

    Returns:
        What came out, in the first process; None in the others.

    Raises:
        OakpointError: one of its kinds: images, weights, options, or a training that went astray.
    """
    run = RunFolder(job.out)
    with join_processes(job.device, meeting) as place, ExitStack() as held:
        job = replace(job, training=job.training.on(place.device))
        precision = job.training.precision
        assert precision is not None
        # What can be refused is refused before anything is written.
        teacher = _teacher(job, place)
        student = build_student(job.student, seed=job.training.seed, init=job.init).to(place.device)
        sources = _sources(job, teacher, student)
        width = _checked_width(job, student, teacher, place)
        check_deployed(job.student, student)
        freeze_unused(student, place.device)
        check_checkpoint(run.path, student)
        if place.first:
            run.check()
            held.enter_context(holding_folder(run.path))
            _prepare(job, run, width, sources, place, listener)
            listener.began(place, precision)
        place.wait()
        dataset = label_dataset(run.dataset, job.dataset, teacher, place, listener.labelled)
        if job.positions is not None:
            locate_keypoints(
                Dataset.open(run.dataset, writable=True), student.eval(), job.positions, place,
                seed=job.dataset.seed, precision=precision, told=listener.located,
            )  # fmt: skip
        train_on, held_back = split(len(dataset.images))
        sampler = PairSampler(dataset, train_on, job.training.views, place.device)
        if job.init is not None:
            first = torch.Generator(place.device).manual_seed(job.training.seed)
            settle_norms(student, sampler.draw(SETTLING_PAIRS, first).views)
        judge = _Judge(Validation([dataset.images[int(i)] for i in held_back]), run, place) if place.first else None
        average = train(
            student.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
            sampler,
            job.training,
            run.path,
            place,
            listener=listener,
            validate=judge,
        )
        if judge is None:
            return None
        _write(job, run, average, dataset, sources)
        figures = judge.last or judge(average, progress_of(run.path).step)  # a run that was finished before
        return Trained(run.weights(job.student), figures, precision)


def _prepare(
    job: TrainingJob,
    run: RunFolder,
    descriptor_dim: int,
    sources: Mapping[str, Source],
    place: Place,
    listener: JobListener,
) -> None:
    """Begin the run: its record, and its images unless they are there."""
    photographs = None if Dataset.exists(run.dataset) else gather(job.dataset, listener.gathered, spool=run.path)
    if photographs is not None:
        check_size((photographs.shape[2], photographs.shape[1]))
    weights = {f"{name}_weights": asdict(source.record) for name, source in sources.items()}
    run.begin({**_asked(job), "processes": place.world, **weights})
    if photographs is not None:
        create_dataset(run.dataset, photographs, job.dataset, descriptor_dim=descriptor_dim)


def _checked_width(job: TrainingJob, student: nn.Module, teacher: Teacher | None, place: Place) -> int:
    """Width of the teacher's descriptors, 0 with no teacher; refuses a teacher and a student that do not work.

    A student may name unknown decode options, or have descriptors that cannot be compared with the teacher's.
    """
    trained_preset(job.student)
    own = descriptor_dim_of(job.student, student, place.device)
    if teacher is None:
        return 0
    taught = probe_teacher(teacher, place.device)
    if own != taught and job.training.loss.teacher_share > 0:
        raise UsageError(
            f"teacher {teacher.name}: expected descriptors of {own} values, as {job.student} has, got {taught}; "
            "with --teacher-share 0 it teaches keypoints alone"
        )
    return taught


def split(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices of images to train on, and of those held back for validation: every twentieth, at most 48."""
    indices = torch.arange(count)
    held_back = indices[::HELD_BACK_EVERY][:MAX_HELD_BACK]
    return indices[~torch.isin(indices, held_back)], held_back


class _Judge:
    """Validates, and leaves a picture and the curves."""

    def __init__(self, validation: Validation, run: RunFolder, place: Place) -> None:
        self._validation, self._run, self._device = validation, run, place.device
        self.last: dict[str, float | None] = {}

    def __call__(self, network: nn.Module, step: int) -> dict[str, float | None]:
        self.last = self._validation.figures(network, self._device)
        write_image(self._run.look(step), self._validation.look(network, self._device))
        save_curves(self._run.path)
        return self.last


def _teacher(job: TrainingJob, place: Place) -> Teacher | None:
    if job.teacher is None:
        return None
    return open_teacher(job.teacher.name, job.teacher.weights, device=place.device, accept_licence=job.accept_licence)


def _sources(job: TrainingJob, teacher: Teacher | None, student: nn.Module) -> dict[str, Source]:
    """Which weights the run learns from: ``teacher`` and ``init``, where there are such.

    A class of the user's own may bring known weights with it.
    """
    sources = {}
    if job.teacher is not None and teacher is not None:
        path = job.teacher.weights or shipped_weights(job.teacher.name)
        own = Source(weights_of(teacher), restriction_of_teacher(teacher))
        sources["teacher"] = source_of(path, ROLE, accept_licence=job.accept_licence) if path else own
    if job.init is not None:
        sources["init"] = source_of(job.init, START_ROLE, accept_licence=job.accept_licence)
    elif recognise(arrays := arrays_of(student.state_dict())):
        sources["init"] = source_of_values(job.student, arrays, START_ROLE, accept_licence=job.accept_licence)
    return sources


def _asked(job: TrainingJob) -> dict[str, object]:
    """What decides on the outcome, by name; weights are told by their hashes, wherever they lie."""
    asked = {name: asdict(getattr(job, name)) for name in ("dataset", "training")}
    asked["dataset"]["images"] = [path.resolve() for path in job.dataset.images]
    return {
        "student": job.student,
        "teacher": job.teacher.name if job.teacher else None,
        "positions": asdict(job.positions) if job.positions else None,
        **asked,
    }


def _write(
    job: TrainingJob, run: RunFolder, average: nn.Module, dataset: Dataset, sources: Mapping[str, Source]
) -> None:
    network = deployed(average).cpu().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    facts = {
        "network": job.student,
        DECODE_PRESET: trained_preset(job.student),
        "made_by": f"oakpoint {__version__}",
        "teacher": job.teacher.name if job.teacher else "none",
        "images": str(len(dataset.images)),
        "steps": str(progress_of(run.path).step),  # more than were asked for, where a run was made shorter
        **header_facts(sources),
    }
    write_weights(network, run.weights(job.student), facts)
    save_curves(run.path)
