"""``oakpoint demo``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from oakpoint.bundle.folder import Bundle
from oakpoint.bundle.manifest import PAGE_FILE
from oakpoint.bundle.records import StageReport
from oakpoint.chain.evidence import Evidence
from oakpoint.chain.options import ConversionOptions
from oakpoint.cli.console import command_line, out
from oakpoint.cli.convert import page_of, print_bundle, run_conversion
from oakpoint.cli.options import Weights
from oakpoint.features.tracking import Tracker
from oakpoint.images.moving_view import KnownFrame, moving_view
from oakpoint.images.reading import read_image
from oakpoint.images.sources import Frame
from oakpoint.loading import load_extractor
from oakpoint.report.folders import write_text
from oakpoint.report.pages.conversion import conversion_page, tracks_section
from oakpoint.report.parts.pictures import Picture
from oakpoint.result_folders import FolderKind, replacing_result
from oakpoint.run.controls import ControlBoard
from oakpoint.run.frames import observed_frames
from oakpoint.run.recordings.opening import open_recording
from oakpoint.run.tracking import FrameTracker
from oakpoint.tasks.keypoints.track_score import TrackScore
from oakpoint.verify.photographs import load_photographs
from oakpoint.view.picture import write_image

SIZE = (320, 200)
PHOTOGRAPH = "motorcycle_left"
BUNDLE_FOLDER, GIF_FILE, PICTURE_FILE = "bundle", "tracks.gif", "tracks.png"
DEMO = FolderKind(name="a demo's output", option="--out")
FRAMES, FPS = 60, 15.0
TRACK_LENGTH, MATCH_DISTANCE, TOLERANCE_PX = 20, 0.7, 3.0


def demo_command(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="acorn, superpoint, or package.module:Class.")
    ] = "acorn",
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for everything that is made.")] = Path(
        "demo-output"
    ),
    weights: Weights = None,
) -> None:
    """The whole story: convert a network, verify every stage, track on a moving view, and write it all to a folder.

    With nothing given it is acorn, whose weights come with oakpoint.
    """
    with replacing_result(out_folder, DEMO) as folder:
        options = ConversionOptions(model=model, weights=weights, size=SIZE)
        seen = _Seen()
        outcome = run_conversion(options, folder / BUNDLE_FOLDER, to_stderr=False, page=seen)
        if outcome.failure is not None:
            raise outcome.failure
        assert outcome.conversion is not None
        tracked = _track(folder)
        made = Bundle(folder / BUNDLE_FOLDER, outcome.conversion.manifest)
        tracks = tracks_section(Picture(read_image(folder / PICTURE_FILE)), tracked)
        page = conversion_page(
            made, outcome.reports, seen.evidence, command="oakpoint demo", line=command_line(), further=[tracks]
        )
        write_text(folder / PAGE_FILE, page)
    print_bundle(replace(outcome.conversion, folder=out_folder / BUNDLE_FOLDER))
    out.print(tracked)
    out.print(f"look at [bold]{out_folder / PAGE_FILE}[/], {out_folder / PICTURE_FILE} and {out_folder / GIF_FILE}")


class _Seen:
    """Makes the report in the bundle, and keeps what was seen for the demo's own."""

    def __init__(self) -> None:
        self.evidence = Evidence()

    def __call__(self, bundle: Bundle, reports: tuple[StageReport, ...], evidence: Evidence) -> str:
        self.evidence = evidence
        return page_of(bundle, reports, evidence)


def _track(folder: Path) -> str:
    """Track on a view that moves over a photograph; how it went, by the known homographies, in words."""
    photograph = load_photographs(None)[PHOTOGRAPH]
    view = list(moving_view(photograph, size=(2 * SIZE[0], 2 * SIZE[1]), frames=FRAMES))
    score = TrackScore(tolerance_px=TOLERANCE_PX)
    tracker = Tracker(max_length=TRACK_LENGTH, max_distance=MATCH_DISTANCE)
    previous: KnownFrame | None = None
    with load_extractor(folder / BUNDLE_FOLDER) as extractor, open_recording(folder / GIF_FILE, fps=FPS) as recording:
        frames = (Frame(known.image, index, GIF_FILE, index / FPS) for index, known in enumerate(view))
        tracked = FrameTracker(ControlBoard(extractor.task), tracker).frames(observed_frames(frames, extractor))
        for frame, truth in zip(tracked, view, strict=True):
            if previous is not None:
                score.add(frame.tracks, truth.frame_from_photograph @ np.linalg.inv(previous.frame_from_photograph))
            previous = truth
            picture = frame.picture()
            recording.write(picture)
        backend = extractor.description()
    write_image(folder / PICTURE_FILE, picture)
    return (
        f"tracked {FRAMES} frames on {backend}: {score.steps / (FRAMES - 1):.0f} tracks from frame to frame, "
        f"{score.share_true:.1%} within {TOLERANCE_PX:g} px of the true motion"
    )
