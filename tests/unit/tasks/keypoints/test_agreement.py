from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from oakpoint.errors import BackendError
from oakpoint.features.sampling import unit_norm
from oakpoint.features.types import DecodeOptions, DenseOutputs, Features
from oakpoint.tasks.keypoints.agreement import Agreement, View
from oakpoint.tasks.keypoints.scores import ScoreErrors
from oakpoint.tasks.keypoints.tolerances import SCORE_FLOOR, TOLERANCES
from oakpoint.verify.tolerances import FUSED_STAGE, IR_STAGE

DECODE = DecodeOptions.preset("superpoint").with_changes(nms_radius_px=2)
GRID = (6, 8)


def outputs(bumps: dict[tuple[int, int], float], *, descriptors: np.ndarray | None = None) -> DenseOutputs:
    """Logits whose heat map has the given probabilities at (x, y), and next to nothing elsewhere."""
    heat = np.full((GRID[0] * 8, GRID[1] * 8), 1e-6)
    for (x, y), probability in bumps.items():
        heat[y, x] = probability
    cells = heat.reshape(GRID[0], 8, GRID[1], 8).transpose(1, 3, 0, 2).reshape(64, *GRID)
    logits = np.log(np.concatenate([cells, 1 - cells.sum(0, keepdims=True)]))
    if descriptors is None:
        descriptors = np.random.default_rng(0).normal(size=(16, *GRID))
    return DenseOutputs(logits.astype(np.float32), descriptors.astype(np.float32))


def figures(
    reference: DenseOutputs, candidate: DenseOutputs, decode: DecodeOptions = DECODE, stage: str = IR_STAGE
) -> dict[str, float]:
    agreement = Agreement(decode, stage)
    a, b = agreement.view(reference), agreement.view(candidate)
    agreement.add_image(a, b)
    agreement.add_pair((a, a), (b, b))
    return agreement.figures()


POINTS = {(12, 12): 0.9, (30, 12): 0.8, (50, 12): 0.7, (20, 30): 0.6}


def test_a_model_agrees_with_itself() -> None:
    found = figures(outputs(POINTS), outputs(POINTS))
    assert found["keypoints compared"] == 4
    for name, value in found.items():
        if "common" in name:
            assert value == 1.0, name
        elif "error" in name:
            assert value == 0.0, name
        elif "cosine" in name:
            assert value == pytest.approx(1.0, abs=1e-6), name


def test_shares_count_against_the_larger_of_both() -> None:
    three = {point: POINTS[point] for point in list(POINTS)[:3]}
    for pair in ((POINTS, three), (three, POINTS)):
        found = figures(*map(outputs, pair))
        assert found["keypoints in common at 0 px"] == 0.75
        assert found["keypoints in common at 1 px"] == 0.75
        assert found["matches in common"] == 0.75


def test_a_keypoint_that_moved_by_a_pixel() -> None:
    moved = {(x + (x == 12), y): p for (x, y), p in POINTS.items()}
    found = figures(outputs(POINTS), outputs(moved))
    assert found["keypoints in common at 0 px"] == 0.75
    assert found["keypoints in common at 1 px"] == 1.0
    far = {(x + 2 * (x == 12), y): p for (x, y), p in POINTS.items()}
    assert figures(outputs(POINTS), outputs(far))["keypoints in common at 1 px"] == 0.75


@pytest.mark.parametrize("subpixel", ["soft_argmax", "quadratic"])
def test_refinement_is_measured_beside_what_is_compared(subpixel: str) -> None:
    apart = {(12, 12): 0.4, (30, 12): 0.5, (50, 12): 0.7}
    reference, candidate = outputs(apart | {(13, 12): 0.2}), outputs(apart | {(13, 12): 0.3})
    plain = figures(reference, candidate)
    refined = figures(reference, candidate, decode=DECODE.with_changes(subpixel=subpixel))
    assert plain == {name: value for name, value in refined.items() if "refinement" not in name}
    assert refined["keypoints in common at 0 px"] == 1.0
    largest, mean = refined["largest refinement error, px"], refined["mean refinement error, px"]
    assert 0 < largest < 0.2
    assert mean == pytest.approx(largest / 3, rel=0.01)  # of three keypoints one moved


EXPLAINED, HANGING = "keypoints that rounding does not explain", "keypoints that hang on rounding"


def test_what_hangs_on_the_threshold_is_explained() -> None:
    near = POINTS | {(40, 40): DECODE.threshold * 1.0005}
    found = figures(outputs(near), outputs(POINTS | {(40, 40): DECODE.threshold * 0.9995}))
    assert found["keypoints in common at 0 px"] == 0.8
    assert (found[EXPLAINED], found[HANGING]) == (0, 0.2)


def test_what_hangs_on_a_rival_of_the_same_score_is_explained() -> None:
    left, right = ({**POINTS, (39, 40): a, (41, 40): b} for a, b in ((0.5002, 0.5), (0.5, 0.5002)))
    found = figures(outputs(left), outputs(right))
    assert found["keypoints in common at 0 px"] == 0.8
    assert (found[EXPLAINED], found[HANGING]) == (0, 2 / 6)  # of four in common and one on each side


def test_what_no_rounding_explains_counts_on_both_sides() -> None:
    agreement = Agreement(DECODE, IR_STAGE)
    for _ in range(400):  # the usual error is that of 1 % of the scores
        agreement.add_image(agreement.view(outputs(POINTS)), agreement.view(outputs(POINTS)))
    moved = {(x + 3 * (x == 12), y): p for (x, y), p in POINTS.items()}
    agreement.add_image(agreement.view(outputs(POINTS)), agreement.view(outputs(moved)))
    found = agreement.figures()
    assert found["keypoints in common at 1 px"] > 0.99
    assert found[EXPLAINED] == 2  # one that is gone, one that came


def test_a_limit_on_their_number_does_not_count() -> None:
    """Which are the best of two is a decision of the host."""
    other = POINTS | {(50, 12): 0.81}
    two = figures(outputs(POINTS), outputs(other), decode=DECODE.with_changes(max_keypoints=2))
    assert two["keypoints compared"] == 4
    assert two["keypoints in common at 0 px"] == 1.0


def test_a_score_that_is_nothing_on_one_side_is_infinitely_off() -> None:
    gone = outputs(POINTS)
    gone.logits[:, 1, 1] = [-200.0] * 64 + [0.0]
    found = figures(outputs(POINTS), gone)
    assert found["largest score error"] == np.inf
    assert found[EXPLAINED] >= 0


@pytest.mark.parametrize("score", [0.0, -0.1])
def test_a_score_below_nothing_is_infinitely_off_as_well(score: float) -> None:
    """A heat map that is not a softmax's may have such, where something went wrong."""
    errors = ScoreErrors(DECODE, 1e-3)
    expected, got = (np.full((16, 16), value, np.float32) for value in (0.5, score))
    errors.add(expected, got)
    errors.add(got, expected)
    assert errors.sizes() == (np.inf, np.inf)


def test_errors_of_raw_tensors() -> None:
    reference = outputs(POINTS)
    logits, descriptors = reference.logits.copy(), reference.descriptors.copy()
    logits[3, 2, 2] += 0.5
    descriptors[0, 0, 0] -= 0.25
    found = figures(reference, DenseOutputs(logits, descriptors))
    assert found["largest logit error"] == pytest.approx(0.5)
    assert found["largest logit error, relative"] == pytest.approx(0.5 / np.abs(reference.logits).max())
    assert found["largest descriptor error"] == pytest.approx(0.25)
    squares = np.square(reference.descriptors, dtype=np.float64).sum()
    assert found["root mean square descriptor error, relative"] == pytest.approx(0.25 / squares**0.5)
    assert (
        found["usual descriptor error, relative"] == 0.0
    )  # one place of 48: fewer than one in a hundred would be less
    assert 0 < found["largest heat-map error"] < 0.5


def test_the_smallest_cosine_is_that_of_the_worst_keypoint() -> None:
    keypoints = np.array([[8, 8], [24, 8]], np.float32)
    scores = np.array([0.9, 0.8], np.float32)
    angle = 0.1
    a = np.array([[1, 0], [1, 0]], np.float32)
    b = np.array([[1, 0], [np.cos(angle), np.sin(angle)]], np.float32)
    dense = outputs({(8, 8): 0.9, (24, 8): 0.8})
    agreement = Agreement(DECODE, IR_STAGE)
    views = [View(dense, Features(keypoints, scores, d, (64, 48))) for d in (a, b)]
    agreement.add_image(*views)
    assert agreement.figures()["smallest descriptor cosine"] == pytest.approx(np.cos(angle))
    assert agreement.figures()["mean descriptor cosine"] == pytest.approx((1 + np.cos(angle)) / 2)


def test_nan_counts_as_infinitely_wrong() -> None:
    reference = outputs(POINTS)
    broken = DenseOutputs(np.full_like(reference.logits, np.nan), np.full_like(reference.descriptors, np.nan))
    found = figures(reference, broken)
    assert found["largest logit error, relative"] == np.inf
    assert found["keypoints in common at 0 px"] == 0.0


def test_nothing_on_either_side_is_not_a_number() -> None:
    found = figures(outputs({}), outputs({}))
    assert found["keypoints compared"] == 0
    assert np.isnan(found["keypoints in common at 0 px"])
    assert np.isnan(found["matches in common"])


def test_figures_are_gathered_over_images() -> None:
    agreement = Agreement(DECODE, IR_STAGE)
    few = {point: POINTS[point] for point in list(POINTS)[:2]}
    for candidate in (POINTS, few):
        agreement.add_image(agreement.view(outputs(POINTS)), agreement.view(outputs(candidate)))
    assert agreement.images == 2
    assert agreement.figures()["keypoints in common at 0 px"] == (4 + 2) / (4 + 4)


@pytest.mark.parametrize("stage", sorted(set(TOLERANCES) - {FUSED_STAGE}))  # which has a comparison of its own
def test_every_tolerance_is_about_a_figure_that_is_measured(stage: str) -> None:
    measured = set(figures(outputs(POINTS), outputs(POINTS), stage=stage))
    for tolerance in TOLERANCES[stage]:
        assert tolerance.figure in measured, tolerance.figure
        assert not tolerance.usual or tolerance.usual in measured, tolerance.usual
        assert not tolerance.counted or tolerance.counted in measured, tolerance.counted
    assert list(Agreement(DECODE, stage).tolerances()) == list(TOLERANCES[stage])


@pytest.mark.parametrize("stage", TOLERANCES)
def test_so_small_an_error_of_a_score_is_roundings_at_each_stage(stage: str) -> None:
    """A keypoint that hangs on the threshold by less than the stage's floor is explained, by more it is not."""
    for times, unexplained in ((0.4, 0), (3.0, 1)):
        off = 1 + times * SCORE_FLOOR[stage]
        near, gone = (POINTS | {(40, 40): DECODE.threshold * factor} for factor in (off**0.5, off**-0.5))
        agreement = Agreement(DECODE, stage)
        for _ in range(120):  # the usual error is that of 1 % of the scores
            agreement.add_image(agreement.view(outputs(POINTS)), agreement.view(outputs(POINTS)))
        agreement.add_image(agreement.view(outputs(near)), agreement.view(outputs(gone)))
        assert agreement.figures()[EXPLAINED] == unexplained


def test_hints_are_about_figures_that_have_a_tolerance() -> None:
    every = {tolerance.figure for tolerances in TOLERANCES.values() for tolerance in tolerances}
    assert set(Agreement(DECODE, IR_STAGE).look_for()) <= every


def test_descriptors_of_another_length_are_the_candidates_fault() -> None:
    agreement = Agreement(DECODE, IR_STAGE)
    whole = outputs(POINTS)
    views = [agreement.view(DenseOutputs(whole.logits, d)) for d in (whole.descriptors, whole.descriptors[:8])]
    with pytest.raises(BackendError, match=r"descriptors: expected shape \(16, 6, 8\), got \(8, 6, 8\)"):
        agreement.add([views[0]] * 2, [views[1]] * 2)


def test_forms_are_made_before_the_comparison() -> None:
    """The reference is brought to the candidate's form, and the candidate to the reference's."""
    whole = outputs(POINTS)
    unit = replace(whole, descriptors=unit_norm(whole.descriptors))
    tensors = [{"semi": side.logits[None], "desc": side.descriptors[None]} for side in (whole, unit)]
    half = tensors[1] | {"desc": tensors[1]["desc"] / 2}
    agreement = Agreement(
        DECODE,
        IR_STAGE,
        reference_form=lambda found: replace(found, descriptors=unit_norm(found.descriptors)),
        candidate_form=lambda found: replace(found, descriptors=2 * found.descriptors),
    )
    agreement.add([agreement.reference(tensors[0])] * 2, [agreement.candidate(half)] * 2)
    assert agreement.figures()["largest descriptor error"] < 1e-6


def test_no_keypoint_on_either_side_is_nothing_compared() -> None:
    nothing, something = Agreement(DECODE, IR_STAGE), Agreement(DECODE, IR_STAGE)
    nothing.add_image(*(nothing.view(outputs({})) for _ in range(2)))
    something.add_image(*(something.view(outputs(POINTS)) for _ in range(2)))
    assert nothing.why_nothing() == "no keypoints on either side: the decoded features could not be compared"
    assert something.why_nothing() is None
