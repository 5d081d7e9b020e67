"""What is compared: networks, OpenCV's SIFT and ORB, and features files, behind one method."""

from __future__ import annotations

import platform
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import final

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint import __version__
from oakpoint.errors import FeaturesError
from oakpoint.evaluate.cache import FeatureCache, key_of
from oakpoint.evaluate.pairs import Image
from oakpoint.evaluate.protocol import Prepared
from oakpoint.evaluate.selection import best
from oakpoint.evaluate.specification import Specification
from oakpoint.evaluate.timing import WARM_UPS, Timed
from oakpoint.extractor import Extractor
from oakpoint.features.hdf5 import read_features, stored_names
from oakpoint.features.types import Features
from oakpoint.geometry import inside_image
from oakpoint.loading import load_extractor
from oakpoint.models.naming import model_of
from oakpoint.predictor import MAX_CACHED_SIZES

MAX_KEYPOINTS = 4096
"""Highest-scoring keypoints of an image that are kept for the protocols to choose from, which bounds memory and cache.
No protocol uses more than 2048."""

_UNIT_TOLERANCE = 0.01
"""hloc stores float16, which leaves norms within 0.1 % of 1; more is another kind of descriptor."""

SIMULATOR = "myriad_simulator"
"""Takes seconds for an image, and its time says nothing of a camera: it is never run for the time alone."""

_DISTRIBUTIONS = {
    "openvino": "openvino",
    "onnxruntime": "onnxruntime",
    "torch": "torch",
    SIMULATOR: "numpy",
}


class Candidate(ABC):
    """One row of the comparison.

    Attributes:
        label: what the row is called.
        note: what a reader must know of how it runs.
    """

    label: str
    note: str

    @abstractmethod
    def features(self, name: str, prepared: Prepared) -> Timed:
        """Features of an image, at most ``MAX_KEYPOINTS``, in pixels of the prepared image.

        Args:
            name: of the image within its dataset.
            prepared: the image as the protocol wants it.

        Raises:
            ImageError: an image that cannot be used.
            FeaturesError: a features file that lacks it.
            BackendError: the model fails.
        """

    def close(self) -> None:  # noqa: B027 - most have nothing to free
        """Free what it holds."""


class _Extracting(Candidate):
    """One that extracts, unless the cache has it already.

    The time is that of the call alone, warm: the model is opened for the image's size before, and where that is a new
    one, the image is run ``warm_ups`` times that do not count.
    """

    def __init__(
        self,
        label: str,
        note: str,
        settings: Mapping[str, object] | None,
        cache: FeatureCache,
        *,
        warm_ups: int = WARM_UPS,
    ) -> None:
        """Put one together.

        Args:
            label: what the row is called.
            note: what a reader must know.
            settings: everything that decides on features and time but the image; None: nothing can be kept.
            cache: where features are kept.
            warm_ups: runs on the first image of each size that do not count.
        """
        self.label = label
        self.note = note
        self._settings = settings
        self._cache = cache
        self._warm_ups = warm_ups
        self._warm: OrderedDict[tuple[int, int], None] = OrderedDict()

    def features(self, name: str, prepared: Prepared) -> Timed:
        """See ``Candidate.features``."""
        del name
        if self._settings is None:
            return self._timed(prepared.image)
        key = key_of(prepared.image, self._settings)
        timed = self._cache.get(key)
        if timed is None:
            timed = self._timed(prepared.image)
            self._cache.put(key, timed)
        return timed

    def _timed(self, image: Image) -> Timed:
        self._warm_up(image)
        start = time.perf_counter()
        features = self._extract(image)
        milliseconds = 1e3 * (time.perf_counter() - start)
        return Timed(best(features, MAX_KEYPOINTS, fixed_ties=False), milliseconds, self._runtime())

    def _warm_up(self, image: Image) -> None:
        """Bring about that a run on this image takes no longer than the next one of its size."""
        self._prepare_for(image)
        size = (image.shape[1], image.shape[0])
        if size not in self._warm:
            for _ in range(self._warm_ups):
                self._extract(image)
        self._warm[size] = None
        self._warm.move_to_end(size)
        while len(self._warm) > MAX_CACHED_SIZES:  # a model of a size that was not used for long is closed
            self._warm.popitem(last=False)

    def _prepare_for(self, image: Image) -> None:
        """Load what images of this size need."""

    @abstractmethod
    def _extract(self, image: Image) -> Features:
        """All keypoints of a grey image."""

    @abstractmethod
    def _runtime(self) -> str:
        """What extracted."""


class ExtractorCandidate(_Extracting):
    """An extractor that is there already."""

    def __init__(
        self,
        label: str,
        extractor: Extractor,
        *,
        note: str = "",
        settings: Mapping[str, object] | None = None,
        cache: FeatureCache | None = None,
        warm_ups: int = WARM_UPS,
    ) -> None:
        """Take it over; it is closed with this.

        Args:
            label: see ``_Extracting``.
            extractor: what extracts.
            note: see ``_Extracting``.
            settings: see ``_Extracting``.
            cache: see ``_Extracting``; None: nothing is kept.
            warm_ups: see ``_Extracting``; 0 where nobody asks for times.
        """
        self._extractor = extractor
        super().__init__(label, note, settings, cache or FeatureCache(None), warm_ups=warm_ups)

    def _prepare_for(self, image: Image) -> None:
        self._extractor.open_for(image)

    def _extract(self, image: Image) -> Features:
        return self._extractor(image)

    def _runtime(self) -> str:
        return self._extractor.description()

    def close(self) -> None:
        """Free the models."""
        self._extractor.close()


@final
class NetworkCandidate(ExtractorCandidate):
    """A bundle, ONNX file, blob or network by name, on one runtime."""

    def __init__(self, specification: Specification, *, threads: int | None, cache: FeatureCache) -> None:
        """Load the model; see ``oakpoint.load``.

        A host model runs at the size of each protocol's image, whatever size its bundle was converted at; a blob has
        one size, and every image is scaled to it. A size in the specification overrides both.
        """
        extractor = _loaded(specification, threads)
        super().__init__(
            specification.label,
            extractor,
            note=_size_note(extractor, specification),
            settings=_network_settings(extractor, specification, threads),
            cache=cache,
            warm_ups=0 if specification.backend == SIMULATOR else WARM_UPS,
        )


@final
class SiftCandidate(_Extracting):
    """OpenCV's SIFT with its defaults, and RootSIFT descriptors.

    A point with several orientations is several keypoints. Source: Lowe 2004; Arandjelović and Zisserman 2012, section
    3, for RootSIFT: L1-normalise, then the square root of each element.
    """

    def __init__(self, label: str, cache: FeatureCache) -> None:
        self._detector = cv2.SIFT.create()
        super().__init__(label, "RootSIFT", {"detector": "sift", **_host(None)}, cache)

    def _extract(self, image: Image) -> Features:
        found, described = self._detector.detectAndCompute(image, None)
        described = np.zeros((0, 128), np.float32) if described is None else described
        return _features(found, np.sqrt(described / np.maximum(described.sum(axis=1, keepdims=True), 1e-12)), image)

    def _runtime(self) -> str:
        return f"opencv {cv2.__version__} CPU"


@final
class OrbCandidate(_Extracting):
    """OpenCV's ORB with its defaults but for the number of keypoints.

    Its 256 bits become ±1/16, a unit vector: the dot product of two is 1 − Hamming distance / 128, so that the nearest
    by either is the same. Source: Rublee et al. 2011.
    """

    def __init__(self, label: str, cache: FeatureCache) -> None:
        self._detector = cv2.ORB.create(nfeatures=MAX_KEYPOINTS)
        super().__init__(label, "", {"detector": "orb", "count": MAX_KEYPOINTS, **_host(None)}, cache)

    def _extract(self, image: Image) -> Features:
        found, described = self._detector.detectAndCompute(image, None)
        described = np.zeros((0, 32), np.uint8) if described is None else described
        bits = np.unpackbits(np.asarray(described, np.uint8), axis=1).astype(np.float32)
        return _features(found, (2 * bits - 1) / 16, image)

    def _runtime(self) -> str:
        return f"opencv {cv2.__version__} CPU"


@final
class FileCandidate(Candidate):
    """Features that another program wrote, in hloc's layout; images go by their names in the dataset.

    They are points of the original images and stay what they are: at P1 and P2 they are taken to the pixels of the
    prepared image, not extracted at its size.
    """

    def __init__(self, label: str, path: Path) -> None:
        """Open the file.

        Raises:
            FeaturesError: not a features file.
        """
        self.label = label
        self.note = "from a file, extracted at the original size"
        self._path = path
        self._names = frozenset(stored_names(path))

    def features(self, name: str, prepared: Prepared) -> Timed:
        """See ``Candidate.features``."""
        if name not in self._names:
            example = min(self._names, default="nothing")
            raise FeaturesError(f"{self._path}: no features of {name}; it holds {example} and the like")
        stored = read_features(self._path, name)
        original = prepared.original_size
        if stored.image_size != original:
            raise FeaturesError(
                f"{self._path}: {name}: expected features of an image of {original[0]}×{original[1]} px, got "
                f"{stored.image_size[0]}×{stored.image_size[1]}"
            )
        norms = np.linalg.norm(stored.descriptors, axis=1)
        if ((np.abs(norms - 1) > _UNIT_TOLERANCE) & (norms > 0)).any():
            raise FeaturesError(f"{self._path}: {name}: expected descriptors of unit length; normalise them first")
        keypoints = prepared.prepared_from_original(stored.keypoints)
        moved = Features(keypoints, stored.scores, stored.descriptors, prepared.size)
        kept = moved.subset(inside_image(keypoints, prepared.size))
        return Timed(best(kept, MAX_KEYPOINTS, fixed_ties=False), np.nan, "file")


def open_candidate(specification: Specification, *, threads: int | None, cache: FeatureCache) -> Candidate:
    """What a specification names, ready to extract.

    Raises:
        OakpointError: one of its kinds, from loading the model or the file.
    """
    if specification.kind == "file":
        return FileCandidate(specification.label, Path(specification.model))
    if specification.model == "sift":
        return SiftCandidate(specification.label, cache)
    if specification.model == "orb":
        return OrbCandidate(specification.label, cache)
    return NetworkCandidate(specification, threads=threads, cache=cache)


def _loaded(specification: Specification, threads: int | None) -> Extractor:
    fixed = specification.backend == SIMULATOR or Path(specification.model).suffix == ".blob"
    extractor = load_extractor(
        specification.model,
        weights=specification.weights,
        said=specification.said,
        size=specification.size or (None if fixed else "native"),
        max_side=specification.max_side,
        max_memory_gb=specification.max_memory_gb,
        backend=specification.backend,
        device=specification.device,
        precision=specification.precision,
        decoding=specification.decoding,
        threads=threads,
        threshold=specification.threshold,
        nms_radius_px=specification.nms_radius_px,
        subpixel=specification.subpixel,
    )
    most = min(extractor.decode.max_keypoints or MAX_KEYPOINTS, MAX_KEYPOINTS)
    extractor.decode = extractor.decode.with_changes(max_keypoints=most)
    return extractor


def _size_note(extractor: Extractor, specification: Specification) -> str:
    if extractor.native:
        return "" if extractor.max_side is None else f"images scaled down to {extractor.max_side} px a side"
    width, height = extractor.preprocess.size
    why = "" if specification.size else ", the blob's size"
    simulated = "; the time is the simulator's, not a camera's" if specification.backend == SIMULATOR else ""
    return f"every image scaled to {width}×{height}{why}{simulated}"


def _network_settings(
    extractor: Extractor, specification: Specification, threads: int | None
) -> dict[str, object] | None:
    """What decides on a network's features and time; None for a class of the user's own, whose code may change."""
    if model_of(specification.model).changes_with_its_code:
        return None
    decoding = {} if specification.decoding == "auto" else {"decoding": specification.decoding}  # times differ
    return {
        **extractor.identity(),
        **decoding,
        "version": version(_DISTRIBUTIONS[specification.backend]),
        **_host(threads),
    }


def _host(threads: int | None) -> dict[str, object]:
    """Times belong to a machine."""
    return {"oakpoint": __version__, "opencv": cv2.__version__, "host": platform.node(), "threads": threads}


def _features(found: object, descriptors: NDArray[np.floating], image: Image) -> Features:
    points: list[cv2.KeyPoint] = list(found)  # type: ignore[call-overload]
    keypoints = np.array([point.pt for point in points], np.float32).reshape(-1, 2)
    scores = np.array([point.response for point in points], np.float32)
    size = (image.shape[1], image.shape[0])
    return Features(keypoints, scores, np.ascontiguousarray(descriptors, np.float32), size)
