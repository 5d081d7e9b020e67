"""An NN archive around an ONNX says what the model's images want, in the schema's words."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import depthai
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from oakpoint.bundle.interface import Input, Interface, TensorSpec, image_interface
from oakpoint.convert.archive_from_onnx import (
    MODEL_NAME,
    onnx_archive_config,
    read_onnx_archive,
    write_onnx_archive,
)
from oakpoint.errors import ConversionError
from oakpoint.images.preprocess import Colour, Layout, Preprocess, Resize

OUTPUTS = (TensorSpec("out", "float32", (1, 5)),)
MODEL = bytes(range(256)) * 40
IMAGENET = {"mean": (123.675, 116.28, 103.53), "scale": (1 / 58.395, 1 / 57.12, 1 / 57.375)}


def interface(colour: Colour = "rgb", layout: Layout = "nchw", resize: Resize = "stretch", **more: Any) -> Interface:
    numbers: dict[str, Any] = {"mean": 33.0, "scale": 0.01} if colour == "grey" else dict(IMAGENET)
    told = {"size": (320, 200), "interpolation": "area", **numbers, **more}
    preprocess = Preprocess(resize=resize, colour=colour, layout=layout, **told)
    return image_interface("image", preprocess, OUTPUTS).at(preprocess.size)


def image_facts(interface: Interface) -> dict[str, Any]:
    facts: dict[str, Any] = onnx_archive_config("n", interface)["model"]["inputs"][0]
    return facts


@pytest.mark.parametrize(
    ("colour", "layout", "kind"),
    [
        ("grey", "nchw", "GRAY8"),
        ("grey", "nhwc", "GRAY8"),
        ("bgr", "nchw", "BGR888p"),
        ("rgb", "nchw", "RGB888p"),
        ("bgr", "nhwc", "BGR888i"),
        ("rgb", "nhwc", "RGB888i"),
    ],
)
def test_colours_and_layout_are_the_models_own(colour: Colour, layout: Layout, kind: str) -> None:
    facts = image_facts(interface(colour, layout))
    assert facts["preprocessing"]["dai_type"] == kind
    assert kind in depthai.ImgFrame.Type.__members__
    assert facts["preprocessing"]["reverse_channels"] is (colour == "rgb")
    assert facts["preprocessing"]["interleaved_to_planar"] is (layout == "nhwc")
    assert facts["layout"] == layout.upper()
    assert dict(zip(facts["layout"], facts["shape"], strict=True)) == {
        "N": 1,
        "C": 1 if colour == "grey" else 3,
        "H": 200,
        "W": 320,
    }
    assert (facts["dtype"], facts["input_type"]) == ("float32", "image")


def test_the_schemas_scale_divides() -> None:
    assert image_facts(interface())["preprocessing"]["scale"] == [58.395, 57.12, 57.375]
    assert image_facts(interface())["preprocessing"]["mean"] == [123.675, 116.28, 103.53]
    usual = image_facts(interface(mean=0.0, scale=1 / 255))["preprocessing"]
    assert (usual["mean"], usual["scale"]) == ([0.0] * 3, [255.0] * 3)


def test_levels_that_the_model_takes_as_they_are_need_nothing() -> None:
    taken = interface(baked=True)
    assert image_facts(taken)["preprocessing"]["scale"] == [1.0] * 3
    assert image_facts(taken)["preprocessing"]["mean"] == [0.0] * 3


def test_what_is_no_image_is_raw_and_open_shapes_of_outputs_are_left_out() -> None:
    state = Input(tensor=TensorSpec("state", "int64", (1, 7)))
    outputs = (TensorSpec("mask", "bool", (1, 4)), TensorSpec("open", "float32", (1, "K")))
    model = onnx_archive_config("n", Interface(inputs=(state,), outputs=outputs))["model"]
    assert model["inputs"] == [
        {"name": "state", "dtype": "int64", "input_type": "raw", "shape": [1, 7], "layout": "NC", "preprocessing": {}}
    ]
    assert model["outputs"] == [
        {"name": "mask", "dtype": "boolean", "shape": [1, 4]},
        {"name": "open", "dtype": "float32"},
    ]


numbers = st.floats(1e-3, 300, allow_nan=False)


@given(
    data=st.data(),
    colour=st.sampled_from(["grey", "bgr", "rgb"]),
    layout=st.sampled_from(["nchw", "nhwc"]),
    resize=st.sampled_from(["stretch", "crop", "letterbox", "cut"]),
)
def test_an_image_made_by_the_config_alone_is_the_networks_own(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, colour: Colour, layout: Layout, resize: Resize
) -> None:
    channels = 1 if colour == "grey" else 3
    drawn = [data.draw(st.tuples(*[numbers] * channels)) for _ in range(2)]
    mean, scale = (values[0] if channels == 1 else values for values in drawn)
    own = interface(colour, layout, resize, mean=mean, scale=scale, size=(24, 16))
    path = tmp_path_factory.getbasetemp() / "round.tar.xz"
    write_onnx_archive(MODEL, path, name="n", interface=own)
    model, read = read_onnx_archive(path, own)
    assert model == MODEL
    image = np.random.default_rng(0).integers(0, 256, (20, 36, 3), np.uint8)
    wanted: NDArray[np.float32] = own.feed(image)["image"]
    got = read.feed(image)["image"]
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-6 * float(np.abs(wanted).max()))


def test_depthai_reads_it_and_finds_the_model_in_it(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx.tar.xz"
    heads = [{"name": "h", "parser": "P", "outputs": ["out"], "metadata": {"n_classes": 5}}]
    write_onnx_archive(MODEL, path, name="mine", interface=interface("rgb", resize="letterbox"), heads=heads)
    archive = depthai.NNArchive(str(path))
    model = archive.getConfig().model
    assert (model.metadata.name, model.metadata.path) == ("mine", MODEL_NAME)
    assert archive.getModelType() == depthai.ModelType.OTHER
    assert archive.getInputSize() == (320, 200)
    assert archive.getInputResizeMode() == depthai.ImgResizeMode.LETTERBOX
    preprocessing = model.inputs[0].preprocessing
    assert preprocessing.daiType == "RGB888p"
    assert preprocessing.scale == [58.395, 57.12, 57.375]
    assert [head.parser for head in model.heads] == ["P"]


def test_the_same_model_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / "a.tar.xz", tmp_path / "b.tar.xz"]
    write_onnx_archive(MODEL, paths[0], name="n", interface=interface())
    monkeypatch.setattr("time.time", lambda: 2e9)
    write_onnx_archive(MODEL, paths[1], name="n", interface=interface())
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with tarfile.open(paths[0]) as tar:
        assert [(m.name, m.mtime, m.uid) for m in tar.getmembers()] == [("config.json", 0, 0), (MODEL_NAME, 0, 0)]


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_what_cannot_be_read_is_one_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.onnx.tar.xz"
    write_onnx_archive(MODEL, path, name="n", interface=interface())
    other = Interface(inputs=(Input(tensor=TensorSpec("elsewhere", "float32", (1,))),), outputs=OUTPUTS)
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConversionError, match=r"model\.onnx\.tar\.xz: no NN archive of this network"):
        read_onnx_archive(path, interface() if content is not None else other)
