from __future__ import annotations

from pathlib import Path

import pytest

from oakpoint.errors import UsageError
from oakpoint.evaluate.specification import parse_specification, parse_specifications
from oakpoint.models.base import ModelOptions


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("b", {"label": "b", "model": "b", "kind": "network", "size": None, "backend": "openvino"}),
        ("b@openvino:CPU:bf16", {"model": "b", "device": "CPU", "precision": "bf16"}),
        ("b@openvino:GPU", {"device": "GPU", "precision": "f32"}),
        ("b@onnxruntime", {"backend": "onnxruntime"}),
        ("b@640x480", {"size": (640, 480), "label": "b@640x480"}),
        ("b@native", {"size": "native"}),
        ("small=b@320x240@torch", {"label": "small", "model": "b", "size": (320, 240), "backend": "torch"}),
        ("superpoint@weights=w.pth", {"model": "superpoint", "weights": Path("w.pth")}),
        ("b@threshold=0.005@nms=8", {"label": "b@threshold=0.005@nms=8", "threshold": 0.005, "nms_radius_px": 8}),
        ("b@decoding=graph", {"label": "b@decoding=graph", "decoding": "graph"}),
        ("b@subpixel=quadratic", {"label": "b@subpixel=quadratic", "subpixel": "quadratic"}),
        ("b", {"subpixel": None, "max_side": None, "max_memory_gb": None}),
        ("b@max-side=1600@max-memory=2.5", {"max_side": 1600, "max_memory_gb": 2.5, "size": None}),
        ("my.module:Class", {"model": "my.module:Class", "kind": "network"}),
        ("sift", {"kind": "classical"}),
        ("r=orb", {"kind": "classical", "label": "r", "model": "orb"}),
        ("f/features.h5", {"kind": "file"}),
        ("F.HDF5", {"kind": "file"}),
    ],
)
def test_the_grammar(text, expected):
    found = parse_specification(text)
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "no model"),
        ("@640x480", "no model"),
        ("b@", "expected WIDTHxHEIGHT"),
        ("b@cuda", "myriad_simulator"),
        ("b@openvino:CPU:f32:x", "expected WIDTHxHEIGHT"),
        ("b@colour=red", "threshold=P"),
        ("b@threshold=high", "expected a number"),
        ("b@max-side=large", "expected a number"),
        ("b@decoding=host", "decoding=auto|graph|numpy"),
        ("b@subpixel=cubic", "subpixel=none|soft_argmax|quadratic"),
        ("sift@640x480", "takes no settings"),
        ("f.h5@native", "takes no settings"),
    ],
)
def test_what_cannot_be_meant(text, named):
    with pytest.raises(UsageError, match=named):
        parse_specification(text)


def test_a_path_that_exists_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a@b=c").mkdir()
    assert parse_specification("a@b=c").model == "a@b=c"


def test_labels_tell_apart():
    with pytest.raises(UsageError, match="given twice"):
        parse_specifications(["sift", "sift"])
    assert [s.label for s in parse_specifications(["sift", "s=sift"])] == ["sift", "s"]
    with pytest.raises(UsageError, match="something to evaluate"):
        parse_specifications([])


def test_weights_are_for_all_but_those_that_have_their_own():
    found = parse_specifications(["superpoint", "x=superpoint@weights=b.pth"], weights=Path("a.pth"))
    assert [s.weights for s in found] == [Path("a.pth"), Path("b.pth")]


def test_what_is_said_of_a_network_is_for_all_but_bundles_and_those_that_say_it_themselves(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    said = ModelOptions(task="keypoints")
    texts = [
        "net.onnx",
        "m=net.onnx@color=rgb@mean=1,2,3@scale=1/255@output=semi=a@output=desc=b",
        str(tmp_path),
        "sift",
    ]
    plain, own, bundle, sift = parse_specifications(texts, said=said)
    assert plain.said == said
    assert bundle.said == sift.said == ModelOptions()
    assert own.said.task is None
    assert own.said.outputs == {"semi": "a", "desc": "b"}
    assert (own.said.inputs.image.colour, own.said.inputs.image.mean) == ("rgb", (1, 2, 3))


@pytest.mark.parametrize(
    ("text", "named"),
    [("n@color=rgb@color=bgr", "n@color=rgb@color=bgr: color: is given twice"), ("n@color=pink", "--color: expected")],
)
def test_what_cannot_be_said_of_a_network(text, named):
    with pytest.raises(UsageError, match=named):
        parse_specification(text)
