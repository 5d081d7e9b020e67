"""Teachers that a user might have, by name in ``package.module:Class``."""

from __future__ import annotations

import torch
from small_network import SmallNetwork
from torch import nn

from oakpoint.networks.weights import initialise_randomly
from oakpoint.training.teachers.protocol import TeacherOutputs


class Brightness:
    """A teacher that is no torch module: what is bright is a keypoint."""

    name = "brightness"
    multiple = 1

    def __call__(self, images: torch.Tensor) -> TeacherOutputs:
        return TeacherOutputs(images, torch.cat([images, 1 - images], dim=1))


class Picky(Brightness):
    """Takes images of multiples of 32 alone, and answers in half precision."""

    multiple = 32

    def __call__(self, images: torch.Tensor) -> TeacherOutputs:
        assert not images.shape[2] % 32
        assert not images.shape[3] % 32
        outputs = super().__call__(images)
        return TeacherOutputs(outputs.scores.half(), outputs.descriptors.half())


class LearntBrightness(nn.Module):
    """The same as a torch module with weights."""

    name = "learnt brightness"
    multiple = 1

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1, 1))

    def forward(self, images: torch.Tensor) -> TeacherOutputs:
        return TeacherOutputs((images * self.gain).clamp(0, 1), torch.cat([images, 1 - images], dim=1))


def drawn_network() -> SmallNetwork:
    """The small network with weights that are always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return SmallNetwork()


class WithNetwork(Brightness):
    """Keeps a network with weights."""

    def __init__(self) -> None:
        self.network = drawn_network()


class AroundNetwork(LearntBrightness):
    """Is a torch module that holds one."""

    def __init__(self) -> None:
        super().__init__()
        self.network = drawn_network()


class BringsWeights(SmallNetwork):
    """A student whose class sets its weights itself: those of the small network with seed 0."""

    def __init__(self) -> None:
        super().__init__()
        initialise_randomly(self, 0)


class OneOutput(nn.Module):
    """A network that is no keypoint network."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 65, 8, 8)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.convolution(images)
        return result


class Raises(Brightness):
    """With a mistake in its code."""

    def __call__(self, images: torch.Tensor) -> TeacherOutputs:
        raise ValueError("moon\nbehind a cloud")


class Tuple(Brightness):
    """Gives what a network gives."""

    def __call__(self, images: torch.Tensor) -> TeacherOutputs:
        outputs = super().__call__(images)
        return outputs.scores, outputs.descriptors  # type: ignore[return-value]


class HalfScores(Brightness):
    """Scores every second pixel."""

    def __call__(self, images: torch.Tensor) -> TeacherOutputs:
        return TeacherOutputs(images[:, :, ::2, ::2], images)


class FlatDescriptors(Brightness):
    """Describes without a batch."""

    def __call__(self, images: torch.Tensor) -> TeacherOutputs:
        return TeacherOutputs(images, images[0])


class Logits(Brightness):
    """Forgot the sigmoid."""

    def __call__(self, images: torch.Tensor) -> TeacherOutputs:
        return TeacherOutputs(20 * images - 5, images)


class NotFinite(Brightness):
    """Divides by zero."""

    def __call__(self, images: torch.Tensor) -> TeacherOutputs:
        return TeacherOutputs(images, images / 0)


class NoMultiple(Brightness):
    """Asks for images of no size."""

    multiple = 0


class Blind(Brightness):
    """Finds nothing."""

    def __call__(self, images: torch.Tensor) -> TeacherOutputs:
        return TeacherOutputs(0 * images, images)
