from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from oakpoint.training.homographies import ViewRanges, pixel_grid, random_homographies, sample, transform
from oakpoint.training.photometric import PhotometricRanges
from oakpoint.training.views import PairSampler, ViewOptions, _presence, _shown_cells, cell_labels

SIZE = (64, 48)
LIGHT = PhotometricRanges(gamma=1.0, contrast=(1.0, 1.0), brightness=0.0, probability=0.0)
OPTIONS = ViewOptions(size=SIZE, photometric=LIGHT, pair_points=24, same_share=0.0)
CPU = torch.device("cpu")


def sampler(dataset, options=OPTIONS, indices=None):
    chosen = torch.arange(len(dataset.images)) if indices is None else torch.tensor(indices)
    return PairSampler(dataset, chosen, options, CPU)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def drawn_homographies(monkeypatch):
    """The homographies that a sampler draws, kept."""
    kept = []

    def keep(*arguments):
        kept.append(random_homographies(*arguments))
        return kept[-1]

    monkeypatch.setattr("oakpoint.training.views.random_homographies", keep)
    return kept


class TestCellLabels:
    def test_points_land_in_their_cell_and_channel(self):
        points = torch.tensor([[[0.0, 0], [7, 0], [8, 0], [17, 30], [63, 47]]])
        labels = cell_labels(points, torch.tensor([[0.9, 0.5, 0.6, 0.7, 0.8]]), SIZE, sigma_px=0.05)
        assert labels.shape == (1, 65, 6, 8)
        found = {
            tuple(place): round(float(labels[0][tuple(place)]), 4) for place in torch.nonzero(labels[0, :64]).tolist()
        }
        # (channel, row, column): channel 8 · y + x within the cell; of the first cell's two the better one.
        assert found == {(0, 0, 0): 0.9, (0, 0, 1): 0.6, (8 * 6 + 1, 3, 2): 0.7, (63, 5, 7): 0.8}

    def test_each_cell_sums_to_one(self):
        points = 80 * torch.rand((4, 50, 2), generator=seeded()) - 8
        scores = torch.rand((4, 50), generator=seeded(1))
        labels = cell_labels(points, scores, SIZE, sigma_px=0.7)
        torch.testing.assert_close(labels.sum(dim=1), torch.ones(4, 6, 8))
        assert (labels >= 0).all()

    def test_the_best_of_a_cell_wins_wherever_it_stands(self):
        points = torch.tensor([[[2.0, 2], [5, 6], [3, 1]]])
        for order in ([0, 1, 2], [1, 0, 2], [2, 0, 1]):
            scores = torch.tensor([[0.3, 0.8, 0.5]])[:, order]
            labels = cell_labels(points[:, order], scores, SIZE, sigma_px=0.05)
            assert labels[0, 8 * 6 + 5, 0, 0] == pytest.approx(0.8)
            assert labels[0, 64, 0, 0] == pytest.approx(0.2)

    def test_of_equals_the_first_wins(self):
        """Corners that are known for certain all have score 1."""
        points = torch.tensor([[[2.0, 2], [5, 6], [3, 1], [40, 40]]]).repeat(3, 1, 1)
        labels = cell_labels(points, torch.ones((3, 4)), SIZE, sigma_px=0.05)
        torch.testing.assert_close(labels[:, 8 * 2 + 2, 0, 0], torch.ones(3))
        torch.testing.assert_close(labels.sum(dim=1), torch.ones(3, 6, 8))

    def test_a_fraction_of_a_pixel_is_kept(self):
        x, y = 20.3, 29.8
        labels = cell_labels(torch.tensor([[[x, y]]]), torch.ones((1, 1)), SIZE, sigma_px=0.6)[0, :64, 3, 2]
        within = labels.reshape(8, 8)
        steps = torch.arange(8.0)
        assert float((within.sum(dim=0) * steps).sum()) + 16 == pytest.approx(x, abs=0.02)
        assert float((within.sum(dim=1) * steps).sum()) + 24 == pytest.approx(y, abs=0.02)

    def test_points_outside_and_empty_rows_count_for_nothing(self):
        points = torch.tensor([[[-0.6, 3], [3, -1], [63.5, 3], [3, 47.5], [torch.inf, torch.inf], [9, 9]]])
        labels = cell_labels(points, torch.tensor([[1.0, 1, 1, 1, 1, 0]]), SIZE, sigma_px=0.5)
        assert (labels[:, :64] == 0).all()
        assert (labels[:, 64] == 1).all()

    def test_the_outermost_half_pixel_belongs_to_the_image(self):
        labels = cell_labels(torch.tensor([[[-0.5, 47.499]]]), torch.ones((1, 1)), SIZE, sigma_px=0.05)
        assert labels[0, 64, 5, 0] == 0


class TestShownCells:
    def test_cells_outside_the_image_weigh_nothing(self):
        shift = torch.eye(3)[None].clone()
        shift[0, 0, 2], shift[0, 1, 2] = 16, -8  # the image begins two cells to the right, and ends a cell early
        weights = _shown_cells(shift, torch.Size((48, 64)), SIZE)[0]
        expected = torch.zeros(6, 8)
        expected[:5, 2:] = 1
        assert torch.equal(weights, expected)

    def test_a_cell_is_shown_when_its_centre_is(self):
        for shift_px, shown in ((3.9, 1), (4.1, 0)):  # the image's edge lies at shift − 0.5, the centre at 3.5
            shift = torch.eye(3)[None].clone()
            shift[0, 0, 2] = shift_px
            weights = _shown_cells(shift, torch.Size((48, 640)), SIZE)[0]
            assert (weights[:, 0] == shown).all()
            assert (weights[:, 1:] == 1).all()

    def test_cells_behind_the_view_weigh_nothing(self):
        homography = torch.tensor([[[1.0, 0, 0], [0, 1, 0], [-1 / 32, 0, 1]]]).inverse()
        weights = _shown_cells(homography, torch.Size((4800, 6400)), SIZE)[0]
        assert (weights[:, :4] == 1).all()
        assert (weights[:, 4:] == 0).all()


class TestPairs:
    def test_shapes_and_ranges(self, toy_dataset):
        pairs = sampler(toy_dataset).draw(3, seeded())
        assert pairs.views.shape == (6, 1, 48, 64)
        assert pairs.cells.shape == (6, 65, 6, 8)
        assert pairs.cell_weights.shape == (6, 6, 8)
        assert pairs.points.shape == (6, 24, 2)
        assert pairs.descriptors.shape == (3, 24, 16)
        assert pairs.valid.shape == (3, 24)
        assert pairs.views.min() >= 0
        assert pairs.views.max() <= 1
        assert all(torch.isfinite(getattr(pairs, item.name)).all() for item in fields(pairs))
        torch.testing.assert_close(pairs.cells.sum(dim=1), torch.ones(6, 6, 8))

    def test_the_same_seed_gives_the_same_pairs(self, toy_dataset):
        options = replace(OPTIONS, photometric=PhotometricRanges())
        first, second = (sampler(toy_dataset, options).draw(4, seeded(7)).state() for _ in "ab")
        assert all(torch.equal(first[name], second[name]) for name in first)
        other = sampler(toy_dataset, options).draw(4, seeded(8))
        assert not torch.equal(other.views, first["views"])

    def test_only_the_images_asked_for_are_drawn(self, toy_dataset):
        pairs = sampler(toy_dataset, indices=[2, 5]).draw(32, seeded())
        assert set(pairs.images.tolist()) == {2, 5}

    @pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.5, 20), (1.0, 40)])
    def test_some_pairs_differ_in_light_alone(self, toy_dataset, share, expected):
        pairs = sampler(toy_dataset, replace(OPTIONS, same_share=share)).draw(40, seeded(1))
        first, second = pairs.homographies.chunk(2)
        same = (first == second).all(dim=2).all(dim=1)
        assert abs(int(same.sum()) - expected) <= (8 if 0 < share < 1 else 0)
        for a, b in zip(pairs.points[:40][same], pairs.points[40:][same], strict=True):
            assert torch.equal(a, b)

    def test_correspondences_are_what_the_homographies_say(self, toy_dataset, drawn_homographies):
        pairs = sampler(toy_dataset).draw(8, seeded())
        (first_from_image, _), (second_from_image, _) = drawn_homographies
        second_from_first = second_from_image.double() @ first_from_image.double().inverse()
        first, second = pairs.points.chunk(2)
        expected = transform(second_from_first, first.double())
        assert pairs.valid.sum() > 30
        torch.testing.assert_close(second.double()[pairs.valid], expected[pairs.valid], atol=1e-2, rtol=0)

    def test_points_that_count_are_labelled_keypoints_with_their_descriptors(self, toy_dataset, drawn_homographies):
        pairs = sampler(toy_dataset).draw(8, seeded())
        in_image = transform(drawn_homographies[0][0].double().inverse(), pairs.points.chunk(2)[0].double())
        for row, image in enumerate(pairs.images.tolist()):
            known = torch.from_numpy(toy_dataset.points[image].copy())
            nearest, index = (in_image[row][:, None] - known).norm(dim=2).min(dim=1)
            valid = pairs.valid[row]
            assert (nearest[valid] < 0.02).all()
            assert (toy_dataset.scores[image][index[valid].numpy()] > 0).all()
            known = torch.from_numpy(toy_dataset.descriptors[image].copy()).float()
            assert torch.equal(pairs.descriptors[row][valid], known[index[valid]])
            assert len(set(index[valid].tolist())) == int(valid.sum())

    def test_points_that_count_lie_in_both_views(self, toy_dataset):
        pairs = sampler(toy_dataset).draw(8, seeded())
        inside = ((pairs.points >= -0.5) & (pairs.points < torch.tensor(SIZE) - 0.5)).all(dim=2)
        assert inside.reshape(2, 8, -1)[:, pairs.valid].all()

    def test_both_views_show_a_keypoint_as_the_image_does(self, toy_dataset):
        """The centres of dark and bright squares are dark and bright in both views, whatever level they come from."""
        for scale in ((0.4, 0.55), (0.8, 1.3)):
            options = replace(OPTIONS, ranges=ViewRanges(scale=scale, shift_px=12))
            pairs = sampler(toy_dataset, options).draw(24, seeded())
            first, second = sample(pairs.views, pairs.points, size=SIZE)[..., 0].chunk(2)
            inner = (
                ((pairs.points > 3) & (pairs.points < torch.tensor(SIZE) - 4)).all(dim=2).reshape(2, 24, -1).all(dim=0)
            )
            chosen = pairs.valid & inner
            assert chosen.sum() > 50
            grey = 120 / 255
            assert ((first - grey) * (second - grey))[chosen].gt(0).float().mean() > 0.98
            assert (first - second)[chosen].abs().median() < 0.1

    @pytest.mark.parametrize("scale", [0.4, 0.55, 0.7, 1.2])
    def test_a_view_shows_the_image_where_its_homography_says(self, toy_dataset, drawn_homographies, scale):
        x, y = torch.meshgrid(torch.arange(160.0), torch.arange(120.0), indexing="xy")
        waves = (128 + 60 * torch.sin(x / 9 + y / 15) + 60 * torch.cos(y / 8)).to(torch.uint8)
        smooth = replace(toy_dataset, images=waves.expand(8, -1, -1).contiguous().numpy())
        options = replace(OPTIONS, ranges=ViewRanges(scale=(scale, scale), tilt=1.2))
        pairs = sampler(smooth, options).draw(8, seeded())
        homographies = torch.cat([homographies for homographies, _ in drawn_homographies])
        pixels = pixel_grid(SIZE, CPU).expand(16, -1, -1)
        source = transform(homographies.inverse(), pixels)
        expected = sample(waves.expand(16, 1, -1, -1).float() / 255, source, size=(160, 120))[..., 0]
        chosen = ((source > 2) & (source < torch.tensor([157, 117]))).all(dim=2)
        assert chosen.sum() > 1000
        assert (pairs.views.flatten(1) - expected)[chosen].abs().max() < 0.04

    def test_labels_lie_on_the_squares_that_the_view_shows(self, toy_dataset):
        options = replace(OPTIONS, ranges=ViewRanges(scale=(0.9, 1.3), tilt=1.3))
        pairs = sampler(toy_dataset, options).draw(8, seeded())
        peaks = torch.nonzero((pairs.cells[:, :64].amax(dim=1) > 0.1) & (pairs.cell_weights > 0))
        assert len(peaks) > 50
        contrasts = []
        for view, row, column in peaks.tolist():
            channel = int(pairs.cells[view, :64, row, column].argmax())
            x, y = 8 * column + channel % 8, 8 * row + channel // 8
            contrasts.append(abs(float(pairs.views[view, 0, y, x]) - 120 / 255))
        assert torch.tensor(contrasts).gt(0.2).float().mean() > 0.98

    def test_cells_that_show_what_the_image_does_not_are_left_out(self, toy_dataset, drawn_homographies):
        far = replace(OPTIONS, ranges=ViewRanges(scale=(0.3, 0.35)))
        pairs = sampler(toy_dataset, far).draw(4, seeded())
        assert 0.1 < pairs.cell_weights.mean() < 0.9
        homographies = torch.cat([homographies for homographies, _ in drawn_homographies])
        centres = transform(homographies.inverse(), (8 * torch.tensor([[[0.0, 0], [7, 5]]]) + 3.5).expand(8, -1, -1))
        inside = ((centres >= -0.5) & (centres < torch.tensor([159.5, 119.5]))).all(dim=2).float()
        assert torch.equal(pairs.cell_weights[:, [0, 5], [0, 7]], inside)

    def test_images_without_labels_make_pairs_without_points(self, toy_dataset):
        bare = replace(toy_dataset, scores=toy_dataset.scores * 0)
        pairs = sampler(bare).draw(2, seeded())
        assert not pairs.valid.any()
        assert (pairs.cells[:, 64] == 1).all()

    def test_fewer_labels_than_points_of_a_pair(self, toy_dataset):
        pairs = sampler(toy_dataset, replace(OPTIONS, pair_points=100)).draw(2, seeded())
        assert pairs.valid.shape == (2, 64)
        assert pairs.valid.any()


def test_known_corners_leave_the_other_scores_as_they_are():
    scores = torch.tensor([[0.5, 0.25, 0.0]])
    options = ViewOptions(score_power=1.0)
    alone, beside = (_presence(torch.cat([scores, extra]), options)[0] for extra in (scores, torch.ones(1, 3)))
    torch.testing.assert_close(alone, torch.tensor([1, 0.5, 0]))
    torch.testing.assert_close(beside, alone)
