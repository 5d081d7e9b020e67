"""Image in, features out: preprocessing, a backend and decoding put together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from types import TracebackType

import numpy as np

from oakpoint.backends.base import Backend, Tensors
from oakpoint.backends.cache import BackendCache
from oakpoint.backends.limit import MemoryLimit
from oakpoint.backends.registry import INPUT, OUTPUTS
from oakpoint.errors import BackendError, FeaturesError, ImageError, UsageError
from oakpoint.features.decode import decode, in_frame
from oakpoint.features.packed import descriptors_from_packed, heatmap_from_packed
from oakpoint.features.types import CELL_PX, DecodeOptions, DenseOutputs, Features, HeatmapOutputs, Outputs
from oakpoint.geometry import PixelMap
from oakpoint.images.inputs import Given, image_from
from oakpoint.images.preprocess import Preprocess, limited_image, limited_size

MAX_CACHED_SIZES = 8
"""Models of as many image sizes are kept ready when images keep their own size; the one unused longest goes first.

While more threads than that are at work at once, each at another size, there are as many as threads."""


def dense_outputs(tensors: Tensors) -> Outputs:
    """The outputs of one image from a backend's tensors, of whichever heads (``convert.heads``).

    Args:
        tensors: ``semi`` (1, 65, Hc, Wc) and ``desc`` (1, D, Hc, Wc); or ``heatmap`` (1, H, W) and ``descriptors``
            (1, D, Hc, Wc); or ``heatmap`` and ``desc`` (1, Hc, Wc, D); or ``heatmap_packed`` int32 (1, 16, Hc, Wc) and
            ``descriptors_packed`` int32 (1, D/4, Hc, Wc).

    Raises:
        BackendError: other names or shapes.
    """
    names = set(tensors)
    try:
        if names == {"heatmap", "desc"}:
            planar = np.ascontiguousarray(np.moveaxis(tensors["desc"][0], -1, 0))
            return HeatmapOutputs(tensors["heatmap"][0], planar)
        if names == {"heatmap", "descriptors"}:
            return HeatmapOutputs(tensors["heatmap"][0], tensors["descriptors"][0])
        if names == {"heatmap_packed", "descriptors_packed"}:
            return HeatmapOutputs(
                heatmap_from_packed(tensors["heatmap_packed"][0]),
                descriptors_from_packed(tensors["descriptors_packed"][0]),
            )
        if names == set(OUTPUTS):
            return DenseOutputs(*(tensors[name][0] for name in OUTPUTS))
        raise BackendError(f"expected the outputs {' and '.join(OUTPUTS)}, got {', '.join(sorted(names))}")
    except FeaturesError as error:
        raise BackendError(f"the model's outputs are not those of a keypoint network: {error}") from error


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """What tells a model from others, by content.

    Attributes:
        model: the hash of the files that the runtime reads; or of a network by name, name and weights, and of a class
            of the user's own what its code makes.
        formerly: what features files were bound to before, which says less of the same model.
    """

    model: str
    formerly: str


class Extractor:
    """Calls like ``features = extractor(image)``; keypoints are in pixels of the image that was given.

    It may be called from several threads, and gives each of them what it would have got alone, to the last bit. Images
    are prepared and decoded side by side. Of one size, the network's runs come one after the other with all backends
    but ``onnxruntime`` (see ``Backend.run``): each uses all cores that ``threads`` leaves it. Where runs are to go side
    by side, load an extractor for each thread, with ``threads=1``.

    Attributes:
        preprocess: how an image becomes the input tensor.
        decode: how outputs become keypoints.
        native: each image is taken at its own size, cut to multiples of 8 at the right and bottom.
        max_side: a longer image is scaled down to it before that, its ratio kept; None: no image is.
        runtime: backend, device and precision, as asked for.
    """

    def __init__(
        self,
        open_at: Callable[[tuple[int, int]], Backend],
        *,
        preprocess: Preprocess,
        decode: DecodeOptions,
        native: bool = False,
        max_side: int | None = None,
        memory: MemoryLimit | None = None,
        runtime: str = "",
        identify: Callable[[], ModelIdentity] | None = None,
    ) -> None:
        """Put an extractor together; no model is opened before the first image.

        Args:
            open_at: opens the model for images of (W, H) pixels.
            preprocess: how an image becomes the input tensor; its size does not count when ``native``.
            decode: how outputs become keypoints.
            native: take each image at its own size.
            max_side: of the longer side in pixels, when ``native``.
            memory: what a model may take; None: nothing is refused.
            runtime: backend, device and precision, as asked for.
            identify: tells the model from others; None where nothing is kept that must be bound to it.
        """
        self.preprocess = preprocess
        self.decode = decode
        self.native = native
        self.max_side = max_side
        self._memory = memory
        self.runtime = runtime
        self._identify = identify
        self._open_at = open_at
        self._backends = BackendCache(self._open, kept=MAX_CACHED_SIZES)

    def __call__(self, image: Given) -> Features:
        """Extract features.

        Args:
            image: uint8 (H, W) grey or (H, W, 3) BGR; or a file's path, or a Pillow image (``images.inputs``).

        Raises:
            ImageError: another type or shape, a file that cannot be read; when ``native``, smaller than one cell of
                8×8 px, or so large that the model would take more memory than it may.
            UsageError: the size asked for is so large.
            BackendError: the model fails.
        """
        image = image_from(image)
        outputs, original_from_tensor = self.dense(image)
        height, width = image.shape[:2]
        return in_frame(decode(outputs, self.decode), original_from_tensor, (width, height))

    def dense(self, image: Given) -> tuple[Outputs, PixelMap]:
        """The network's outputs before decoding, and the map from the tensor's pixels to the image's."""
        image = image_from(image)
        preprocess = self._preprocess_for((image.shape[1], image.shape[0]))
        if self.max_side is None:
            tensor, original_from_tensor = preprocess.apply(image)
        else:
            limited, original_from_limited = limited_image(image, self.max_side)
            tensor, limited_from_tensor = preprocess.apply(limited)
            original_from_tensor = original_from_limited @ limited_from_tensor
        with self._backends.lent(preprocess.size) as backend:
            tensors = backend.run({INPUT: tensor})
        return dense_outputs(tensors), original_from_tensor

    def check(self, image: Given) -> None:
        """Make sure that an image is one, and large enough.

        Raises:
            ImageError: something else, or smaller than one cell of 8×8 px when ``native``.
        """
        image = image_from(image)
        self._preprocess_for((image.shape[1], image.shape[0]))

    def open_for(self, image: Given) -> None:
        """Open the model for images of this size now, so that the first extraction takes no longer than the others.

        Raises:
            ImageError: see ``__call__``.
        """
        image = image_from(image)
        with self._backends.lent(self._preprocess_for((image.shape[1], image.shape[0])).size):
            pass

    def description(self) -> str:
        """Runtime, version, device and precision of the model that ran last, or will run first."""
        with self._backends.lent(self._backends.last_used() or self.preprocess.size) as backend:
            return backend.description

    def identity(self) -> dict[str, object]:
        """All that decides on the features of an image: the model, the runtime, preprocessing and decoding, by name.

        Raises:
            UsageError: an extractor that was put together without ``identify``.
            BackendError: the model's files cannot be read.
        """
        preprocess = {f"preprocess {name}": value for name, value in asdict(self.preprocess).items()}
        preprocess["preprocess max_side"] = self.max_side
        if self.native:
            preprocess |= {"preprocess size": "native", "preprocess resize": "cut"}
        decoding = {f"decode {name}": value for name, value in asdict(self.decode).items()}
        return {"runtime": self.runtime, **preprocess, **decoding, "model": self._model().model}

    def former_identity(self) -> dict[str, object]:
        """What of ``identity`` earlier features files noted otherwise, with less in it."""
        return {"model": self._model().formerly}

    def _model(self) -> ModelIdentity:
        if self._identify is None:
            raise UsageError(f"{self.runtime}: nothing can be kept of what it finds; use another backend")
        return self._identify()

    def close(self) -> None:
        """Free the models, one that runs in another thread as soon as it is done. A later image opens its own anew."""
        self._backends.close()

    def __enter__(self) -> Extractor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _preprocess_for(self, image_size: tuple[int, int]) -> Preprocess:
        if not self.native:
            return self.preprocess
        width, height = image_size if self.max_side is None else limited_size(image_size, self.max_side)
        size = (width // CELL_PX * CELL_PX, height // CELL_PX * CELL_PX)
        if 0 in size:
            raise ImageError(
                f"expected an image of at least {CELL_PX}×{CELL_PX} px, got {width}×{height}; give a size to scale it "
                "to (--size 320x240)"
            )
        return replace(self.preprocess, size=size, resize="cut")

    def _open(self, size: tuple[int, int]) -> Backend:
        """Open the model for a size, and close those of other sizes, the one unused longest first, for its memory."""
        while self._memory is not None and (reason := self._memory.refusal(size, native=self.native)) is not None:
            if self._memory.stated_gb is not None or not self._backends.close_one_unused():
                raise ImageError(f"image: {reason}") if self.native else UsageError(f"size: {reason}")
        return self._open_at(size)


def default_preprocess(size: tuple[int, int]) -> Preprocess:
    """How SuperPoint's original demo prepares an image: grey, stretched by area averaging, 0–255 to [0, 1]."""
    return Preprocess(size=size, resize="stretch", interpolation="area", colour="grey", scale=1 / 255)
