from __future__ import annotations

import pytest

from oakpoint.errors import UsageError
from oakpoint.features.types import DecodeOptions
from oakpoint.tasks.classes.task import ClassesTask
from oakpoint.tasks.keypoints.task import Keypoints
from oakpoint.tune.space import (
    Parameter,
    Space,
    inference_threads,
    sizes_between,
    space_for,
)

KEYPOINTS = Keypoints(decode=DecodeOptions.preset("superpoint"))
SIZES = [(320, 240), (160, 120)]


def test_every_place_is_another_configuration_of_the_space():
    space = Space((Parameter("size", ("8x8", "16x16")), Parameter("heads", ("dense", "packed", "reduced"))))
    found = [space.at(place) for place in range(space.points)]
    assert len({tuple(c.items()) for c in found}) == space.points == 6
    assert all(configuration in space for configuration in found)
    assert {"size": "8x8", "heads": "rtabmap"} not in space
    assert {"size": "8x8"} not in space


def test_what_is_searched_follows_from_target_and_task():
    names = {
        (target, kind): [p.name for p in space_for(target, task, SIZES).parameters]
        for target in ("cpu", "oak")
        for kind, task in (("keypoints", KEYPOINTS), ("classes", ClassesTask(classes=10)))
    }
    decoding = ["max_keypoints", "threshold", "nms_radius_px", "subpixel"]
    assert names["cpu", "keypoints"] == ["size", "precision", "threads", *decoding]
    assert names["oak", "keypoints"] == ["size", "heads", "shaves", *decoding]
    assert names["cpu", "classes"] == ["size", "precision", "threads"]
    assert names["oak", "classes"] == ["size", "heads", "shaves"]


def test_the_preset_is_in_the_space_and_rtabmaps_heads_are_not():
    space = space_for("oak", KEYPOINTS, SIZES)
    assert KEYPOINTS.decode.threshold in space.values_of("threshold")
    assert KEYPOINTS.decode.nms_radius_px in space.values_of("nms_radius_px")
    assert "rtabmap" not in space.values_of("heads")
    assert space.values_of("size") == ("160x120", "320x240")
    assert space_for("cpu", KEYPOINTS, SIZES, cores=6).values_of("threads") == (1, 2, 4, 6)


def test_parameters_are_limited_by_what_was_written():
    space = space_for("oak", KEYPOINTS, SIZES).limited(
        ["heads=packed", "shaves=8,4", "threshold=0.02", "size=640x480,320x200"]
    )
    assert space.values_of("heads") == ("packed",)
    assert space.values_of("shaves") == (4, 8)
    assert space.values_of("threshold") == (0.02,)
    assert space.values_of("size") == ("320x200", "640x480")
    assert space.values_of("max_keypoints") == space_for("oak", KEYPOINTS, SIZES).values_of("max_keypoints")


@pytest.mark.parametrize(
    ("fix", "message"),
    [
        ("threads=2", "NAME one of size, heads, shaves, max_keypoints"),
        ("heads", "expected NAME=VALUE"),
        ("heads=", "expected NAME=VALUE"),
        ("heads=packd", "heads: expected one of dense"),
        ("heads=rtabmap", "heads: expected one of dense"),
        ("shaves=17", "shaves: expected 1 to 16, got 17"),
        ("shaves=six", "shaves: expected a number, got 'six'"),
        ("threshold=2", "expected a probability from 0 to 1, got 2"),
        ("max_keypoints=0", "expected 1 or more, got 0"),
        ("nms_radius_px=-1", "expected 0 or more, got -1"),
        ("size=320", "size: expected WIDTHxHEIGHT"),
        ("subpixel=cubic", "subpixel: expected one of none"),
    ],
)
def test_limits_that_cannot_be_meant(fix, message):
    with pytest.raises(UsageError) as error:
        space_for("oak", KEYPOINTS, SIZES).limited([fix])
    assert message in str(error.value)


def test_a_parameter_is_limited_once():
    with pytest.raises(UsageError, match="shaves is given twice"):
        space_for("oak", KEYPOINTS, SIZES).limited(["shaves=4", "shaves=6"])


@pytest.mark.parametrize(("ratio", "step"), [(4 / 3, 8), (16 / 9, 32), (3 / 4, 8), (1.0, 16)])
def test_sizes_keep_the_ratio_and_the_step(ratio, step):
    sizes = sizes_between(ratio, step, least_px=160, most_px=640)
    assert len(sizes) == 7
    assert list(sizes) == sorted(sizes, key=lambda size: size[0] * size[1])
    for width, height in sizes:
        assert width % step == height % step == 0
        assert 160 <= max(width, height) <= 640
        assert abs(min(width, height) - max(width, height) * min(ratio, 1 / ratio)) <= step / 2
    assert max(sizes[-1]) == 640


def test_sizes_that_there_are_not():
    with pytest.raises(UsageError, match="widen them"):
        sizes_between(1.0, 32, least_px=33, most_px=60)
    with pytest.raises(UsageError, match="--min-side"):
        sizes_between(1.0, 8, least_px=320, most_px=160)


def test_the_nearest_configuration():
    space = space_for("cpu", KEYPOINTS, SIZES, cores=2)
    found = space.nearest({"size": "300x200", "threshold": 0.015, "subpixel": "none", "threads": 9})
    assert found["size"] == "320x240"
    assert found["threads"] == 2
    assert found["max_keypoints"] == 1024  # the preset keeps all of them
    assert found in space


@pytest.mark.parametrize(("shaves", "threads"), [(4, 2), (6, 2), (7, 1), (12, 1), (16, 1)])
def test_two_inference_threads_leave_the_camera_its_own(shaves, threads):
    assert inference_threads(shaves) == threads
