from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch

from oakpoint.training.homographies import ViewRanges, pixel_grid, random_homographies, sample, transform, warp

SIZE = (96, 64)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def smooth_image(size=(120, 90)):
    """Waves of tens of pixels: bilinear interpolation is exact to about a hundredth of their height."""
    x, y = pixel_grid(size, torch.device("cpu")).T
    return (0.5 + 0.25 * torch.sin(x / 6 + y / 11) + 0.25 * torch.cos(y / 7)).reshape(1, 1, size[1], size[0])


def some(count=64, ranges=None, *, seed=0):
    """Homographies about the middle of a 120×90 image."""
    centres = torch.tensor([[59.5, 44.5]]).repeat(count, 1)
    return random_homographies(centres, SIZE, ranges or ViewRanges(), seeded(seed))


def test_the_centre_goes_to_the_centre():
    centres = 100 * torch.rand((32, 2), generator=seeded())
    homographies, _ = random_homographies(centres, SIZE, ViewRanges(), seeded())
    middle = torch.tensor([(SIZE[0] - 1) / 2, (SIZE[1] - 1) / 2]).expand(32, 2)
    torch.testing.assert_close(transform(homographies, centres[:, None])[:, 0], middle, atol=1e-3, rtol=0)


def test_ranges_are_kept():
    ranges = ViewRanges(scale=(0.5, 2.0), rotation_deg=20.0, wide_share=0.0, tilt=1.5, perspective=0.25)
    homographies, scales = some(2000, ranges)
    assert 0.5 <= scales.min() < 0.52
    assert 1.9 < scales.max() <= 2.0
    centre, step = torch.tensor([59.5, 44.5]), 1e-1
    around = centre + step * torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    mapped = transform(homographies.double(), around.double().expand(2000, -1, -1))
    jacobian = torch.stack([mapped[:, 0] - mapped[:, 1], mapped[:, 2] - mapped[:, 3]], dim=2) / (2 * step)
    torch.testing.assert_close(torch.linalg.det(jacobian).sqrt().float(), scales, rtol=1e-3, atol=0)
    singular = torch.linalg.svdvals(jacobian)
    ratio = singular[:, 0] / singular[:, 1]
    assert ratio.max() <= 1.5 + 1e-3
    assert ratio.max() > 1.45
    u, _, vh = torch.linalg.svd(jacobian)
    turn = u @ vh
    degrees = torch.rad2deg(torch.atan2(turn[:, 1, 0], turn[:, 0, 0]))
    assert degrees.abs().max() <= 20.01
    assert degrees.abs().max() > 19
    assert abs(degrees.mean()) < 1


def test_the_projective_weight_keeps_its_range():
    homographies, _ = some(2000, ViewRanges(perspective=0.25))
    corners = torch.tensor([[-0.5, -0.5], [95.5, -0.5], [-0.5, 63.5], [95.5, 63.5]]).expand(2000, -1, -1)
    back = torch.linalg.inv(homographies)
    weight = corners @ back[:, 2, :2, None] + back[:, None, 2:, 2]
    centre_weight = torch.tensor([47.5, 31.5]) @ back[:, 2, :2, None] + back[:, 2:, 2]
    forward = centre_weight[:, None] / weight  # the forward weight is one over that of the way back
    assert (weight > 0).all()
    assert forward.max() <= 1 / (1 - 0.25) + 1e-3
    assert forward.min() >= 1 / (1 + 0.25) - 1e-3


def test_the_shares_of_wide_rotations():
    def turned_deg(share):
        ranges = ViewRanges(rotation_deg=10, wide_rotation_deg=90, wide_share=share, tilt=1.0, perspective=0.0)
        homographies, _ = some(2000, ranges)
        return torch.rad2deg(torch.atan2(homographies[:, 1, 0], homographies[:, 0, 0])).abs()

    assert turned_deg(0.0).max() <= 10.01
    assert turned_deg(1.0).max() > 85
    beyond = (turned_deg(0.3) > 10).float().mean()
    assert beyond == pytest.approx(0.3 * 80 / 90, abs=0.04)


def test_no_ranges_are_the_identity():
    still = ViewRanges(scale=(1.0, 1.0), rotation_deg=0.0, wide_share=0.0, tilt=1.0, perspective=0.0)
    image = smooth_image(SIZE)
    centre = torch.tensor([[(SIZE[0] - 1) / 2, (SIZE[1] - 1) / 2]])
    homography, scale = random_homographies(centre, SIZE, still, seeded())
    torch.testing.assert_close(homography[0], torch.eye(3), atol=1e-5, rtol=0)
    assert scale.tolist() == [1.0]
    torch.testing.assert_close(warp(image, homography, size=SIZE), image, atol=1e-4, rtol=0)


def test_the_same_seed_gives_the_same_homographies():
    assert torch.equal(some(seed=3)[0], some(seed=3)[0])
    assert not torch.equal(some(seed=3)[0], some(seed=4)[0])


def test_transform_is_opencvs():
    homographies, _ = some(8)
    points = 100 * torch.rand((8, 20, 2), generator=seeded())
    expected = np.stack(
        [
            cv2.perspectiveTransform(part.numpy()[None].astype(np.float64), homography.numpy().astype(np.float64))[0]
            for part, homography in zip(points, homographies, strict=True)
        ]
    )
    np.testing.assert_allclose(transform(homographies, points).numpy(), expected, atol=1e-3)


def test_what_lies_behind_the_view_is_infinitely_far():
    horizon = torch.tensor([[[1.0, 0, 0], [0, 1, 0], [0.1, 0, 1]]])
    mapped = transform(horizon, torch.tensor([[[10.0, 4], [-10, 4], [-20, 4]]]))
    assert mapped[0].tolist() == [[5, 2], [math.inf, math.inf], [math.inf, math.inf]]


def test_a_view_is_opencvs():
    image = smooth_image()
    homographies, _ = some(12)
    views = warp(image.expand(12, -1, -1, -1), homographies, size=SIZE)
    for view, homography in zip(views, homographies, strict=True):
        expected = cv2.warpPerspective(
            image[0, 0].numpy(), homography.numpy(), SIZE, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
        )
        # OpenCV interpolates in steps of 1/32 px: at the steepest, 0.08 for each px, that is 0.0013 on either axis.
        np.testing.assert_allclose(view[0].numpy(), expected, atol=4e-3)


def test_outside_is_zero_where_zeros_are_asked_for():
    beside = torch.tensor([[[1.0, 0, 48], [0, 1, 0], [0, 0, 1]]])
    view = warp(torch.ones((1, 1, 64, 96)), beside, size=SIZE, padding="zeros")[0, 0]
    assert (view[:, :48] < 1e-4).all()
    torch.testing.assert_close(view[:, 49:], torch.ones(64, 47))


def test_a_view_at_a_mapped_point_is_the_image_at_the_point():
    image = smooth_image()
    homographies, _ = some(32)
    views = warp(image.expand(32, -1, -1, -1), homographies, size=SIZE)
    points = torch.tensor([119.0, 89.0]) * torch.rand((32, 40, 2), generator=seeded())
    mapped = transform(homographies, points)
    inside = ((mapped >= 1) & (mapped <= torch.tensor(SIZE) - 2)).all(dim=2)
    assert inside.sum() > 100
    in_view = sample(views, mapped.nan_to_num(posinf=0), size=SIZE)[..., 0]
    in_image = sample(image.expand(32, -1, -1, -1), points, size=(120, 90))[..., 0]
    near_the_edge = (points < 1).any(dim=2) | (points > torch.tensor([118, 88])).any(dim=2)
    chosen = inside & ~near_the_edge
    torch.testing.assert_close(in_view[chosen], in_image[chosen], atol=0.02, rtol=0)
    assert (in_view - in_image)[chosen].mean().abs() < 2e-3


def test_sampling_at_pixel_centres_gives_the_pixels():
    image = torch.rand((2, 3, 5, 7), generator=seeded())
    values = sample(image, pixel_grid((7, 5), torch.device("cpu")).expand(2, -1, -1), size=(7, 5))
    torch.testing.assert_close(values, image.flatten(2).transpose(1, 2), atol=1e-5, rtol=0)


def test_cells_are_sampled_at_the_centres_of_their_blocks():
    maps = torch.arange(6.0).reshape(1, 1, 2, 3)
    at = torch.tensor([[[3.5, 3.5], [7.5, 3.5], [19.5, 11.5], [3.5, 7.5], [-100.0, 3.5], [3.5, 400.0]]])
    assert sample(maps, at, size=(24, 16))[0, :, 0].tolist() == pytest.approx([0, 0.5, 5, 1.5, 0, 0], abs=1e-6)
