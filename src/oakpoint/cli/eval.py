"""``oakpoint eval``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.markup import escape

from oakpoint.cli.console import command_line, out, print_json, print_warning, progress_bar
from oakpoint.cli.eval_output import print_cache, print_skipped, print_tables
from oakpoint.cli.model_options import with_model_options
from oakpoint.cli.notices import notice_for
from oakpoint.cli.options import Json, Weights
from oakpoint.errors import UsageError
from oakpoint.evaluate.cache import LIMIT_GB, FeatureCache
from oakpoint.evaluate.candidates import Candidate, open_candidate
from oakpoint.evaluate.evaluation import evaluate, measurements
from oakpoint.evaluate.homography import RANSAC_PX
from oakpoint.evaluate.hpatches import read_dataset
from oakpoint.evaluate.intervals import RESAMPLES
from oakpoint.evaluate.pairs import Dataset
from oakpoint.evaluate.protocol import Protocol, Reading
from oakpoint.evaluate.protocols import PROTOCOLS, protocols_by_name
from oakpoint.evaluate.results import Evaluation
from oakpoint.evaluate.specification import Specification, parse_specifications
from oakpoint.evaluate.summary import Summary, check_baseline, check_resamples, facts, summarise
from oakpoint.evaluate.synthetic import SyntheticOptions, synthetic_dataset
from oakpoint.evaluate.tables import summary_csv
from oakpoint.files import check_can_write, default_cache
from oakpoint.models.base import ModelOptions
from oakpoint.report.folders import EVALUATION, write_text
from oakpoint.report.pages.evaluation import evaluation_page, write_beside

EXTRACTORS_HELP = (
    "What to compare: LABEL=MODEL@SETTING@SETTING…, of which only MODEL must be there: a bundle, a .onnx or .blob "
    "file, acorn, superpoint, package.module:Class, sift, orb, or a features file .h5. A SETTING is WIDTHxHEIGHT, "
    "native, BACKEND, BACKEND:DEVICE, BACKEND:DEVICE:PRECISION, weights=FILE, precision=int8, threshold=P, nms=PIXELS, "
    "max-side=PIXELS, max-memory=GB, subpixel=none|soft_argmax|quadratic, or an option of a network (the panel below) "
    "for this MODEL alone: color=rgb, normalize=imagenet. "
    "Such as  b  b@openvino:CPU:bf16  small=b@320x240  sift  features.h5"
)
CACHE_FOLDER = "evaluate"


@with_model_options
def eval_command(
    extractors: Annotated[list[str], typer.Argument(metavar="MODEL…", help=EXTRACTORS_HELP, show_default=False)],
    dataset: Annotated[
        Path | None,
        typer.Option(
            help="Folder in HPatches' layout. Default: synthetic pairs over the photographs in scikit-image's and "
            "scikit-learn's wheels.",
            show_default=False,
        ),
    ] = None,
    photographs: Annotated[
        Path | None, typer.Option(help="Make synthetic pairs of the images in this folder instead.", show_default=False)
    ] = None,
    weights: Weights = None,
    protocols: Annotated[str, typer.Option(help="Which of p1, p2, p3, with commas.")] = ",".join(PROTOCOLS),
    reading: Annotated[
        str, typer.Option(help="published: as the code behind published figures; exact: the definition by itself.")
    ] = "published",
    ransac_px: Annotated[float, typer.Option(help="RANSAC's threshold at P2, in pixels.")] = RANSAC_PX,
    seed: Annotated[int, typer.Option(help="Of synthetic pairs and of the bootstrap.")] = 0,
    views: Annotated[int, typer.Option(help="Synthetic pairs for each photograph.")] = SyntheticOptions().views,
    resamples: Annotated[
        int, typer.Option(help="Draws of the bootstrap over sequences: all pairs of one are drawn together.")
    ] = RESAMPLES,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="LABEL", help="The MODEL that the others are compared with. Default: the first.", show_default=False
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads of a network. Default: the runtime's choice.", show_default=False)
    ] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Write all figures to this file.", show_default=False)
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Write report.html, charts, worst pairs and all figures to this folder.", show_default=False),
    ] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Extract everything anew, keep nothing; times are then new as well.")
    ] = False,
    max_cache: Annotated[
        float, typer.Option(metavar="GB", help="What features kept for the next time may take; the oldest go first.")
    ] = LIMIT_GB,
    as_json: Json = False,
    *,
    said: ModelOptions,
) -> None:
    """Compare keypoint networks on image pairs with known homographies: repeatability, homography, matching accuracy.

    P1 runs at 320×240, P2 at 640×480 (ratio kept, the middle cut out), P3 at the original size.
    A host model runs at exactly that size, whatever its bundle's is; with @WIDTHxHEIGHT, every image is scaled to that.
    A blob has one size, to which every image is scaled. Keypoints are always compared in the protocol's pixels.
    """
    specifications = parse_specifications(extractors, weights=weights, said=said)
    chosen = protocols_by_name(protocols.split(","), cast(Reading, reading), ransac_px=ransac_px)
    check_resamples(resamples)
    check_baseline(baseline, [specification.label for specification in specifications])
    EVALUATION.check(report)
    if csv_file is not None:
        check_can_write(csv_file)
    pairs = _dataset(dataset, photographs, SyntheticOptions(views=views, seed=seed))
    cache = FeatureCache(None if no_cache else default_cache() / CACHE_FOLDER, limit_gb=max_cache)
    notices = {s.label: notice for s in specifications if (notice := notice_for(s.model))}
    with _opened(specifications, threads, cache) as candidates:
        notes = {candidate.label: candidate.note for candidate in candidates if candidate.note}
        evaluation = _evaluated(pairs, candidates, chosen)
    summary = _summarised(evaluation, baseline=baseline, seed=seed, resamples=resamples)
    told = facts(summary) | {"notes": notes, "notices": notices}
    if csv_file is not None:
        write_text(csv_file, summary_csv(summary))
    if report is not None:
        page = evaluation_page(summary, pairs, notices=notices, notes=notes, line=command_line())
        EVALUATION.write(report, page, told, partial(write_beside, summary, pairs))
    print_skipped(summary)
    print_cache(cache)
    if as_json:
        print_json(told)
        return
    out.print(f"{evaluation.dataset}")
    print_tables(summary)
    for label, note in {**notes, **notices}.items():
        print_warning(f"{label}: {note}")
    if cache.found:
        out.print(f"{cache.found} of {cache.found + cache.missed} extractions, and their times, from {cache.folder}")
    for path in filter(None, (csv_file, report)):
        out.print(f"saved {path}")


def _dataset(folder: Path | None, photographs: Path | None, options: SyntheticOptions) -> Dataset:
    if folder is not None and photographs is not None:
        raise UsageError("expected --dataset (known homographies) or --photographs (synthetic ones), got both")
    return read_dataset(folder) if folder is not None else synthetic_dataset(photographs, options)


@contextlib.contextmanager
def _opened(
    specifications: tuple[Specification, ...], threads: int | None, cache: FeatureCache
) -> Iterator[list[Candidate]]:
    with contextlib.ExitStack() as stack:
        candidates = []
        for specification in specifications:
            candidate = open_candidate(specification, threads=threads, cache=cache)
            stack.callback(candidate.close)
            candidates.append(candidate)
        yield candidates


def _evaluated(pairs: Dataset, candidates: list[Candidate], protocols: tuple[Protocol, ...]) -> Evaluation:
    with progress_bar() as progress:
        task = progress.add_task("pairs × extractors × protocols", total=measurements(pairs, candidates, protocols))

        def done(sequence: str, count: int) -> None:
            progress.update(task, advance=count, description=escape(sequence))

        return evaluate(pairs, candidates, protocols, done)


def _summarised(evaluation: Evaluation, *, baseline: str | None, seed: int, resamples: int) -> Summary:
    with progress_bar() as progress:
        protocols = {row.protocol.key for row in evaluation.rows}
        task = progress.add_task("draws of the bootstrap", total=resamples * len(protocols))
        return summarise(
            evaluation,
            baseline=baseline,
            seed=seed,
            resamples=resamples,
            progress=lambda count: progress.advance(task, count),
        )
