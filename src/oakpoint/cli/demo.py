"""``oakpoint demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from oakpoint.chain.options import ConversionOptions
from oakpoint.cli.console import out
from oakpoint.cli.convert import print_bundle, run_conversion
from oakpoint.cli.options import Weights
from oakpoint.errors import OutputError
from oakpoint.extractor import load
from oakpoint.features.tracking import Tracker
from oakpoint.images.moving_view import KnownFrame, moving_view
from oakpoint.verify.photographs import load_photographs
from oakpoint.verify.track_score import TrackScore
from oakpoint.view.picture import write_image
from oakpoint.view.playback import picture_of, tracked_frames
from oakpoint.view.recording import open_recording

SIZE = (320, 200)
PHOTOGRAPH = "motorcycle_left"
GIF_FILE, PICTURE_FILE = "tracks.gif", "tracks.png"
FRAMES, FPS = 60, 15.0
TRACK_LENGTH, MATCH_DISTANCE, TOLERANCE_PX = 20, 0.7, 3.0


def demo_command(
    model: Annotated[str, typer.Argument(help="acorn, superpoint, or package.module:Class.")] = "acorn",
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for everything that is made.")] = Path(
        "demo-output"
    ),
    weights: Weights = None,
) -> None:
    """The whole story: convert a network, verify every stage, track on a moving view, and write it all to a folder.

    With nothing given it is acorn, whose weights come with oakpoint.
    """
    try:
        out_folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out_folder}: cannot be made ({error.strerror}); choose another --out") from error
    outcome = run_conversion(
        ConversionOptions(model=model, weights=weights, size=SIZE), out_folder / "bundle", to_stderr=False
    )
    if outcome.failure is not None:
        raise outcome.failure
    assert outcome.conversion is not None
    print_bundle(outcome.conversion)
    _track(out_folder)


def _track(folder: Path) -> None:
    """Track on a view that moves over a photograph, and score the tracks by the known homographies."""
    photograph = load_photographs(None)[PHOTOGRAPH]
    view = list(moving_view(photograph, size=(2 * SIZE[0], 2 * SIZE[1]), frames=FRAMES))
    score = TrackScore(tolerance_px=TOLERANCE_PX)
    tracker = Tracker(max_length=TRACK_LENGTH, max_distance=MATCH_DISTANCE)
    previous: KnownFrame | None = None
    with load(folder / "bundle") as extractor, open_recording(folder / GIF_FILE, fps=FPS) as recording:
        for frame, truth in zip(tracked_frames((f.image for f in view), extractor, tracker), view, strict=True):
            if previous is not None:
                score.add(frame.tracks, truth.frame_from_photograph @ np.linalg.inv(previous.frame_from_photograph))
            previous = truth
            picture = picture_of(frame)
            recording.write(picture)
        backend = extractor.description()
    write_image(folder / PICTURE_FILE, picture)
    out.print(
        f"tracked {FRAMES} frames on {backend}: {score.steps / (FRAMES - 1):.0f} tracks from frame to frame, "
        f"{score.share_true:.1%} within {TOLERANCE_PX:g} px of the true motion"
    )
    out.print(f"look at [bold]{folder / PICTURE_FILE}[/] and {folder / GIF_FILE}")
