"""What is drawn on images, in one place: keypoints, tracks, matches, and the line of figures below them.

Every function takes a grey or BGR image, leaves it as it is, and returns a new BGR one. Positions are drawn to 1/16 of
a pixel, anti-aliased; dots have a dark rim and lines a shadow, so that both stand out on dark and on bright ground.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import FeaturesError
from oakpoint.features.types import Features, Matches
from oakpoint.images.inputs import check_image

Colour = tuple[int, int, int]
"""Blue, green, red, 0 to 255 each."""

_SHIFT = 4  # OpenCV's fixed-point coordinates: this many bits below one pixel
_FARTHEST_PX = 1 << 15  # beyond it, nothing of a mark is in sight and fixed-point coordinates could overflow
_RIM: Colour = (24, 16, 16)
_REJECTED: Colour = (150, 145, 225)
_STRIP: Colour = (30, 26, 24)
_TEXT: Colour = (238, 236, 234)
_FAINT: Colour = (150, 146, 142)
_LEVELS = 32
_GAP_PX = 8
_SMALLEST_TEXT = 0.05  # OpenCV's font scale; nobody reads less
_DASH_PX = 5  # of a dash, and of the gap after it
_CROSS_PX = 2.5


def draw_keypoints(image: NDArray[np.uint8], features: Features, *, radius_px: float = 2.5) -> NDArray[np.uint8]:
    """Draw keypoints as dots, from purple for the lowest score of the image to yellow for the highest.

    Scores are ranked, since they crowd near the threshold.

    Args:
        image: uint8 (H, W) or (H, W, 3) BGR, the original image of ``features``.
        features: keypoints in pixels of ``image``.
        radius_px: of a dot.

    Returns:
        uint8 (H, W, 3) BGR.

    Raises:
        ImageError: not an image.
    """
    canvas = bgr_from_image(image)
    n = len(features)
    rank = np.empty(n)
    rank[np.argsort(features.scores, kind="stable")] = np.arange(1, n + 1) / max(n, 1)
    _draw_dots(canvas, features.keypoints, rank, np.full(n, radius_px))
    return canvas


def draw_tracks(
    image: NDArray[np.uint8],
    positions: NDArray[np.float32],
    ages: NDArray[np.int64],
    *,
    oldest: int = 30,
    radius_px: float = 2.5,
) -> NDArray[np.uint8]:
    """Draw tracks as the lines they came along, with a dot at the present point, from purple (new) to yellow (old).

    Args:
        image: uint8 (H, W) or (H, W, 3) BGR.
        positions: float32 (N, L, 2), the last L points (x, y) of each track in pixels, the present one last; NaN where
            there is none.
        ages: int64 (N,), frames that each track has lasted.
        oldest: age in frames from which on the colour no longer changes.
        radius_px: of a dot; that of a new track is 0.6 of it.

    Returns:
        uint8 (H, W, 3) BGR.

    Raises:
        ImageError: not an image.
        FeaturesError: arrays of other shapes.
    """
    if positions.ndim != 3 or positions.shape[2] != 2 or ages.shape != positions.shape[:1]:
        raise FeaturesError(
            f"tracks: expected positions (N, L, 2) and ages (N,), got {positions.shape} and {ages.shape}"
        )
    canvas = bgr_from_image(image)
    share = np.clip((ages - 1) / max(oldest - 1, 1), 0, 1)
    drawable = _drawable(positions)
    fixed = _fixed_point(np.where(drawable[..., np.newaxis], positions, 0))
    points, ends = fixed[drawable], np.cumsum(drawable.sum(axis=1)).tolist()
    lines = [points[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    moving = [i for i, line in enumerate(lines) if len(line) > 1]
    moving.sort(key=lambda i: share[i])  # the oldest on top, and lines of one colour together
    colours = [_PALETTE[level] for level in _level(share)]
    _shade_lines(canvas, [lines[i] for i in moving], 0.3)
    _blend_lines(canvas, [lines[i] for i in moving], [colours[i] for i in moving], 0.5)
    half = positions.shape[1] // 2 + 1
    recent = [lines[i][-half:] for i in moving]
    _blend_lines(canvas, recent, [colours[i] for i in moving], 0.9)
    _draw_dots(canvas, positions[:, -1], share, np.where(ages > 1, radius_px, 0.6 * radius_px))
    return canvas


def draw_matches(
    image_a: NDArray[np.uint8],
    image_b: NDArray[np.uint8],
    features_a: Features,
    features_b: Features,
    matches: Matches,
    *,
    inliers: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """Draw two images side by side with a line for each match, the closest descriptors on top.

    Lines run from purple for the most distant descriptors of the image to yellow for the closest. With ``inliers``,
    that holds for them; they lie over the others, which are dashed in a pale red, with crosses in place of dots, so
    that they are told apart without seeing colours.

    Args:
        image_a: uint8 (H, W) or (H, W, 3) BGR.
        image_b: likewise, of any size; the smaller of the two is set at the top.
        features_a: keypoints of ``image_a`` in its pixels.
        features_b: keypoints of ``image_b`` in its pixels.
        matches: M pairs of them.
        inliers: bool (M,), which of the matches agree with a model, such as a homography.

    Returns:
        uint8 (max H, W_a + 8 + W_b, 3) BGR.

    Raises:
        ImageError: not an image.
        FeaturesError: ``inliers`` of another length than ``matches``, or an index that no keypoint has.
    """
    m = len(matches)
    if inliers is not None and inliers.shape != (m,):
        raise FeaturesError(f"inliers: expected ({m},), one for each match, got {inliers.shape}")
    counts = np.array([len(features_a), len(features_b)])
    if m and ((matches.indices < 0) | (matches.indices >= counts)).any():
        raise FeaturesError(f"matches: expected indices below {counts[0]} and {counts[1]}, got others")
    canvas, offset_px = _side_by_side(bgr_from_image(image_a), bgr_from_image(image_b))
    ends = np.empty((m, 2, 2), np.float32)
    ends[:, 0] = features_a.keypoints[matches.indices[:, 0]]
    ends[:, 1] = features_b.keypoints[matches.indices[:, 1]] + np.array([offset_px, 0], np.float32)
    drawable = _drawable(ends.reshape(-1, 2)).reshape(-1, 2).all(axis=1)
    solid = drawable if inliers is None else drawable & inliers
    _draw_rejected(canvas, ends[drawable & ~solid])
    order = np.argsort(-matches.distances[solid], kind="stable")
    _draw_accepted(canvas, ends[solid][order], _ranks(-matches.distances[solid])[order])
    return canvas


def palette_colours(shares: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The colours that keypoints and tracks are drawn in, from purple for 0 to yellow for 1.

    Args:
        shares: (N,) in [0, 1].

    Returns:
        uint8 (N, 3), BGR.
    """
    return np.array([_PALETTE[level] for level in _level(shares)], np.uint8).reshape(-1, 3)


def draw_heat_map(image: NDArray[np.uint8], heat_map: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Lay a heat map over an image: the likelier, the brighter and the denser; where it is zero the image stays.

    Colour and density follow the cube root of the probability, on a scale that is the same for every frame: the scores
    of keypoints crowd below a tenth.

    Args:
        image: uint8 (H, W) or (H, W, 3) BGR.
        heat_map: float32 (H, W) in [0, 1].

    Returns:
        uint8 (H, W, 3) BGR.

    Raises:
        ImageError: not an image.
        FeaturesError: a heat map of another size.
    """
    canvas = bgr_from_image(image)
    if heat_map.shape != canvas.shape[:2]:
        raise FeaturesError(
            f"heat map: expected {canvas.shape[:2]}, the image's rows and columns, got {heat_map.shape}"
        )
    share = np.cbrt(np.clip(np.nan_to_num(heat_map), 0, 1))
    colours = cv2.applyColorMap(np.rint(255 * share).astype(np.uint8), cv2.COLORMAP_INFERNO)
    weight = (0.85 * np.minimum(2 * share, 1))[..., np.newaxis]
    return np.asarray(np.rint(canvas * (1 - weight) + colours * weight), np.uint8)


def with_status(image: NDArray[np.uint8], figures: Sequence[str]) -> NDArray[np.uint8]:
    """Add a strip with a line of figures below an image: ``["31.2 fps", "412 keypoints"]``.

    The text is set smaller where it would not fit in the width.

    Args:
        image: uint8 (H, W) or (H, W, 3) BGR.
        figures: short texts in ASCII; OpenCV has no other letters everywhere.

    Returns:
        uint8 (H + strip, W, 3) BGR; the strip's height is even and depends on W alone.

    Raises:
        ImageError: not an image.
    """
    picture = bgr_from_image(image)
    height, width = picture.shape[:2]
    scale = min(max(width / 1280, 0.45), 1.2)
    strip_px = 2 * round(24 * scale)
    canvas = np.full((height + strip_px, width, 3), _STRIP, np.uint8)
    canvas[:height] = picture
    margin_px = round(14 * scale)
    font, gap = cv2.FONT_HERSHEY_SIMPLEX, "   |   "
    parts = [part for figure in figures for part in ((gap, _FAINT), (figure, _TEXT))][1:]

    def widths_px() -> list[int]:
        return [cv2.getTextSize(text, font, scale, 1)[0][0] for text, _ in parts]

    room_px = width - 2 * margin_px
    while room_px > 0 and sum(widths_px()) > room_px and scale > _SMALLEST_TEXT:  # widths do not scale quite alike
        scale *= min(room_px / sum(widths_px()), 0.99)
    baseline = height + (strip_px + cv2.getTextSize("0", font, scale, 1)[0][1]) // 2
    x = margin_px
    for (text, colour), text_px in zip(parts, widths_px(), strict=True):
        cv2.putText(canvas, text, (x, baseline), font, scale, colour, 1, cv2.LINE_AA)
        x += text_px
    return canvas


def bgr_from_image(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A copy in blue, green, red, uint8 (H, W, 3), of a grey (H, W) or BGR (H, W, 3) image.

    Raises:
        ImageError: another type or shape (``check_image``).
    """
    check_image(image)
    if image.ndim == 3:
        return np.array(image, order="C")
    return np.repeat(image[:, :, np.newaxis], 3, axis=2)


def _draw_accepted(canvas: NDArray[np.uint8], ends: NDArray[np.float32], shares: NDArray[np.float64]) -> None:
    """Draw lines (M, 2, 2) with dots at their ends, coloured by shares (M,) in [0, 1], the last on top."""
    lines, colours = list(_fixed_point(ends)), [_PALETTE[level] for level in _level(shares)]
    _shade_lines(canvas, lines, 0.25)
    _blend_lines(canvas, lines, colours, 0.8)
    _draw_dots(canvas, ends.reshape(-1, 2), np.repeat(shares, 2), np.full(2 * len(ends), 2.0))


def _draw_rejected(canvas: NDArray[np.uint8], ends: NDArray[np.float32]) -> None:
    """Draw lines (M, 2, 2) dashed, with crosses at their ends."""
    arms = np.array([[[-1, -1], [1, 1]], [[-1, 1], [1, -1]]], np.float32) * _CROSS_PX
    crosses = list(_fixed_point((ends.reshape(-1, 1, 1, 2) + arms).reshape(-1, 2, 2)))
    dashes = [dash for line in ends for dash in _fixed_point(_dashes(line))]
    _blend_lines(canvas, dashes, [_REJECTED] * len(dashes), 0.5)
    _shade_lines(canvas, crosses, 0.35)
    _blend_lines(canvas, crosses, [_REJECTED] * len(crosses), 1.0)


def _dashes(line: NDArray[np.float32]) -> NDArray[np.float32]:
    """The pieces (K, 2, 2) of a dashed line from ``line[0]`` to ``line[1]``; one piece of a short one."""
    length = float(np.linalg.norm(line[1] - line[0]))
    pieces = max(int(length // (2 * _DASH_PX)), 1)
    starts = np.arange(pieces) / pieces
    along = np.stack([starts, starts + 0.5 / pieces], axis=1)[..., np.newaxis]
    return np.asarray(line[0] + along * (line[1] - line[0]), np.float32)


def _ranks(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Where each value stands among the others: the share that is not larger, in (0, 1]; equal ones stand alike."""
    return np.searchsorted(np.sort(values), values, side="right") / max(len(values), 1)


def _side_by_side(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
    """Both in one picture, and the column at which the right one starts."""
    offset_px = left.shape[1] + _GAP_PX
    height = max(left.shape[0], right.shape[0])
    canvas = np.full((height, offset_px + right.shape[1], 3), _STRIP, np.uint8)
    canvas[: left.shape[0], : left.shape[1]] = left
    canvas[: right.shape[0], offset_px:] = right
    return canvas, offset_px


def _draw_dots(
    canvas: NDArray[np.uint8],
    points: NDArray[np.float32],
    shares: NDArray[np.float64],
    radii_px: NDArray[np.float64],
) -> None:
    """Draw dots at points (N, 2), coloured by shares (N,) in [0, 1], the highest share on top."""
    order = np.argsort(shares, kind="stable")
    order = order[_drawable(points[order])]
    colours = [_PALETTE[level] for level in _level(shares[order])]
    radii = np.rint(radii_px[order] * (1 << _SHIFT)).astype(np.int64).tolist()
    circle, rim_px, filled, smooth = cv2.circle, 1 << _SHIFT, cv2.FILLED, cv2.LINE_AA  # looked up once, not per dot
    for centre, colour, radius in zip(_fixed_point(points[order]).tolist(), colours, radii, strict=True):
        circle(canvas, centre, radius + rim_px, _RIM, filled, smooth, _SHIFT)
        circle(canvas, centre, radius, colour, filled, smooth, _SHIFT)


def _shade_lines(canvas: NDArray[np.uint8], lines: Sequence[NDArray[np.int32]], opacity: float) -> None:
    """Draw a shadow of 3 px for lines that come on top of it; where they cross it is no denser."""
    mask = np.zeros(canvas.shape[:2], np.uint8)
    cv2.polylines(mask, lines, False, 255, 1, cv2.LINE_8, _SHIFT)
    wide = cv2.dilate(mask, np.ones((3, 3), np.uint8))  # lines of 3 px would take OpenCV eight times as long
    shade = np.empty_like(canvas)
    cv2.rectangle(shade, (0, 0), (shade.shape[1], shade.shape[0]), _RIM, cv2.FILLED)
    cv2.copyTo(cv2.addWeighted(shade, opacity, canvas, 1 - opacity, 0), wide, canvas)


def _blend_lines(
    canvas: NDArray[np.uint8], lines: Sequence[NDArray[np.int32]], colours: Sequence[Colour], opacity: float
) -> None:
    """Draw lines of the given opacity, 0 to 1, the last on top; where they cross they are no denser."""
    layer = canvas.copy()
    start = 0
    for colour, same in groupby(colours):  # one call for each run of a colour, not for each line
        end = start + len(list(same))
        cv2.polylines(layer, lines[start:end], False, colour, 1, cv2.LINE_AA, _SHIFT)
        start = end
    cv2.addWeighted(layer, opacity, canvas, 1 - opacity, 0, dst=canvas)


def _drawable(points: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which of the points (…, 2) are finite and near enough: bool (…)."""
    return np.asarray((np.abs(points) < _FARTHEST_PX).all(axis=-1), np.bool_)


def _fixed_point(points: NDArray[np.float32]) -> NDArray[np.int32]:
    """OpenCV's coordinates with ``_SHIFT`` fractional bits; its origin, too, is the centre of the top-left pixel."""
    return np.rint(np.asarray(points, np.float64) * (1 << _SHIFT)).astype(np.int32)


def _level(shares: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint(np.asarray(shares) * (_LEVELS - 1)).astype(np.int64)


def _palette() -> list[Colour]:
    """Plasma, a perceptually uniform colour map of matplotlib, without its darkest third."""
    steps = np.linspace(80, 250, _LEVELS).round().astype(np.uint8)
    colours = cv2.applyColorMap(steps[:, np.newaxis], cv2.COLORMAP_PLASMA)[:, 0]
    return [(int(b), int(g), int(r)) for b, g, r in colours]


_PALETTE = _palette()
