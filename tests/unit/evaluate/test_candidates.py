from __future__ import annotations

import cv2
import numpy as np
import onnx
import pytest

from oakpoint.convert.onnx_from_torch import write_onnx
from oakpoint.errors import FeaturesError, UsageError
from oakpoint.evaluate.cache import FeatureCache, key_of
from oakpoint.evaluate.candidates import NetworkCandidate, OrbCandidate, SiftCandidate, open_candidate
from oakpoint.evaluate.protocols import protocols_by_name
from oakpoint.evaluate.specification import parse_specification
from oakpoint.evaluate.timing import Timed
from oakpoint.features.hdf5 import write_features
from oakpoint.features.matching import match
from oakpoint.features.types import Features
from oakpoint.predictor import MAX_CACHED_SIZES
from oakpoint.tasks.keypoints.task import INPUT, OUTPUTS

P1, P2, P3 = protocols_by_name(["p1", "p2", "p3"], "published")


def opened(text, cache=None, **options):
    return open_candidate(parse_specification(text), threads=1, cache=cache or FeatureCache(None), **options)


def stored(n=5, size=(512, 512), norm=1.0):
    rng = np.random.default_rng(0)
    descriptors = rng.normal(size=(n, 8)).astype(np.float32)
    descriptors *= norm / np.linalg.norm(descriptors, axis=1, keepdims=True)
    points = rng.uniform(0, min(size), (n, 2)).astype(np.float32)
    return Features(points, np.linspace(0.1, 0.9, n, dtype=np.float32), descriptors, size)


def test_sift_gives_rootsift(photographs):
    found = opened("sift").features("x", P2.prepare(photographs["camera"]))
    keypoints, raw = cv2.SIFT.create().detectAndCompute(P2.prepare(photographs["camera"]).image, None)
    best = int(np.argmax([k.response for k in keypoints]))
    expected = np.sqrt(raw[best] / raw[best].sum())
    np.testing.assert_allclose(found.features.descriptors[0], expected, atol=1e-6)
    assert found.features.keypoints[0] == pytest.approx(keypoints[best].pt)
    np.testing.assert_allclose(np.linalg.norm(found.features.descriptors, axis=1), 1, atol=1e-3)
    assert found.milliseconds > 0
    assert found.runtime.startswith("opencv")


def test_orbs_nearest_are_the_nearest_by_hamming(photographs):
    image = P3.prepare(photographs["coffee"]).image
    view = cv2.GaussianBlur(image, (0, 0), 1)
    orb = opened("orb")
    a, b = (orb.features("x", P3.prepare(one)).features for one in (image, view))
    bits_a, bits_b = ((f.descriptors > 0).astype(int) for f in (a, b))
    hamming = (bits_a[:300, None] != bits_b[None]).sum(axis=2)
    np.testing.assert_allclose(a.descriptors[:300] @ b.descriptors.T, 1 - hamming / 128, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(a.descriptors, axis=1), 1, atol=1e-5)
    assert len(match(a, b)) > 100


@pytest.mark.parametrize("name", ["sift", "orb"])
def test_nothing_found_in_a_flat_image(name):
    found = opened(name).features("x", P1.prepare(np.full((100, 100), 128, np.uint8))).features
    assert len(found) == 0
    assert found.descriptors.shape[1] in (128, 256)


def test_a_network_runs_at_the_protocols_size_unless_told_otherwise(small_bundle, photographs):
    native, small = opened(str(small_bundle)), opened(f"{small_bundle}@160x120")
    prepared = P2.prepare(photographs["camera"])
    at_protocol, at_small = (c.features("x", prepared) for c in (native, small))
    assert at_protocol.features.image_size == at_small.features.image_size == (640, 480)
    assert native.note == ""
    assert "160×120" in small.note
    from oakpoint.loading import load

    with load(small_bundle, size=(640, 480)) as extractor:
        direct = extractor(prepared.image)
    np.testing.assert_array_equal(at_protocol.features.keypoints, direct.keypoints[:4096])
    native.close()
    small.close()


def test_the_cache_gives_back_what_was_extracted(small_bundle, photographs, tmp_path):
    prepared = P1.prepare(photographs["camera"])
    first = FeatureCache(tmp_path / "c")
    fresh = opened(str(small_bundle), first).features("x", prepared)
    again = FeatureCache(tmp_path / "c")
    kept = opened(str(small_bundle), again).features("another name", prepared)
    assert (first.missed, again.found, again.missed) == (1, 1, 0)
    np.testing.assert_array_equal(kept.features.descriptors, fresh.features.descriptors)
    np.testing.assert_array_equal(kept.features.keypoints, fresh.features.keypoints)
    assert (kept.milliseconds, kept.runtime) == (fresh.milliseconds, fresh.runtime)
    other = FeatureCache(tmp_path / "c")
    opened(f"{small_bundle}@threshold=0.5", other).features("x", prepared)
    opened(f"{small_bundle}@onnxruntime", other).features("x", prepared)
    opened(f"{small_bundle}@subpixel=quadratic", other).features("x", prepared)
    opened(f"{small_bundle}@160x120", other).features("x", prepared)
    assert other.found == 0


def test_the_cache_tells_models_apart_by_all_that_runs(photographs, tmp_path):
    """Weights beside the ONNX; the ONNX file itself is the same."""
    from oakpoint.networks.registry import load_network

    prepared = P1.prepare(photographs["camera"])
    for seed in (0, 1):
        network = load_network("small_network:SmallNetwork", None, seed=seed)
        write_onnx(network.module, tmp_path / "whole.onnx", size=(64, 64), input_name=INPUT, output_names=OUTPUTS)
        (tmp_path / str(seed)).mkdir()
        place = tmp_path / str(seed) / "m.onnx"
        onnx.save(
            onnx.load(tmp_path / "whole.onnx"), place, save_as_external_data=True, location="m.data", size_threshold=0
        )
    assert (tmp_path / "0" / "m.onnx").read_bytes() == (tmp_path / "1" / "m.onnx").read_bytes()
    found = []
    for place in ("0", "1", "0"):
        cache = FeatureCache(tmp_path / "cache")
        candidate = opened(str(tmp_path / place / "m.onnx"), cache)
        found.append((cache, candidate.features("x", prepared).features.scores))
        candidate.close()
    assert [cache.found for cache, _ in found] == [0, 0, 1]
    assert found[0][1].tolist() == found[2][1].tolist() != found[1][1].tolist()


def test_a_damaged_cache_file_is_extracted_anew(photographs, tmp_path, caplog):
    prepared = P1.prepare(photographs["camera"])
    opened("sift", FeatureCache(tmp_path)).features("x", prepared)
    for path in tmp_path.rglob("*.npz"):
        path.write_bytes(path.read_bytes()[:100])
    cache = FeatureCache(tmp_path)
    assert len(opened("sift", cache).features("x", prepared).features) > 0
    assert cache.found == 0
    assert "damaged" in caplog.text


def test_cache_keys_tell_images_and_settings_apart():
    image = np.zeros((4, 6), np.uint8)
    keys = {
        key_of(image, {"a": 1}),
        key_of(image, {"a": 2}),
        key_of(image.reshape(6, 4), {"a": 1}),
        key_of(image + 1, {"a": 1}),
    }
    assert len(keys) == 4
    assert key_of(image, {"a": 1, "b": 2}) == key_of(image.copy(), {"b": 2, "a": 1})


def test_no_cache_keeps_nothing(tmp_path):
    cache = FeatureCache(None)
    cache.put("00", Timed(stored(), 1.0, "x"))
    assert cache.get("00") is None


def test_a_class_of_the_users_own_is_never_cached(small_weights, photographs, tmp_path):
    cache = FeatureCache(tmp_path)
    spec = parse_specification("small_network:SmallNetwork@torch", weights=small_weights)
    candidate = open_candidate(spec, threads=1, cache=cache)
    candidate.features("x", P1.prepare(photographs["camera"]))
    assert not list(tmp_path.rglob("*.npz"))
    candidate.close()


def test_a_features_file_is_taken_to_the_prepared_frame(tmp_path):
    path = tmp_path / "f.h5"
    write_features(path, "s/1.png", stored())
    prepared = P2.prepare(np.zeros((512, 512), np.uint8))
    found = opened(str(path)).features("s/1.png", prepared)
    assert np.isnan(found.milliseconds)
    everything = opened(str(path)).features("s/1.png", P3.prepare(np.zeros((512, 512), np.uint8))).features
    assert everything.scores.tolist() == sorted(everything.scores.tolist(), reverse=True)
    assert len(found.features) <= len(everything) == 5
    inside = prepared.prepared_from_original(everything.keypoints)
    inside = inside[((inside >= -0.5) & (inside < [639.5, 479.5])).all(axis=1)]
    np.testing.assert_allclose(found.features.keypoints, inside)


@pytest.mark.parametrize(
    ("features", "name", "message"),
    [
        (stored(), "s/2.png", "no features of s/2.png; it holds s/1.png"),
        (stored(size=(100, 512)), "s/1.png", "100×512"),
        (stored(norm=3.0), "s/1.png", "unit length"),
    ],
)
def test_a_features_file_that_does_not_fit(tmp_path, features, name, message):
    path = tmp_path / "f.h5"
    write_features(path, "s/1.png", features)
    with pytest.raises(FeaturesError, match=message):
        opened(str(path)).features(name, P3.prepare(np.zeros((512, 512), np.uint8)))


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(FeaturesError, match="no such"):
        opened(str(tmp_path / "f.h5"))
    with pytest.raises(UsageError):
        opened("nosuch")


def counting(monkeypatch, kind=OrbCandidate):
    """The sizes of images that are extracted, in turn."""
    sizes = []
    extract = kind._extract

    def counted(self, image):
        sizes.append(image.shape[::-1])
        return extract(self, image)

    monkeypatch.setattr(kind, "_extract", counted)
    return sizes


def test_the_first_image_of_each_size_is_run_once_more_before_it_counts(photographs, monkeypatch):
    sizes = counting(monkeypatch)
    orb = opened("orb")
    for protocol in (P1, P2, P1, P2, P1):
        orb.features("x", protocol.prepare(photographs["camera"]))
    small, large = (320, 240), (640, 480)
    assert sizes == [small] * 2 + [large] * 2 + [small, large, small]


def test_what_runs_first_takes_no_part_in_the_time(photographs, monkeypatch):
    """Runs of a clock that a slow first run at each size moves on by a second, and others by a millisecond."""
    clock, seen = [0.0], set()
    extract = SiftCandidate._extract

    def slow_at_first(self, image):
        clock[0] += 1e-3 if image.shape in seen else 1.0
        seen.add(image.shape)
        return extract(self, image)

    monkeypatch.setattr(SiftCandidate, "_extract", slow_at_first)
    monkeypatch.setattr("oakpoint.evaluate.candidates.time.perf_counter", lambda: clock[0])
    sift = opened("sift")
    for protocol in (P1, P2, P1, P2):
        found = sift.features("x", protocol.prepare(photographs["camera"]))
        assert found.milliseconds == pytest.approx(1.0)


def test_a_size_that_was_not_used_for_long_is_warmed_up_again(monkeypatch):
    """By then its model is closed."""
    sizes = counting(monkeypatch)
    orb = opened("orb")
    for width in (64, *range(72, 72 + 8 * MAX_CACHED_SIZES, 8), 64):
        orb.features("x", P3.prepare(np.zeros((64, width), np.uint8)))
    assert sizes.count((64, 64)) == 4


def test_a_simulator_is_never_run_for_the_time_alone(photographs, monkeypatch):
    sizes = counting(monkeypatch, NetworkCandidate)
    spec = parse_specification("acorn@onnxruntime")
    candidate = NetworkCandidate(spec, threads=1, cache=FeatureCache(None))
    assert candidate._warm_ups == 1
    candidate.close()
    monkeypatch.setattr("oakpoint.evaluate.candidates.SIMULATOR", "onnxruntime")
    candidate = NetworkCandidate(spec, threads=1, cache=FeatureCache(None))
    candidate.features("x", P1.prepare(photographs["camera"]))
    candidate.close()
    assert sizes == [(320, 240)]
