"""Regions of a feature map resampled to one size."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import BlobError, NotModelledError
from oakpoint.myriad.blob import Stage
from oakpoint.myriad.format import RoiAlignMode, RoiAlignStep
from oakpoint.myriad.parameters import RoiAlignParameters
from oakpoint.myriad.simulator.memory import Memory, store
from oakpoint.myriad.simulator.step import Step, expect

MAX_SAMPLES: int = 1024
"""Samples along an axis of a region, over which a blob is taken for damaged."""


def roi_align(stage: Stage, memory: Memory) -> Step:
    """Every region cut into cells, and each cell the mean or the largest of samples between the pixels.

    A region is (x1, y1, x2, y2), scaled to pixels, and at least one pixel wide and high; pixel 0 lies at coordinate 0,
    without the half pixel that ONNX's ``half_pixel`` takes off. Source: ``refROIAlign`` in the vendor's own tests of
    this stage (``myriad_layers_reference_functions.cpp``).
    """
    p = expect(stage.parameters, RoiAlignParameters)
    if RoiAlignStep(p.step) is not RoiAlignStep.WHOLE:
        raise NotModelledError(
            "regions of a feature map that is repacked first (200 and more columns) are not modelled"
        )
    mode = RoiAlignMode(p.mode)
    source, target = memory.nchw(stage.inputs[0]), memory.nchw(stage.outputs[0])
    regions, images = memory.view(stage.inputs[1]), memory.view(stage.inputs[2]).reshape(-1)
    if regions.shape != (len(target), 4) or images.size != len(target):
        raise BlobError(f"regions {stage.inputs[1]} of {stage.inputs[2]} into {stage.outputs[0]}")
    if target.shape[1:] != (source.shape[1], p.height, p.width):
        raise BlobError(f"regions of {stage.inputs[0]} into {stage.outputs[0]}")

    def step() -> None:
        for number, (region, image) in enumerate(zip(regions.astype(np.float64), images.tolist(), strict=True)):
            if not 0 <= image < len(source):
                raise BlobError(f"a region of image {image} of {len(source)}")
            left, top, right, bottom = (region * p.spatial_scale).tolist()
            rows = _samples(top, bottom, p.height, p.sampling_ratio, source.shape[2])
            columns = _samples(left, right, p.width, p.sampling_ratio, source.shape[3])
            sampled = rows @ source[image].astype(np.float64) @ columns.T
            cells = sampled.reshape(source.shape[1], p.height, -1, p.width, len(columns) // p.width)
            values = cells.max((2, 4)) if mode is RoiAlignMode.MAX else cells.mean((2, 4))
            store(target[number], values.astype(np.float32))

    return step


def _samples(start: float, end: float, cells: int, ratio: int, length: int) -> NDArray[np.float64]:
    """Weights (samples, length) that interpolate an axis at the samples of a region; zero for one that lies outside."""
    extent = max(end - start, 1.0)
    each = ratio if ratio > 0 else math.ceil(extent / cells)
    if not 0 < each * cells <= MAX_SAMPLES:
        raise BlobError(f"{each} samples for each of {cells} cells of a region from {start} to {end}")
    position = start + (np.arange(cells * each) + 0.5) * (extent / (cells * each))
    outside = (position < -1) | (position > length)
    position = np.clip(position, 0, length - 1)
    before = np.floor(position).astype(np.intp)
    behind = np.minimum(before + 1, length - 1)
    weights = np.zeros((len(position), length))
    places = np.arange(len(position))
    np.add.at(weights, (places, before), 1 - (position - before))
    np.add.at(weights, (places, behind), position - before)
    weights[outside] = 0
    return weights
