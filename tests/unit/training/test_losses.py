from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from oakpoint.training.homographies import sample, transform
from oakpoint.training.losses import (
    LossOptions,
    descriptor_loss,
    detector_loss,
    found_positions,
    losses_of,
    position_loss,
)
from oakpoint.training.views import cell_labels

OPTIONS = LossOptions()
BETWEEN = LossOptions(teacher_share=0.0)
TEACHER = LossOptions(teacher_share=1.0)


def described(pairs, *, dim=16, seed=0):
    """Maps (2B, D, 6, 8) with a different random descriptor in every cell, and points at cell centres."""
    generator = torch.Generator().manual_seed(seed)
    count = len(pairs.points)
    maps = torch.randn((count, dim, 6, 8), generator=generator)
    cells = torch.stack([torch.arange(12) % 4 * 2, torch.arange(12) // 4 * 2], dim=1)
    points = (8 * cells + 3.5).expand(count, -1, -1)
    return maps, replace(pairs, points=points), cells


def with_counterparts(maps, cells):
    """The same maps with the second views' descriptors equal to the first ones'."""
    first = maps.chunk(2)[0]
    return torch.cat([first, first])


def at(maps, cells):
    return torch.nn.functional.normalize(maps[:, :, cells[:, 1], cells[:, 0]].transpose(1, 2), dim=2)


class TestDetector:
    def test_it_is_the_labels_entropy_for_a_perfect_detector(self, toy_pairs):
        pairs = toy_pairs()
        entropy = -(pairs.cells * pairs.cells.log()).sum(dim=1).mean()
        assert detector_loss(pairs.cells.log(), pairs) == pytest.approx(float(entropy), rel=1e-5)
        assert detector_loss(pairs.cells.log() + 0.1 * torch.randn(4, 65, 6, 8), pairs) > entropy

    def test_certain_labels_that_are_met_cost_nothing(self, toy_pairs):
        pairs = replace(toy_pairs(), cells=torch.eye(65)[torch.randint(65, (4, 6, 8))].permute(0, 3, 1, 2))
        assert detector_loss(40 * pairs.cells, pairs) == pytest.approx(0, abs=1e-6)
        assert detector_loss(torch.zeros_like(pairs.cells), pairs) == pytest.approx(math.log(65), rel=1e-5)

    def test_cells_outside_do_not_count(self, toy_pairs):
        pairs = toy_pairs()
        weights = torch.zeros_like(pairs.cell_weights)
        weights[:, :3] = 1
        pairs = replace(pairs, cell_weights=weights)
        semi = torch.randn(4, 65, 6, 8)
        other = semi.clone()
        other[:, :, 3:] = 100 * torch.randn(4, 65, 3, 8)
        assert detector_loss(semi, pairs) == detector_loss(other, pairs)
        assert detector_loss(semi, replace(pairs, cell_weights=torch.zeros(4, 6, 8))) == 0


def labelled(pairs, shift=(0.0, 0.0), homography=None, offset=3.3):
    """Pairs whose second views are moved by ``shift`` px, or by a homography, with labels of their points."""
    second_from_first = torch.eye(3)
    second_from_first[:2, 2] = torch.tensor(shift)
    if homography is not None:
        second_from_first = homography
    first = pairs.points.chunk(2)[0] + offset  # in the middle of cells, whose border cuts labels
    second = transform(second_from_first.expand(len(first), -1, -1), first)
    points = torch.cat([first, second])
    homographies = torch.stack([torch.eye(3), second_from_first]).repeat_interleave(len(first), dim=0)
    cells = cell_labels(points, torch.full(points.shape[:2], 0.9), (64, 48), sigma_px=0.5)
    return replace(pairs, points=points, homographies=homographies, cells=cells)


HALVES = LossOptions(label_share=0.5, knee_px=1.0)


class TestPosition:
    def test_blobs_are_found_between_pixels(self):
        truth = torch.tensor([[[20.3, 15.8], [40.6, 30.2]]])
        y, x = torch.meshgrid(torch.arange(48), torch.arange(64), indexing="ij")
        heatmap = sum(torch.exp(-((x - a) ** 2 + (y - b) ** 2) / 0.8) for a, b in truth[0])[None]
        found, sure = found_positions(heatmap, truth + torch.tensor([1.4, -1.2]))
        torch.testing.assert_close(found, truth, atol=0.05, rtol=0)
        assert (sure > 1).all()

    def test_nothing_is_found_in_an_empty_map_and_nothing_breaks(self):
        found, sure = found_positions(torch.zeros(1, 48, 64), torch.tensor([[[0.0, 0.0], [63.0, 47.0]]]))
        assert torch.isfinite(found).all()
        assert not sure.any()

    @pytest.mark.parametrize("shift", [(0.0, 0.0), (1.5, -1.0)])
    def test_labels_that_are_met_cost_next_to_nothing(self, toy_pairs, shift):
        pairs = labelled(toy_pairs(), shift)
        assert position_loss(pairs.cells.clamp_min(1e-9).log(), pairs, HALVES) < 0.02

    def test_views_that_disagree_cost_more_than_views_that_agree(self, toy_pairs):
        pairs = labelled(toy_pairs())
        agreeing = pairs.cells.clamp_min(1e-9).log()
        elsewhere = labelled(toy_pairs(), (1.0, 0.0)).cells.clamp_min(1e-9).log()
        disagreeing = torch.cat([agreeing.chunk(2)[0], elsewhere.chunk(2)[1]])
        assert position_loss(disagreeing, pairs, HALVES) > 0.2
        # Half of that for both views to be off alike: they agree with each other, not with the label.
        both = torch.cat([elsewhere.chunk(2)[1], elsewhere.chunk(2)[1]])
        assert 0.1 < position_loss(both, pairs, HALVES) < 0.4

    def test_distances_count_in_the_smaller_view(self, toy_pairs):
        zoom = torch.diag(torch.tensor([2.0, 2.0, 1.0]))
        pairs = labelled(toy_pairs(points=2), homography=zoom, offset=1.3)
        semi = pairs.cells.clamp_min(1e-9).log()
        further = zoom @ torch.tensor([[1, 0, 0.5], [0, 1, 0], [0, 0, 1.0]])
        moved = labelled(toy_pairs(points=2), homography=further, offset=1.3)
        semi = torch.cat([semi.chunk(2)[0], moved.cells.clamp_min(1e-9).log().chunk(2)[1]])
        # A pixel in the second view, half a pixel in the first: ½·0.5² between views, ½·(0 + ½·1²) to the labels.
        assert float(position_loss(semi, pairs, HALVES)) == pytest.approx((0.125 + 0.25) / 2, abs=0.06)

    def test_the_label_counts_for_its_share(self, toy_pairs):
        pairs = labelled(toy_pairs())
        elsewhere = labelled(toy_pairs(), (1.0, 0.0)).cells.clamp_min(1e-9).log()  # both views off alike, by a pixel
        semi = torch.cat([elsewhere.chunk(2)[1]] * 2)
        losses = [float(position_loss(semi, pairs, replace(HALVES, label_share=share))) for share in (0.0, 0.2, 1.0)]
        assert losses[0] == pytest.approx(0, abs=0.02)
        assert losses[1] == pytest.approx(0.2 * losses[2], abs=0.02)
        assert losses[2] == pytest.approx(0.5, abs=0.05)

    def test_distances_count_in_proportion_beyond_the_knee(self, toy_pairs):
        pairs = labelled(toy_pairs(points=2))
        near, far = (labelled(toy_pairs(points=2), (shift, 0.0)).cells.clamp_min(1e-9).log() for shift in (0.5, 1.5))
        early = LossOptions(label_share=1.0, knee_px=0.25)
        half, three_halves = (float(position_loss(semi, pairs, early)) for semi in (near, far))
        # Only the second of two views is off.
        assert half == pytest.approx((0.5 - 0.125) / 2, abs=0.03)
        assert three_halves == pytest.approx((1.5 - 0.125) / 2, abs=0.06)

    def test_points_that_no_label_holds_do_not_count(self, toy_pairs):
        pairs = labelled(toy_pairs())
        empty = torch.zeros_like(pairs.cells)
        empty[:, -1] = 1
        assert position_loss(torch.randn(4, 65, 6, 8), replace(pairs, cells=empty), HALVES) == 0

    def test_its_gradient_is_finite_and_moves_the_views_together(self, toy_pairs):
        pairs = labelled(toy_pairs())
        semi = (3 * torch.randn(4, 65, 6, 8, generator=torch.Generator().manual_seed(0))).requires_grad_()
        before = position_loss(semi, pairs, HALVES)
        before.backward()
        assert torch.isfinite(semi.grad).all()
        with torch.no_grad():
            assert position_loss(semi - 0.5 * semi.grad / semi.grad.norm(), pairs, HALVES) < before

    def test_the_total_is_the_weighted_sum(self, toy_pairs):
        pairs = labelled(toy_pairs())
        semi, desc = torch.randn(4, 65, 6, 8), torch.randn(4, 16, 6, 8)
        options = LossOptions(descriptor_weight=0.5, position_weight=0.25)
        losses = losses_of(semi, desc, pairs, options)
        expected = (
            detector_loss(semi, pairs)
            + 0.25 * position_loss(semi, pairs, options)
            + 0.5 * descriptor_loss(desc, pairs, options)
        )
        torch.testing.assert_close(losses.total(options), expected)


class TestDescriptor:
    def test_perfect_descriptors_cost_nothing(self, toy_pairs):
        maps, pairs, cells = described(toy_pairs(dim=256), dim=256)
        maps = with_counterparts(maps, cells)
        pairs = replace(pairs, descriptors=at(maps, cells).chunk(2)[0])
        for options in (OPTIONS, BETWEEN, TEACHER):
            assert descriptor_loss(maps, pairs, options) < 1e-3

    def test_descriptors_that_say_nothing_cost_the_logarithm_of_the_choices(self, toy_pairs):
        _, pairs, _ = described(toy_pairs())
        assert descriptor_loss(torch.ones(4, 16, 6, 8), pairs, BETWEEN) == pytest.approx(math.log(12), rel=1e-4)

    def test_it_is_the_cross_entropy_of_finding_the_counterpart(self, toy_pairs):
        maps, pairs, cells = described(toy_pairs())
        first, second = at(maps, cells).chunk(2)
        logits = first @ second.transpose(1, 2) / OPTIONS.temperature
        there = -torch.log_softmax(logits, dim=2).diagonal(dim1=1, dim2=2).mean()
        back = -torch.log_softmax(logits, dim=1).diagonal(dim1=1, dim2=2).mean()
        assert descriptor_loss(maps, pairs, BETWEEN) == pytest.approx(float((there + back) / 2), rel=1e-4)
        to_teacher = [
            -torch.log_softmax(own @ pairs.descriptors.transpose(1, 2) / OPTIONS.temperature, dim=2)
            .diagonal(dim1=1, dim2=2)
            .mean()
            for own in (first, second)
        ]
        assert descriptor_loss(maps, pairs, TEACHER) == pytest.approx(float(sum(to_teacher) / 2), rel=1e-4)

    def test_the_scale_of_descriptors_does_not_matter(self, toy_pairs):
        maps, pairs, _ = described(toy_pairs())
        assert descriptor_loss(7 * maps, pairs, OPTIONS) == pytest.approx(
            float(descriptor_loss(maps, pairs, OPTIONS)), rel=1e-4
        )

    def test_neighbours_are_no_counter_examples(self, toy_pairs):
        """Two keypoints 2 px apart whose descriptors are the same: each may be taken for the other."""
        maps, pairs, cells = described(toy_pairs(dim=256), dim=256)
        maps = with_counterparts(maps, cells)
        points = pairs.points.clone()
        points[:, 1] = points[:, 0] + torch.tensor([0.0, 0.001])
        pairs = replace(pairs, points=points)
        assert descriptor_loss(maps, pairs, BETWEEN) < 1e-3
        strict = replace(BETWEEN, neighbour_px=0.0)
        assert descriptor_loss(maps, pairs, strict) == pytest.approx(2 * math.log(2) / 12, rel=0.05)

    def test_what_is_near_in_the_view_that_is_searched_is_left_out(self, toy_pairs):
        maps, pairs, _ = described(toy_pairs())
        points = pairs.points.clone()
        points[2:, 1] = points[2:, 0] + torch.tensor([3.0, 0])  # in the second views only
        pairs = replace(pairs, points=points)
        first, second = torch.nn.functional.normalize(
            sample(torch.nn.functional.normalize(maps, dim=1), points, size=(64, 48)), dim=2
        ).chunk(2)
        logits = first @ second.transpose(1, 2) / OPTIONS.temperature
        there = logits.clone()
        there[:, 0, 1] = there[:, 1, 0] = -torch.inf
        expected = -(
            torch.log_softmax(there, dim=2).diagonal(dim1=1, dim2=2).mean()
            + torch.log_softmax(logits, dim=1).diagonal(dim1=1, dim2=2).mean()
        )
        assert descriptor_loss(maps, pairs, BETWEEN) == pytest.approx(float(expected / 2), rel=1e-4)

    def test_rows_that_do_not_count_do_not(self, toy_pairs):
        maps, pairs, _ = described(toy_pairs())
        valid = pairs.valid.clone()
        valid[:, 8:] = False
        pairs = replace(pairs, valid=valid)
        other_points = pairs.points.clone()
        other_points[:, 8:] = torch.tensor([31.5, 23.5])
        descriptors = pairs.descriptors.clone()
        descriptors[:, 8:] = 1
        other = replace(pairs, points=other_points, descriptors=descriptors)
        assert descriptor_loss(maps, pairs, OPTIONS) == descriptor_loss(maps, other, OPTIONS)
        eight = replace(
            pairs, points=pairs.points[:, :8], descriptors=pairs.descriptors[:, :8], valid=pairs.valid[:, :8]
        )
        assert descriptor_loss(maps, eight, OPTIONS) == pytest.approx(float(descriptor_loss(maps, pairs, OPTIONS)))

    def test_no_rows_at_all_cost_nothing(self, toy_pairs):
        maps, pairs, _ = described(toy_pairs())
        pairs = replace(pairs, valid=torch.zeros_like(pairs.valid))
        maps.requires_grad_()
        loss = descriptor_loss(maps, pairs, OPTIONS)
        loss.backward()
        assert loss == 0
        assert (maps.grad == 0).all()

    def test_descriptors_of_zero_teach_nothing(self, toy_pairs):
        """Corners that are known without a teacher carry such descriptors."""
        maps, pairs, _ = described(toy_pairs())
        maps.requires_grad_()
        descriptor_loss(maps, replace(pairs, descriptors=torch.zeros_like(pairs.descriptors)), TEACHER).backward()
        assert maps.grad.abs().max() < 1e-7

    @pytest.mark.parametrize("scale", [1e-20, 1.0, 1e6])
    def test_gradients_are_finite(self, toy_pairs, scale):
        maps, pairs, _ = described(toy_pairs())
        maps = (scale * maps).requires_grad_()
        semi = (scale * torch.randn(4, 65, 6, 8)).requires_grad_()
        (descriptor_loss(maps, pairs, OPTIONS) + detector_loss(semi, pairs)).backward()
        assert torch.isfinite(maps.grad).all()
        assert torch.isfinite(semi.grad).all()

    def test_gradients_of_descriptors_of_zero_are_finite(self, toy_pairs):
        _, pairs, _ = described(toy_pairs())
        maps = torch.zeros((4, 16, 6, 8), requires_grad=True)
        descriptor_loss(maps, pairs, OPTIONS).backward()
        assert torch.isfinite(maps.grad).all()
