"""``oakpoint demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from oakpoint.chain.options import ConversionOptions
from oakpoint.cli.console import out, print_warning
from oakpoint.cli.convert import RANDOM_SEED, print_bundle, run_conversion
from oakpoint.cli.options import Weights
from oakpoint.cli.run import UNTRAINED_NOTICE
from oakpoint.extractor import load
from oakpoint.features.tracking import Tracker
from oakpoint.images.moving_view import KnownFrame, moving_view
from oakpoint.verify.photographs import load_photographs
from oakpoint.verify.track_score import TrackScore
from oakpoint.view.playback import picture_of, tracked_frames
from oakpoint.view.recording import open_recording

SIZE = (320, 200)
PHOTOGRAPH = "motorcycle_left"
FRAMES, FPS = 60, 15.0
TRACK_LENGTH, MATCH_DISTANCE, TOLERANCE_PX = 20, 0.7, 3.0


def demo_command(
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for everything that is made.")] = Path(
        "demo-output"
    ),
    weights: Weights = None,
) -> None:
    """The whole story: convert SuperPoint, verify every stage, track on a moving view, and write it all to a folder."""
    if weights is None:
        print_warning(
            "no weights given: the network is initialised at random and its keypoints mean nothing. Get "
            "superpoint_v1.pth from github.com/magicleap/SuperPointPretrainedNetwork (non-commercial) and run: "
            "oakpoint demo --weights FILE"
        )
    out_folder.mkdir(parents=True, exist_ok=True)
    options = ConversionOptions(
        model="superpoint", weights=weights, seed=RANDOM_SEED if weights is None else None, size=SIZE
    )
    conversion = run_conversion(options, out_folder / "bundle", to_stderr=False)
    print_bundle(conversion)
    notice = None if conversion.manifest.weights.trained else UNTRAINED_NOTICE
    _track(out_folder / "bundle", out_folder / "tracks.gif", notice)


def _track(bundle: Path, gif: Path, notice: str | None) -> None:
    """Track on a view that moves over a photograph, and score the tracks by the known homographies."""
    known: list[KnownFrame] = []
    photograph = load_photographs(None)[PHOTOGRAPH]
    score = TrackScore(tolerance_px=TOLERANCE_PX)
    tracker = Tracker(max_length=TRACK_LENGTH, max_distance=MATCH_DISTANCE)
    with load(bundle) as extractor, open_recording(gif, fps=FPS) as recording:
        view = list(moving_view(photograph, size=(2 * SIZE[0], 2 * SIZE[1]), frames=FRAMES))
        for frame, truth in zip(tracked_frames((f.image for f in view), extractor, tracker), view, strict=True):
            if known:
                score.add(frame.tracks, frame_from_previous(truth, known[-1]))
            known.append(truth)
            recording.write(picture_of(frame, notice=notice))
        out.print(
            f"tracked {FRAMES} frames on {extractor.description()}: {score.steps / (FRAMES - 1):.0f} steps a frame, "
            f"{score.share_true:.1%} within {TOLERANCE_PX:g} px of the true motion"
            + (f"  ({notice})" if notice else "")
        )
    out.print(f"look at [bold]{gif}[/]")


def frame_from_previous(frame: KnownFrame, previous: KnownFrame) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The homography between two frames of a moving view."""
    return np.asarray(frame.frame_from_photograph @ np.linalg.inv(previous.frame_from_photograph))
