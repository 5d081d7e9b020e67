"""All networks of the zoo in one list, and how each is written as ONNX by torch's older exporter."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

COLOUR, GREY = 3, 1


@dataclass(frozen=True, kw_only=True)
class Member:
    """A network.

    Attributes:
        model: as ``package.module:Class``.
        task: that its outputs are recognised as.
        size: (W, H) of its images in pixels.
        channels: of its images.
        others: shapes of the inputs beside the first image, by name, the first image's among them; empty without any.
        opset: at which the older exporter writes it.
        refused: an operator of it that the device does not take; empty where it takes them all.
    """

    model: str
    task: str
    size: tuple[int, int] = (96, 64)
    channels: int = COLOUR
    others: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    opset: int = 13
    refused: str = ""

    @property
    def name(self) -> str:
        """The class's."""
        return self.model.split(":")[1]

    def network(self) -> nn.Module:
        """The network, with its weights."""
        module, name = self.model.split(":")
        network: nn.Module = getattr(importlib.import_module(module), name)()
        return network.eval()

    def export(self, path: Path) -> Path:
        """Write it by way of TorchScript, with the sizes of its inputs fixed."""
        shapes = self.others or {"image": (1, self.channels, self.size[1], self.size[0])}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that this exporter is the older one, and what it traced as constant
            torch.onnx.export(
                self.network(),
                tuple(torch.zeros(shape) for shape in shapes.values()),
                str(path),
                dynamo=False,
                opset_version=self.opset,
                input_names=list(shapes),
            )
        return path


_PAIR = {"template": (1, 3, 64, 64), "search": (1, 3, 64, 96)}
_VIEWS = {"left": (1, 1, 64, 96), "right": (1, 1, 64, 96)}
_STATE = {"image": (1, 3, 64, 96), "state": (1, 3)}

MEMBERS = (
    Member(model="zoo_classifiers:MobileNetV2", task="classes", opset=11),
    Member(model="zoo_classifiers:MobileNetV3", task="classes", opset=14),
    Member(model="zoo_classifiers:ResNet", task="classes", opset=9),
    Member(model="zoo_classifiers:EfficientNetLite", task="classes", opset=12),
    Member(model="zoo_classifiers:EfficientNet", task="classes", opset=17),
    Member(model="zoo_classifiers:ShuffleNetV2", task="classes", opset=11),
    Member(model="zoo_classifiers:ConvNeXt", task="classes", opset=17),
    Member(model="zoo_classifiers:GhostNet", task="classes", opset=10),
    Member(model="zoo_classifiers:DenseNet", task="classes", opset=9),
    Member(model="zoo_classifiers:SqueezeNet", task="classes", opset=10),
    Member(model="zoo_classifiers:SpatialTransformer", task="classes", opset=16, refused="GridSample"),
    Member(model="zoo_classifiers:FaceEmbedding", task="tensors", size=(64, 64), opset=11),
    Member(model="zoo_transformers:ViT", task="classes", opset=12),
    Member(model="zoo_transformers:FusedViT", task="classes", opset=14),
    Member(model="zoo_transformers:TorchEncoder", task="classes", opset=16),
    Member(model="zoo_transformers:MobileViT", task="classes", opset=13),
    Member(model="zoo_transformers:SegFormer", task="mask", opset=11),
    Member(model="zoo_transformers:TextRecogniser", task="tensors", size=(128, 48), opset=11),
    Member(model="zoo_transformers:RecurrentRecogniser", task="tensors", size=(128, 32), channels=GREY, opset=11),
    Member(model="zoo_dense:UNet", task="mask", opset=9),
    Member(model="zoo_dense:OddUNet", task="mask", size=(100, 68), opset=11),
    Member(model="zoo_dense:DeepLab", task="mask", opset=11),
    Member(model="zoo_dense:PSPNet", task="mask", size=(96, 96), opset=11),
    Member(model="zoo_dense:DepthNet", task="tensors", opset=11),
    Member(model="zoo_dense:FastDepth", task="tensors", opset=10),
    Member(model="zoo_dense:TextDetector", task="tensors", opset=11),
    Member(model="zoo_dense:SuperResolution", task="tensors", size=(64, 48), channels=GREY, opset=10),
    Member(model="zoo_dense:ResidualSuperResolution", task="tensors", size=(64, 48), opset=13),
    Member(model="zoo_dense:PoseHeatmaps", task="tensors", opset=12),
    Member(model="zoo_dense:PoseCoordinates", task="tensors", opset=13),
    Member(model="zoo_dense:HighResolution", task="tensors", opset=11),
    Member(model="zoo_dense:StyleTransfer", task="tensors", opset=11),
    Member(model="zoo_dense:SaliencyNet", task="tensors", opset=11),
    Member(model="zoo_detectors:YoloV8", task="boxes", opset=17),
    Member(model="zoo_detectors:YoloV8Maps", task="tensors", opset=11),
    Member(model="zoo_detectors:YoloV5", task="boxes", opset=12),
    Member(model="zoo_detectors:YoloV5Focus", task="boxes", opset=11),
    Member(model="zoo_detectors:SSD", task="tensors", opset=11),
    Member(model="zoo_detectors:CenterNet", task="tensors", opset=12),
    Member(model="zoo_detectors:WeightedPyramid", task="tensors", opset=11),
    Member(model="zoo_detectors:Siamese", task="tensors", others=_PAIR, opset=11),
    Member(model="zoo_detectors:StereoCost", task="tensors", channels=GREY, others=_VIEWS, opset=12),
    Member(model="zoo_detectors:WithPrior", task="tensors", others=_STATE, opset=11),
)
