"""``oakpoint tune``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from oakpoint.cli.console import command_line, out, print_error, print_json, print_warning
from oakpoint.cli.model_options import with_model_options
from oakpoint.cli.notices import notice_for
from oakpoint.cli.options import Json, Weights
from oakpoint.cli.tune_output import TuneProgress, print_outcome
from oakpoint.images.sizes import size_from
from oakpoint.models.base import ModelOptions
from oakpoint.report.folders import TUNING, write_facts
from oakpoint.report.pages.tune import tune_page, write_beside
from oakpoint.tune.accuracy import FIGURE, figures
from oakpoint.tune.chosen import Wish
from oakpoint.tune.outcome import Outcome, facts, outcome_of
from oakpoint.tune.photographs import MOST_IMAGES
from oakpoint.tune.space import LEAST_SIDE_PX, MOST_SIDE_PX, Target
from oakpoint.tune.study import FACTS_FILE
from oakpoint.tune.subject import Tuned
from oakpoint.tune.tuning import TRIALS, TuneOptions, tune

EXIT_NOT_MET = 1
_PANEL = "What is searched"


@with_model_options
def tune_command(
    context: typer.Context,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A bundle, a .onnx file or a network's name.", show_default=False)
    ],
    images: Annotated[Path, typer.Option(help="Folder of images that are like yours.", show_default=False)],
    out_folder: Annotated[
        Path,
        typer.Option("--out", help="Folder of the study; one that lies there is gone on with.", show_default=False),
    ],
    target: Annotated[str, typer.Option(help="cpu: this machine, measured; oak: a Myriad X, estimated.")] = "cpu",
    min_accuracy: Annotated[
        float | None, typer.Option(help="Choose the fastest point of this accuracy, 0 to 1.", show_default=False)
    ] = None,
    min_fps: Annotated[
        float | None, typer.Option(help="Choose the most accurate point of this rate.", show_default=False)
    ] = None,
    knee: Annotated[bool, typer.Option("--knee", help="Choose where more speed begins to cost more accuracy.")] = False,
    trials: Annotated[int, typer.Option(help="Configurations to try, those of earlier runs included.")] = TRIALS,
    minutes: Annotated[float | None, typer.Option(help="Begin no trial after this.", show_default=False)] = None,
    seed: Annotated[int, typer.Option(help="Of the views and of what is tried.")] = 0,
    figure: Annotated[
        str | None,
        typer.Option(help=f"Accuracy of keypoints: {', '.join(figures())}. Default: {FIGURE}.", show_default=False),
    ] = None,
    views: Annotated[int, typer.Option(help="Synthetic pairs for each image, for keypoints.")] = 5,
    max_images: Annotated[int, typer.Option(help="Of a larger folder take so many, evenly chosen.")] = MOST_IMAGES,
    size: Annotated[
        list[str] | None,
        typer.Option(
            help="WIDTHxHEIGHT to try; may be given several times. Default: of the images' ratio.",
            rich_help_panel=_PANEL,
            show_default=False,
        ),
    ] = None,
    min_side: Annotated[
        int | None,
        typer.Option(
            help=f"Least longer side in pixels. Default: {LEAST_SIDE_PX}.", rich_help_panel=_PANEL, show_default=False
        ),
    ] = None,
    max_side: Annotated[
        int | None,
        typer.Option(
            help=f"Greatest longer side in pixels. Default: the images', at most {MOST_SIDE_PX}; other networks than "
            "those for keypoints: their own.",
            rich_help_panel=_PANEL,
            show_default=False,
        ),
    ] = None,
    fix: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE,…",
            help="Try these values alone; may be given several times: threads=1, subpixel=none, heads=packed,reduced. "
            "NAME: precision, threads; for oak heads, shaves; for keypoints max_keypoints, threshold, nms_radius_px, "
            "subpixel.",
            rich_help_panel=_PANEL,
            show_default=False,
        ),
    ] = None,
    weights: Weights = None,
    report: Annotated[
        Path | None, typer.Option(help="Folder for report.html, its facts and the picture.", show_default=False)
    ] = None,
    as_json: Json = False,
    *,
    said: ModelOptions,
) -> None:
    """Search size, threshold, budget, heads and more for the best accuracy at a speed; on your own images.

    Ctrl-C ends the search and keeps it; the same command goes on. Exit 1: no point is as was asked.
    """
    options = TuneOptions(
        tuned=Tuned(model=model, images=images, weights=weights, said=said),
        target=cast(Target, target),
        folder=out_folder,
        wish=Wish(min_accuracy=min_accuracy, min_fps=min_fps, knee=knee),
        trials=trials,
        minutes=minutes,
        seed=seed,
        sizes=tuple(map(size_from, size or ())),
        min_side_px=min_side,
        max_side_px=max_side,
        fixed=tuple(fix or ()),
        figure=figure,
        views=views,
        max_images=max_images,
    )
    TUNING.check(report)
    notice = notice_for(model)
    progress = TuneProgress(options)
    try:
        found = tune(options, progress)
    finally:
        progress.stop()
    outcome = outcome_of(options, found, _model_words(context))
    told = facts(outcome)
    write_facts(out_folder / FACTS_FILE, told)
    write_beside(outcome, out_folder)
    if report is not None:
        page = tune_page(outcome, notices=[notice] if notice else [], line=command_line())
        TUNING.write(report, page, told, partial(write_beside, outcome))
    if as_json:
        print_json(told)
    else:
        print_outcome(outcome)
        out.print(f"saved {out_folder / FACTS_FILE}" + (f", {report}" if report is not None else ""))
    _end(outcome)


def _end(outcome: Outcome) -> None:
    """Leave with the code for what came of it."""
    found = outcome.found
    if found.interrupt is not None:
        print_warning(f"interrupted after {len(found.trials)} trials; the same command goes on")
        raise found.interrupt
    if not found.points:
        print_error("nothing could be measured: every configuration failed")
        raise typer.Exit(EXIT_NOT_MET)
    if not outcome.options.wish.selects:
        return
    if found.choice.point is None:
        print_error(outcome.verdict())
        raise typer.Exit(EXIT_NOT_MET)


_OF_THE_MODEL = (
    "weights", "arg", "output", "shape", "task", "color", "mean", "std", "scale", "normalize", "pixel_range", "resize",
)  # fmt: skip
"""Parameters of the command that say something of the model, as ``convert`` takes them, too."""


def _model_words(context: typer.Context) -> list[str]:
    """What was said of the model beside its name, as it was written."""
    words: list[str] = []
    for parameter in context.command.params:
        given: Any = context.params.get(parameter.name or "")
        if parameter.name in _OF_THE_MODEL and given:
            values = given if isinstance(given, (list, tuple)) else [given]
            words += [word for value in values for word in (parameter.opts[0], str(value))]
    return words
