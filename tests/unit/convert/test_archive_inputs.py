"""What an NN archive says of the images that its blob takes, as DepthAI reads it."""

from __future__ import annotations

from pathlib import Path

import depthai
import pytest

from oakpoint.bundle.interface import Input, Interface, TensorSpec, image_interface
from oakpoint.convert.archive_from_blob import archive_config, write_archive
from oakpoint.images.preprocess import Preprocess

OUTPUTS = (TensorSpec("out", "float16", (1, 5)),)
NUMBERS = {"mean": (123.7, 116.3, 103.5), "scale": (0.017, 0.0175, 0.0174)}


def interface(colour: str, resize: str = "stretch", layout: str = "nchw") -> Interface:
    """Of a device graph whose host model has numbers of its own."""
    numbers = {"mean": 33.0, "scale": 0.01} if colour == "grey" else NUMBERS
    preprocess = Preprocess(
        size=(320, 200), resize=resize, interpolation="area", colour=colour, layout=layout, **numbers
    )
    return image_interface("image", preprocess, OUTPUTS).on_device()


@pytest.mark.shared
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize(
    ("colour", "kind", "reverse"), [("grey", "GRAY8", False), ("bgr", "BGR888p", False), ("rgb", "RGB888p", True)]
)
def test_the_image_type_follows_the_colours(
    tmp_path: Path, shared: Path, colour: str, kind: str, reverse: bool, layout: str
) -> None:
    blob = shared / "blobs" / "superpoint_200x320_6shave.blob"
    path = tmp_path / "model.rvc2.tar.xz"
    write_archive(blob, path, name="n", interface=interface(colour, layout=layout))
    archive = depthai.NNArchive(str(path))
    (read,) = archive.getConfig().model.inputs
    channels = 1 if colour == "grey" else 3
    preprocessing = read.preprocessing
    assert preprocessing.daiType == kind
    assert kind in depthai.ImgFrame.Type.__members__
    assert preprocessing.reverseChannels is reverse
    assert (preprocessing.mean, preprocessing.scale) == ([0.0] * channels, [1.0] * channels), "they lie in the blob"
    assert (read.layout, read.shape) == ("NCHW", [1, channels, 200, 320])
    assert read.inputType == depthai.nn_archive.v1.InputType.IMAGE
    assert archive.getInputSize() == (320, 200)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("resize", "mode"), [("stretch", "STRETCH"), ("crop", "CROP"), ("letterbox", "LETTERBOX"), ("cut", None)]
)
def test_so_does_the_resizing(tmp_path: Path, shared: Path, resize: str, mode: str | None) -> None:
    blob = shared / "blobs" / "superpoint_200x320_6shave.blob"
    path = tmp_path / "model.rvc2.tar.xz"
    write_archive(blob, path, name="n", interface=interface("rgb", resize))
    found = depthai.NNArchive(str(path)).getInputResizeMode()
    assert found == (None if mode is None else getattr(depthai.ImgResizeMode, mode))


@pytest.mark.parametrize(("shape", "layout"), [((1, 7), "NC"), ((1, 2, 3, 4), "NCHW"), ((1,), "N"), ((1, 7, 9), "NCD")])
def test_an_input_that_is_no_image_is_raw(shape: tuple[int, ...], layout: str) -> None:
    given = Interface(inputs=(Input(tensor=TensorSpec("state", "float16", shape)),), outputs=OUTPUTS)
    (read,) = archive_config("n", "m.blob", given)["model"]["inputs"]
    assert (read["input_type"], read["layout"], read["shape"]) == ("raw", layout, list(shape))
    assert read["preprocessing"] == {}
