"""Ways that are open give what ``oakpoint.load`` gives, and their stages are those of that way."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import oakpoint
from oakpoint.bench.host.contenders import WAYS, Contender
from oakpoint.bench.host.opening import STAGES, InGraph, open_contender
from oakpoint.bench.host.subject import Named
from oakpoint.bundle.folder import open_bundle
from oakpoint.errors import UsageError
from oakpoint.models.base import ModelOptions
from oakpoint.tasks.keypoints.fused.running import WholeModels

GRAPH = next(way for way in WAYS if way.name == "openvino f32 graph")


def test_with_decoding_in_the_graph_the_image_is_still_prepared_before_it(
    small_bundle: Path, photographs: dict[str, NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = photographs["camera"]
    size = open_bundle(small_bundle).manifest.interface.size
    assert size is not None
    named = Named(model=str(small_bundle), said=ModelOptions(), size=size)
    opened = open_contender(named, Contender(GRAPH, 1), image)
    try:
        assert isinstance(opened, InGraph)
        ticks = count()
        reached: dict[str, int] = {}
        run = WholeModels.run

        def noted(self: WholeModels, *arguments: Any) -> Any:
            reached["network"] = next(ticks)
            return run(self, *arguments)

        monkeypatch.setattr(WholeModels, "run", noted)
        stages = opened.staged(image, lambda: float(next(ticks)))
    finally:
        opened.close()
    assert stages == {"preprocess": 1, "network": 2, "decode": 1}, "the network alone, and all of it, is within one"
    assert tuple(stages) == STAGES
    assert reached == {"network": 2}


def test_an_extractor_that_decodes_in_numpy_has_no_graph(
    small_bundle: Path, photographs: dict[str, NDArray[np.uint8]]
) -> None:
    with oakpoint.load(small_bundle) as extractor:
        assert isinstance(extractor, oakpoint.Extractor)
        with pytest.raises(UsageError, match=r"expected an extractor with .*graph., got one that decodes in NumPy"):
            extractor.found_in_graph(extractor.levels(photographs["camera"]))
