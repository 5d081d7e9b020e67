from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from oakpoint.cli.commands import loaded_command
from oakpoint.tune.command import commands

CPU = {
    "size": "320x240", "precision": "f32", "threads": 2, "max_keypoints": 512, "threshold": 0.03, "nms_radius_px": 4,
    "subpixel": "none",
}  # fmt: skip
OAK = {"size": "320x240", "heads": "packed", "shaves": 8, "threshold": 0.03}


def known_options(name: str) -> set[str]:
    return {option for parameter in loaded_command(name).params for option in parameter.opts}


@pytest.mark.parametrize(("target", "configuration"), [("cpu", CPU), ("oak", OAK)])
def test_every_option_is_one_of_its_command(target, configuration):
    for line in commands(target, configuration, model="m.onnx", images=Path("images")):
        program, name, *words = shlex.split(line)
        assert program == "oakpoint"
        assert {word for word in words if word.startswith("--")} <= known_options(name)


def test_what_is_converted_and_what_is_run():
    convert, run = commands("oak", OAK, model="m.onnx", model_words=["--color", "rgb"], images=Path("my images"))
    assert convert == (
        "oakpoint convert m.onnx --color rgb --size 320x240 --heads packed --shaves 8 --images 'my images' --out tuned"
    )
    assert run == "oakpoint run tuned oak --threshold 0.03 --nn-threads 1"
    convert, run = commands("cpu", CPU, model="m.onnx", images=Path("i"))
    assert convert == "oakpoint convert m.onnx --size 320x240 --to ir --images i --out tuned"
    assert "--threads 2 --max-keypoints 512 --threshold 0.03 --nms-radius 4 --subpixel none" in run


def test_a_point_in_int8_is_converted_to_it():
    convert, run = commands("cpu", {**CPU, "precision": "int8"}, model="bundle", images=Path("i"))
    assert convert == "oakpoint convert bundle --size 320x240 --to ir --int8 --images i --out tuned"
    assert "--precision int8" in run
