"""When there is no model, and what is said then; known cameras."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from oakpoint.errors import UsageError
from oakpoint.estimation.chance import log10_by_chance
from oakpoint.estimation.epipolar import fundamental_from_essential, pose_from_essential, sampson_errors
from oakpoint.estimation.fit import fit_model
from oakpoint.estimation.options import Camera, FitOptions

SIZES = ((640, 480), (640, 480))
CAMERA = Camera(600, 600, 319.5, 239.5)
ALL = [FitOptions(), FitOptions(model="fundamental"), FitOptions(model="essential", cameras=(CAMERA, CAMERA))]
BY_MODEL = pytest.mark.parametrize("options", ALL, ids=lambda options: options.model)


def reason(first: np.ndarray, second: np.ndarray, options: FitOptions) -> str:
    fit = fit_model(first, second, options, sizes=SIZES)
    assert fit.matrix is None
    assert not fit.inliers.any()
    assert fit.inliers.shape == fit.errors_px.shape == (len(first),)
    assert fit.reason is not None
    assert fit.facts()["inliers"] == 0
    return fit.reason


@BY_MODEL
def test_nothing_was_matched(options: FitOptions) -> None:
    assert "0 matches" in reason(np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32), options)


@BY_MODEL
def test_as_many_as_fix_a_model_confirm_none(options: FitOptions, rng: np.random.Generator) -> None:
    fixed = {"homography": 4, "fundamental": 7, "essential": 5}[options.model]
    points = rng.uniform(0, 400, (fixed, 2))
    assert f"{fixed} matches, and {fixed + 1} is the least" in reason(points, points + 5, options)


@BY_MODEL
def test_one_match_many_times_is_one(options: FitOptions) -> None:
    points = np.full((100, 2), 7.0)
    assert "1 different match of 100" in reason(points, points, options)


@BY_MODEL
def test_points_on_one_line_fix_nothing(options: FitOptions, rng: np.random.Generator) -> None:
    along = np.linspace(0, 400, 80)[:, np.newaxis] * [[1.0, 0.4]]
    reason(along, along * 0.9 + 12, options)
    reason(along + rng.normal(0, 0.2, along.shape), along * 0.9 + 12, options)


@BY_MODEL
@pytest.mark.parametrize("count", [8, 30, 300])
def test_unrelated_points_give_no_model(options: FitOptions, count: int) -> None:
    for seed in range(12):
        generator = np.random.default_rng(seed)
        first, second = generator.uniform(0, 470, (2, count, 2))
        reason(first, second, options)


def test_points_that_are_no_numbers_are_no_inliers(rng: np.random.Generator) -> None:
    first = rng.uniform(0, 400, (50, 2)).astype(np.float32)
    second = first + np.float32(10)
    first[3], second[9] = np.nan, np.inf
    fit = fit_model(first, second, FitOptions(), sizes=SIZES)
    assert fit.matrix is not None
    assert np.flatnonzero(~fit.inliers).tolist() == [3, 9]


def test_arrays_that_do_not_belong_together() -> None:
    with pytest.raises(UsageError, match=r"expected \(M, 2\) twice, got \(3, 2\) and \(4, 2\)"):
        fit_model(np.zeros((3, 2)), np.zeros((4, 2)), FitOptions(), sizes=SIZES)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "affine"}, "homography, fundamental, essential"),
        ({"threshold_px": 0.0}, "positive"),
        ({"threshold_px": float("nan")}, "positive"),
        ({"confidence": 1.0}, "below 1"),
        ({"max_iterations": 0}, "iterations"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**31}, "seed"),
        ({"model": "essential"}, "--camera"),
        ({"cameras": (CAMERA, CAMERA)}, "leave one out"),
    ],
)
def test_what_cannot_be_meant(changes: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        FitOptions(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["", "600", "600,600,1", "1,2,3,4,5", "a,b,c,d", "0,600,1,1", "600,-1,1,1", "600,600,nan,1"]
)
def test_no_camera(text: str) -> None:
    with pytest.raises(UsageError, match="camera: expected"):
        Camera.from_text(text)


def test_a_camera_in_words() -> None:
    camera = Camera.from_text("600, 601.5,319.5,239.5")
    np.testing.assert_array_equal(camera.matrix, [[600, 0, 319.5], [0, 601.5, 239.5], [0, 0, 1]])


def test_every_parameter_of_opencv_is_written_out() -> None:
    names = {name for name in dir(cv2.UsacParams()) if not name.startswith("_")}
    first, second = FitOptions().usac(), FitOptions(threshold_px=7, confidence=0.5, max_iterations=3, seed=9).usac()
    assert names == {
        "confidence", "isParallel", "loIterations", "loMethod", "loSampleSize", "maxIterations", "neighborsSearch",
        "randomGeneratorState", "sampler", "score", "threshold", "final_polisher", "final_polisher_iterations",
    }  # fmt: skip
    assert (second.threshold, second.confidence, second.maxIterations, second.randomGeneratorState) == (7, 0.5, 3, 9)
    assert not first.isParallel


def test_sampson_error_of_a_sideways_step() -> None:
    # Rows are epipolar lines: a difference of 3 px in y is made up for by 1.5 px in each image, 3 / √2 in all.
    cross = np.array([[0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])
    errors = sampson_errors(np.array([[10.0, 20], [5, 5]]), np.array([[40.0, 20], [9, 8]]), cross)
    np.testing.assert_allclose(errors, [0, 3 / np.sqrt(2)])


def test_a_pose_by_hand(rng: np.random.Generator) -> None:
    other = Camera(450, 460, 300, 200)
    rotation, step = cv2.Rodrigues(np.array([0.02, -0.1, 0.05]))[0], np.array([0.6, 0, -0.8])
    scene = rng.uniform([-2, -1, 5], [2, 1, 9], (40, 3))
    first, second = (
        (points / points[:, 2:]) @ camera.matrix.T
        for points, camera in ((scene, CAMERA), (scene @ rotation.T + step, other))
    )
    x, y, z = step
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ rotation
    errors = sampson_errors(first[:, :2], second[:, :2], fundamental_from_essential(essential, (CAMERA, other)))
    assert errors.max() < 1e-9
    pose = pose_from_essential(essential, first[:, :2], second[:, :2], (CAMERA, other))
    np.testing.assert_allclose(pose.rotation, rotation, atol=1e-9)
    np.testing.assert_allclose(pose.direction, step, atol=1e-9)
    assert pose.in_front == 40
    assert pose.angle_deg == pytest.approx(np.degrees(np.linalg.norm([0.02, -0.1, 0.05])))


def test_a_flat_scene_is_told(rng: np.random.Generator) -> None:
    first = rng.uniform(0, 400, (200, 2))
    turned = cv2.getRotationMatrix2D((200, 200), 8, 1.1)
    second = first @ turned[:, :2].T + turned[:, 2] + rng.normal(0, 0.2, first.shape)
    fit = fit_model(first, second, FitOptions(model="fundamental"), sizes=SIZES)
    assert fit.on_one_homography is not None
    assert fit.on_one_homography > 0.95 * 200


def test_chance_falls_with_inliers_and_rises_with_the_threshold() -> None:
    def chance(inliers: int, threshold_px: float) -> float:
        return log10_by_chance(
            "homography", matches=100, inliers=inliers, threshold_px=threshold_px, sizes=((640, 480), (320, 240))
        )

    assert chance(50, 3) < chance(20, 3) < 0 < chance(5, 3)
    assert chance(20, 3) < chance(20, 6)
    assert chance(4, 3) == 2


def test_chance_by_hand() -> None:
    # One inlier beyond the sample of 4, of 5 matches: (5 − 4) · C(5, 5) · C(5, 4) · (π · 9 / 76,800).
    expected = np.log10(5 * np.pi * 9 / 76_800)
    found = log10_by_chance("homography", matches=5, inliers=5, threshold_px=3, sizes=((640, 480), (320, 240)))
    assert found == pytest.approx(expected)
