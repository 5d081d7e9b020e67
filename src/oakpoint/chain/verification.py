"""The comparisons of the chain, stage by stage; and all of them again for a bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from oakpoint.backends.base import Backend
from oakpoint.backends.registry import INPUT, OUTPUTS, ModelSource, RuntimeOptions, open_backend
from oakpoint.bundle.folder import Bundle
from oakpoint.bundle.records import HeadsName, StageReport, Verdict
from oakpoint.convert.device_graph import device_graph, image_input
from oakpoint.convert.ir_from_onnx import ir_input_shape
from oakpoint.convert.onnx_intake import fixed_batch_of_file
from oakpoint.errors import BlobError, ConversionError, MissingExtraError, UsageError
from oakpoint.features.sampling import unit_norm
from oakpoint.features.types import DecodeOptions, Outputs
from oakpoint.images.preprocess import Preprocess
from oakpoint.myriad.blob import read_blob
from oakpoint.myriad.superblob import blobs_from_superblob
from oakpoint.networks.registry import LoadedNetwork, batch_norms_of, reload_network
from oakpoint.tasks.keypoints.heads.descriptor_basis import descriptor_basis
from oakpoint.tasks.keypoints.heads.registry import Heads, KeypointHeads
from oakpoint.threads import one_blas_thread
from oakpoint.verify.blob_constants import ConstantsReport, compare_blob_constants
from oakpoint.verify.constants import compare_ir_constants, share_equal_by_name
from oakpoint.verify.stages import Images, verify_stage
from oakpoint.verify.superblob import verify_shaves
from oakpoint.verify.tolerances import BLOB_CLAIM, BLOB_STAGE, IR_STAGE, ONNX_STAGE

UNIT_DESCRIPTORS: tuple[HeadsName, ...] = ("normalised", "packed")
"""Heads whose descriptors have unit norm, where the network's own may have any."""


@dataclass(frozen=True, slots=True)
class StageVerifier:
    """Judges stages on the same images, with the same preprocessing and decoding."""

    images: Images
    preprocess: Preprocess
    decode: DecodeOptions

    def onnx_of_torch(self, network: LoadedNetwork, onnx: Path) -> StageReport:
        """Compare the ONNX, in ONNX Runtime, with the torch network that it was exported from."""
        source = ModelSource(module=network.module, onnx=onnx)
        tensors = {name: tensor.detach().numpy() for name, tensor in network.module.state_dict().items()}
        norms = batch_norms_of(network)
        return verify_stage(
            ONNX_STAGE,
            lambda: self._open(source, "torch"),
            lambda: self._open(source, "onnxruntime"),
            images=self.images,
            preprocess=self.preprocess,
            decode=self.decode,
            further={"weights bit for bit": lambda: share_equal_by_name(tensors, onnx, norms)},
        )

    def ir_of_onnx(self, source: ModelSource) -> StageReport:
        """Compare the IR, in OpenVINO on the CPU at f32 and its own batch, with the ONNX that it was converted from."""
        onnx, ir = source.onnx, source.ir
        assert onnx is not None
        assert ir is not None
        constants = cache(lambda: compare_ir_constants(onnx, ir))
        return verify_stage(
            IR_STAGE,
            lambda: self._open(source, "onnxruntime", _batch_of_onnx(onnx)),
            lambda: self._open(source, "openvino", _batch_of_ir(ir)),
            images=self.images,
            preprocess=self.preprocess,
            decode=self.decode,
            further={
                "weights rounded to FP16": lambda: constants().share_equal,
                "share of the weights compared": lambda: constants().share_compared,
            },
        )

    def blob_of_onnx(self, source: ModelSource, heads: Heads) -> StageReport:
        """Compare the blob, executed by the simulator, with the ONNX that it was compiled from.

        Args:
            source: the ONNX and the blob.
            heads: what the blob puts out: where descriptors are normalised on the device, the reference's are too, and
                where they were reduced, they are taken back to the reference's values.
        """
        onnx, blob = source.onnx, source.blob
        assert onnx is not None
        assert blob is not None
        constants = cache(lambda: self._constants_of_blob(onnx, blob, heads))
        return verify_stage(
            BLOB_STAGE,
            lambda: self._open(source, "onnxruntime"),
            lambda: self._open(source, "myriad_simulator"),
            images=self.images,
            preprocess=self.preprocess,
            candidate_preprocess=replace(self.preprocess, baked=True),
            decode=self.decode,
            further={
                "constants as in the device graph": lambda: constants().share_equal,
                "share of the constants compared": lambda: constants().share_compared,
            },
            claim=BLOB_CLAIM,
            of_reference=_at_unit_norm if heads.name in UNIT_DESCRIPTORS else _as_it_is,
            of_candidate=_lifting(onnx) if heads.name == "reduced" else _as_it_is,
        )

    def _constants_of_blob(self, onnx: Path, blob: Path, heads: Heads) -> ConstantsReport:
        """The blob's constants against the device graph's, made again; empty where one of the two cannot be had."""
        try:
            appended = KeypointHeads(heads, self.preprocess.size)
            graph = device_graph(onnx, [image_input(INPUT, self.preprocess)], [appended])
            return compare_blob_constants(read_blob(blob), graph.model)
        except (BlobError, ConversionError):  # opening the candidate says what is wrong with it
            return ConstantsReport()

    def _open(self, source: ModelSource, backend: str, batch: int = 1) -> Backend:
        return open_backend(source, RuntimeOptions(backend=backend), size=self.preprocess.size, batch=batch)


def _batch_of_onnx(path: Path) -> int:
    """The batch to which an ONNX file is fixed; 1 where it is open, or cannot be read, which opening it says."""
    try:
        return fixed_batch_of_file(path) or 1
    except ConversionError:
        return 1


def _batch_of_ir(xml: Path) -> int:
    """The batch for which an IR was made; 1 where that cannot be read, which opening it says."""
    try:
        return ir_input_shape(xml)[0]
    except ConversionError:
        return 1


def _as_it_is(outputs: Outputs) -> Outputs:
    return outputs


def _at_unit_norm(outputs: Outputs) -> Outputs:
    return replace(outputs, descriptors=unit_norm(outputs.descriptors))


def _lifting(onnx: Path) -> Callable[[Outputs], Outputs]:
    """Takes reduced descriptors back to the network's own values."""
    basis = descriptor_basis(onnx, OUTPUTS[1]).astype(np.float32)

    @one_blas_thread()
    def lifted(outputs: Outputs) -> Outputs:
        directions = basis[:, : len(outputs.descriptors)]
        return replace(outputs, descriptors=np.tensordot(directions, outputs.descriptors, axes=1))

    return lifted


def verify_bundle(bundle: Bundle, images: Images, weights: Path | None) -> tuple[StageReport, ...]:
    """Judge every stage of a bundle again.

    The torch stage needs the weights file that the bundle was made from; without it that stage is NOTHING_COMPARED, and
    its summary says so.

    Args:
        bundle: an opened bundle, whose hashes were checked.
        images: real images by name.
        weights: the weights file.

    Raises:
        WeightsError: ``weights`` is another file than the bundle's.
        BackendError: a reference cannot be run.
    """
    manifest = bundle.manifest
    verifier = StageVerifier(images, manifest.preprocess, manifest.decode)
    reports = []
    if ONNX_STAGE in manifest.verdicts:
        reports.append(_torch_stage(bundle, verifier, weights))
    if manifest.has("ir"):
        reports.append(verifier.ir_of_onnx(ModelSource(onnx=bundle.path("onnx"), ir=bundle.path("ir"))))
    if manifest.has("blob"):
        source = ModelSource(onnx=bundle.path("onnx"), blob=bundle.path("blob"))
        reports.append(verifier.blob_of_onnx(source, Heads.of(manifest)))
    if manifest.has("superblob"):
        blobs = blobs_from_superblob(bundle.path("superblob").read_bytes())
        reports.append(verify_shaves(blobs, next(iter(images.values())), replace(manifest.preprocess, baked=True)))
    return tuple(reports)


def _torch_stage(bundle: Bundle, verifier: StageVerifier, weights: Path | None) -> StageReport:
    record = bundle.manifest.weights
    if weights is None and record.seed is None:
        summary = f"not compared: give the weights file with --weights ({record.file}, sha256 {record.sha256})"
        return StageReport(stage=ONNX_STAGE, verdict=Verdict.NOTHING_COMPARED, summary=summary)
    try:
        network = reload_network(bundle.manifest.network, record, weights)
    except (MissingExtraError, UsageError) as error:
        return StageReport(stage=ONNX_STAGE, verdict=Verdict.NOTHING_COMPARED, summary=f"not compared: {error}")
    return verifier.onnx_of_torch(network, bundle.path("onnx"))
