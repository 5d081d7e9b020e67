"""``oakpoint extract --engine ray``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape

from oakpoint.cli.console import out, print_error, print_json, progress_bar
from oakpoint.cli.notices import notice_for
from oakpoint.errors import UsageError, line_about
from oakpoint.features.hdf5 import check_features_file
from oakpoint.models.base import Model, ModelOptions
from oakpoint.models.naming import model_of

EXIT_SOME_LEFT_OUT = 1
_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PartsOptions:
    """The options that count for parts alone.

    Attributes:
        workers: see ``RayEngine``.
        address: see ``RayEngine``.
        form: format of the parts.
        shard_size: images of a part.
        merge: one plain HDF5 file to write from them.
    """

    workers: int | None
    address: str | None
    form: str | None
    shard_size: int | None
    merge: Path | None

    def require_none(self) -> None:
        """Refuse them where there are no parts.

        Raises:
            UsageError: one was given.
        """
        words = {"workers": "--workers", "address": "--address", "form": "--format", "shard_size": "--shard-size"}
        for name, option in {**words, "merge": "--merge"}.items():
            if getattr(self, name) is not None:
                raise UsageError(f"{option}: counts with --engine ray only; leave it out, or add that")


def extract_parts(
    model: str,
    source: str,
    place: str,
    options: PartsOptions,
    *,
    said: ModelOptions,
    loading: Mapping[str, Any],
    upright: bool,
    replace: bool,
    as_json: bool,
) -> None:
    """Extract into parts, and say what came of it.

    Args:
        model: as the user named it.
        source: see ``listing.listed_images``.
        place: folder or URL of the parts.
        options: those of parts.
        said: of the model.
        loading: keyword arguments of ``load_extractor``.
        upright: turn images as their EXIF orientation says.
        replace: extract anew what would be refused.
        as_json: print facts.

    Raises:
        Exit: some images were left out.
        OakpointError: see ``extract_into_parts``.
    """
    from oakpoint.extraction.parts.manifest import format_of
    from oakpoint.extraction.parts.merging import merge
    from oakpoint.extraction.parts.portion import Job, settings_of
    from oakpoint.extraction.parts.ray_engine import RayEngine
    from oakpoint.extraction.parts.ray_session import require_ray
    from oakpoint.extraction.parts.reading import FeatureParts
    from oakpoint.extraction.parts.run import SHARD_SIZE, extract_into_parts, require_image, require_shard_size
    from oakpoint.extraction.parts.storage import Storage
    from oakpoint.loading import load_extractor

    described = _described(model, said)
    engine = RayEngine(workers=options.workers, address=options.address)
    output, form = Storage.at(place), format_of(options.form or "parquet")
    shard_size = SHARD_SIZE if options.shard_size is None else options.shard_size
    require_shard_size(shard_size)
    require_image(source)
    if options.merge is not None:
        _check_merged(options.merge, output.local)
    require_ray()
    with load_extractor(described, said=said, **loading) as extractor:
        settings = settings_of(extractor, upright=upright)
    job = Job(
        model=described, options={"said": said, **loading}, settings=settings, output=output, form=form,
        upright=upright, replace=replace,
    )  # fmt: skip
    notice = notice_for(model)
    with progress_bar() as progress:
        task = progress.add_task("images", total=None)
        summary = extract_into_parts(
            source, job, engine, shard_size=shard_size,
            progress=lambda done, of: progress.update(task, completed=done, total=of),
        )  # fmt: skip
    if options.merge is not None:
        summary.failed |= merge(FeatureParts(place), options.merge)
    facts = {
        "out": output.shown,
        "notice": notice,
        "extracted": summary.extracted,
        "shared": summary.shared,
        "skipped": summary.there,
        "keypoints": summary.keypoints,
        "refused": summary.refused,
        "failed": summary.failed,
        "images": summary.images,
    }
    if as_json:
        print_json(facts)
    else:
        _print_summary(facts)
    if summary.failed or summary.refused:
        raise typer.Exit(EXIT_SOME_LEFT_OUT)


def _check_merged(path: Path, parts: Path | None) -> None:
    """Refuse early what could not be merged into.

    Args:
        path: of the merged file.
        parts: the folder of the parts; None: it is not on this machine.

    Raises:
        UsageError: it lies among the parts, of which it could take the place of one.
        FeaturesError: a file of another kind stands there.
        OutputError: it cannot be written there.
    """
    if parts is not None and path.resolve().is_relative_to(parts):
        raise UsageError(f"--merge: {path} lies in --out, among the parts; choose another place")
    check_features_file(path)


def _described(model: str, said: ModelOptions) -> Model:
    """The model, by an absolute path: workers have folders of their own."""
    described = model_of(str(Path(model).absolute()) if Path(model).exists() else model, said)
    if described.changes_with_its_code:
        raise UsageError(
            f"{model}: a class of your own may compute something else on each machine, and nothing can be kept of it "
            "then; convert it, and give the bundle"
        )
    return described


def _print_summary(facts: Mapping[str, Any]) -> None:
    words = [f"{facts['extracted']} images, {facts['keypoints']} keypoints in {escape(facts['out'])}"]
    counts = {
        "of a content that is there": facts["shared"], "were there": facts["skipped"],
        "refused": len(facts["refused"]), "left out": len(facts["failed"]),
    }  # fmt: skip
    out.print("; ".join([*words, *(f"{count} {what}" for what, count in counts.items() if count)]))
    for name, reason in facts["failed"].items():
        print_error(line_about(name, reason))
    if refused := facts["refused"]:
        some = ", ".join(refused[:_NAMED]) + (", …" if len(refused) > _NAMED else "")
        print_error(
            f"{len(refused)} refused: {facts['out']} holds other images of the same name from another folder ({some}); "
            "choose another --out, or replace them with --replace"
        )
