"""The report folder of ``oakpoint debug``: the facts as a file, the errors over the layers, and the worst regions."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.cli.eval_output import write_text
from oakpoint.errors import OutputError
from oakpoint.layers.debug.bundle_arrows import ARROWS
from oakpoint.layers.debug.regions import Region
from oakpoint.layers.debug.report import ArrowReport, DebugReport
from oakpoint.result_folders import FolderKind, check_place, replacing_result
from oakpoint.view.charts import Profile, save_profiles
from oakpoint.view.draw import bgr_from_image, with_status

FACTS_FILE, ERRORS_FILE = "debug.json", "errors.png"
REPORT = FolderKind(name="a debugging report", option="--report")

_LEAST_WIDTH = 640
_BOX = (60, 60, 255)


def check_debug_folder(folder: Path) -> None:
    """Refuse to replace what is not an earlier report alone.

    Raises:
        OutputError: a file of that name, or a folder with other things in it.
    """
    check_place(folder, REPORT)


def write_debug_report(folder: Path, report: DebugReport) -> None:
    """Write everything to a folder, which appears with all of it.

    Raises:
        OutputError: see ``check_debug_folder``.
        MissingExtraError: matplotlib is not installed.
    """
    with replacing_result(folder, REPORT) as place:
        write_text(place / FACTS_FILE, json.dumps(report.facts(), indent=2, allow_nan=False) + "\n")
        panels = {ARROWS[arrow.stage].shown: _profile(arrow) for arrow in report.arrows if arrow.errors}
        if panels:
            title = f"{report.network}: errors of each layer's output, root mean square over that of its values"
            save_profiles(place / ERRORS_FILE, panels, value="error (share of the values)", title=title)
        for arrow in report.arrows:
            if arrow.region is not None:
                path = place / f"worst_{ARROWS[arrow.stage].option}.png"
                if not cv2.imwrite(str(path), region_picture(arrow.region, _caption(arrow))):
                    raise OutputError(f"{path}: the picture could not be written")


def _profile(arrow: ArrowReport) -> Profile:
    errors = arrow.errors
    return Profile(
        places=[error.shown for error in errors],
        lines={
            "grown up to there": [error.grown.mean_square for error in errors],
            "of the layer alone": [error.own.mean_square for error in errors],
            "what rounding explains": [error.rounding.mean_square for error in errors],
        },
        marked=[] if arrow.first is None else [errors.index(arrow.first)],
    )


def _caption(arrow: ArrowReport) -> list[str]:
    region = arrow.region
    assert arrow.first is not None
    assert region is not None
    texts = [
        arrow.first.shown,
        f"channel {region.channel}",
        f"{region.got:.4g} for {region.expected:.4g}",
        region.image,
    ]
    return [re.sub(r"[^ -~]", "?", text) for text in texts]


def region_picture(region: Region, caption: list[str]) -> NDArray[np.uint8]:
    """The network's input with the errors over it and the worst region framed; uint8 (H, W, 3) BGR."""
    picture = bgr_from_image(region.picture)
    factor = max(1, -(-_LEAST_WIDTH // picture.shape[1]))
    size = (picture.shape[1] * factor, picture.shape[0] * factor)
    picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    share = cv2.resize(region.errors / max(float(region.errors.max()), 1e-30), size, interpolation=cv2.INTER_NEAREST)
    heat = cv2.applyColorMap(np.rint(share * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    weight = 0.75 * np.sqrt(share)[..., np.newaxis]  # small errors stay visible beside the largest
    blended = np.rint(picture * (1 - weight) + heat * weight).astype(np.uint8)
    left, top, right, bottom = (side * factor for side in region.box)
    cv2.rectangle(blended, (left, top), (right - 1, bottom - 1), _BOX, 2)
    return with_status(blended, caption)
