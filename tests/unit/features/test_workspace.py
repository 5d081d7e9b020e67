"""Arrays that are used again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from oakpoint.features import workspace
from oakpoint.features.decode import decode
from oakpoint.features.types import DecodeOptions, DenseOutputs
from oakpoint.features.workspace import MAX_BYTES, Workspace


def test_the_same_array_comes_again_for_the_same_use_alone() -> None:
    space = Workspace()
    first = space.array("a", (3, 4), np.float32)
    assert space.array("a", (3, 4), np.float32) is first
    assert space.array("b", (3, 4), np.float32) is not first
    assert space.array("a", (4, 3), np.float32).shape == (4, 3)
    assert space.array("a", (4, 3), np.uint8).dtype == np.uint8


def test_a_thread_has_its_own() -> None:
    space = Workspace()
    mine = space.array("a", (3,), np.float32)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(space.array, "a", (3,), np.float32).result() is not mine


def test_a_large_one_is_not_kept() -> None:
    space = Workspace()
    assert space.array("a", (MAX_BYTES + 1,), np.uint8) is not space.array("a", (MAX_BYTES + 1,), np.uint8)


def test_what_decoding_gave_is_not_written_to_by_the_next_image() -> None:
    rng = np.random.default_rng(0)
    options = DecodeOptions.preset("acorn").with_changes(threshold=0.001)
    images = [
        DenseOutputs(rng.normal(size=(65, 6, 8)).astype(np.float32), rng.normal(size=(16, 6, 8)).astype(np.float32))
        for _ in range(2)
    ]
    first = decode(images[0], options)
    kept = [array.copy() for array in (first.keypoints, first.scores, first.descriptors)]
    decode(images[1], options)
    assert len(first) > 4
    for array, copy in zip((first.keypoints, first.scores, first.descriptors), kept, strict=True):
        np.testing.assert_array_equal(array, copy)
        assert not any(np.shares_memory(array, own) for own in workspace.WORKSPACE._arrays.values())
