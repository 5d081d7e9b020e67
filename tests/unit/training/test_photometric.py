from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from oakpoint.training.photometric import PhotometricRanges, _blurred, _cosine_basis, _Draw, _exposed, _jpeg, augment

STILL = PhotometricRanges(gamma=1.0, contrast=(1.0, 1.0), brightness=0.0, probability=0.0)
RANGES = PhotometricRanges()


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(count, seed=0):
    return _Draw(count, torch.device("cpu"), seeded(seed))


@pytest.fixture(scope="module")
def photograph(photographs):
    return photographs["camera"][128:320, 128:384]


@pytest.fixture(scope="module")
def views(photograph):
    return (torch.from_numpy(photograph.copy()).float() / 255).expand(16, 1, -1, -1)


def test_views_stay_views(views):
    changed = augment(views, replace(RANGES, probability=1.0), seeded())
    assert changed.shape == views.shape
    assert changed.dtype == torch.float32
    assert (changed >= 0).all()
    assert (changed <= 1).all()


def test_the_same_seed_gives_the_same_change(views):
    assert torch.equal(augment(views, RANGES, seeded(1)), augment(views, RANGES, seeded(1)))
    assert not torch.equal(augment(views, RANGES, seeded(1)), augment(views, RANGES, seeded(2)))


def test_each_view_is_changed_in_its_own_way(views):
    changed = augment(views, RANGES, seeded())
    assert len({float(view.sum()) for view in changed}) == len(changed)


def test_the_views_given_are_left_alone(views):
    own = views.clone()
    augment(own, replace(RANGES, probability=1.0), seeded())
    assert torch.equal(own, views)


def test_no_ranges_change_nothing(views):
    torch.testing.assert_close(augment(views, STILL, seeded()), views)


def test_one_and_no_chosen_view_both_work(views):
    assert augment(views[:1], replace(RANGES, probability=0.0), seeded()).shape == views[:1].shape
    assert augment(views[:1], replace(RANGES, probability=1.0), seeded()).shape == views[:1].shape


def test_a_blur_leaves_a_constant_view_constant():
    grey = torch.full((64, 1, 16, 24), 0.37)
    torch.testing.assert_close(_blurred(grey, RANGES, draw(64)), grey)


def test_a_blur_moves_nothing():
    """The kernels are symmetric: a point's centre of mass stays where it was."""
    point = torch.zeros((64, 1, 31, 31))
    point[..., 15, 15] = 1
    blurred = _blurred(point, RANGES, draw(64))[:, 0]
    torch.testing.assert_close(blurred.sum(dim=(1, 2)), torch.ones(64))
    steps = torch.arange(31.0)
    torch.testing.assert_close((blurred.sum(dim=1) * steps).sum(dim=1), torch.full((64,), 15.0), atol=1e-4, rtol=0)
    torch.testing.assert_close((blurred.sum(dim=2) * steps).sum(dim=1), torch.full((64,), 15.0), atol=1e-4, rtol=0)


def test_a_gaussian_blur_is_opencvs(views):
    """Blurs along both axes alike are Gaussian; the standard deviation is read from a point's image."""
    point = torch.zeros((64, 1, 192, 256))
    point[..., 95, 127] = 1
    kernels = _blurred(point, RANGES, draw(64, seed=3))[:, 0, 91:100, 123:132]
    blurred = _blurred(views[:1].expand(64, -1, -1, -1), RANGES, draw(64, seed=3))[:, 0]
    compared = 0
    for kernel, view in zip(kernels, blurred, strict=True):
        expected = cv2.filter2D(views[0, 0].numpy(), -1, kernel.numpy(), borderType=cv2.BORDER_REFLECT_101)
        np.testing.assert_allclose(view.numpy(), expected, atol=1e-5)
        across = cv2.getGaussianKernel(9, _deviation(kernel)).astype(np.float32)
        compared += bool(np.allclose(kernel.numpy(), across @ across.T, atol=1e-3))
    assert 20 <= compared <= 44


def _deviation(kernel):
    """Of a Gaussian, from its values at the centre and beside it: their ratio is exp(1 / (2 σ²))."""
    return float((0.5 / torch.log(kernel[4, 4] / kernel[4, 5].clamp_min(1e-12)).clamp_min(1e-6)).sqrt())


def test_exposure_changes_light_only(views):
    """What was brighter is not darker afterwards."""
    order = torch.argsort(views[0].flatten())
    changed = _exposed(views, RANGES, draw(16)).flatten(1)[:, order]
    assert (changed[:, 1:] - changed[:, :-1] >= -1e-6).all()


@pytest.mark.parametrize("quality", [15, 30, 50, 75, 90, 100])
def test_jpeg_is_opencvs(photograph, quality):
    view = torch.from_numpy(photograph.copy()).float()[None, None] / 255
    restored = _jpeg(view, replace(RANGES, jpeg_quality=(quality, quality)), draw(1))[0, 0].numpy() * 255
    _, encoded = cv2.imencode(".jpg", photograph, [cv2.IMWRITE_JPEG_QUALITY, quality])
    expected = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE).astype(np.float32)
    loss = float(np.sqrt(((expected - photograph) ** 2).mean()))
    assert np.sqrt(((restored - expected) ** 2).mean()) < 0.5 + 0.25 * loss  # libjpeg rounds steps and pixels
    assert np.sqrt(((restored - photograph) ** 2).mean()) == pytest.approx(loss, abs=0.35 + 0.05 * loss)


def test_jpeg_at_the_highest_quality_is_nearly_the_identity(views):
    restored = _jpeg(views, replace(RANGES, jpeg_quality=(100, 100)), draw(16))
    torch.testing.assert_close(restored, views, atol=2.5 / 255, rtol=0)
    assert ((restored - views) ** 2).mean().sqrt() < 0.35 / 255


def test_the_cosine_basis_is_opencvs():
    basis = _cosine_basis(torch.device("cpu"))
    torch.testing.assert_close(basis @ basis.T, torch.eye(8), atol=1e-6, rtol=0)
    block = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
    np.testing.assert_allclose((basis @ torch.from_numpy(block) @ basis.T).numpy(), cv2.dct(block), atol=1e-5)
