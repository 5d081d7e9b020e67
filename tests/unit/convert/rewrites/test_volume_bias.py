"""Convolutions over three dimensions get a bias; others stay."""

from __future__ import annotations

import numpy as np
import pytest
from rewritten import differences, graph_of, layer, on_device, random_inputs, rewritten, run

from oakpoint.convert.rewrites.operators.volume_bias import VolumeBias

RNG = np.random.default_rng(4)
WEIGHTS = {"w": RNG.normal(0, 0.3, (2, 2, 3, 3, 3)).astype(np.float32), "bias": np.ones(2, np.float32)}
VOLUME = {"x": (1, 2, 4, 6, 8)}


def test_a_bias_of_zeros_where_there_is_none() -> None:
    model = graph_of([layer("Conv", "x w", pads=[1] * 6)], VOLUME, WEIGHTS)
    made, touched = rewritten(model, VolumeBias())
    assert len(touched) == 1
    assert [len(node.input) for node in made.graph.node] == [3]
    assert differences(model, VolumeBias(), random_inputs(model, RNG)) == {"y": 0}


@pytest.mark.parametrize(("inputs", "shape"), [("x w bias", VOLUME["x"]), ("x flat", (1, 2, 6, 8))])
def test_others_stay(inputs: str, shape: tuple[int, ...]) -> None:
    constants = WEIGHTS | {"flat": WEIGHTS["w"][:, :, 0]}
    model = graph_of([layer("Conv", inputs)], {"x": shape}, constants)
    assert not VolumeBias().apply(model)


@pytest.mark.slow
@pytest.mark.compiler
def test_what_the_compiler_makes_of_them(tmp_path: object) -> None:
    constants = WEIGHTS | {"one": WEIGHTS["w"][:1]}
    layers = [
        layer("Conv", "x w", "a", pads=[1] * 6), layer("Conv", "x one", "b", strides=[2, 2, 2]),
        layer("Conv", "x w", "c", dilations=[1, 2, 2]),
    ]  # fmt: skip
    model = graph_of(layers, VOLUME, constants, ["a", "b", "c"])
    values = random_inputs(model, RNG)
    found = on_device(model, [VolumeBias()], values, tmp_path)  # type: ignore[arg-type]
    for name, wanted in run(model, values).items():
        assert np.abs(found[name] - wanted).max() < 4e-3 * np.abs(wanted).max(), name
