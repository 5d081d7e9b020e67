"""The comparisons of the chain, stage by stage; and all of them again for a bundle."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import save

from oakpoint.backends.base import Backend, Tensors
from oakpoint.backends.beside import BesideBackend
from oakpoint.backends.chained import HostTail
from oakpoint.backends.registry import INT8, ModelSource, RuntimeOptions, open_backend
from oakpoint.bundle.folder import Bundle
from oakpoint.bundle.interface import Interface
from oakpoint.bundle.records import DeviceRecord, Int8Record, StageReport, Verdict
from oakpoint.chain.evidence import Evidence, StageWitness
from oakpoint.chain.int8_homography import HomographyLoss, homography_limit
from oakpoint.chain.int8_images import at_size, in_orientations, not_calibrating
from oakpoint.convert.archive_from_onnx import MODEL_NAME, read_onnx_archive
from oakpoint.convert.device_graph import DeviceGraph, DeviceSource, in_float32
from oakpoint.convert.ir_from_onnx import ir_input_shapes
from oakpoint.convert.onnx_intake import fixed_batch_of_file, host_tensors
from oakpoint.errors import BlobError, ConversionError, MissingExtraError, UsageError
from oakpoint.models.bundle_folder import device_source_of, tail_of_bundle
from oakpoint.myriad.blob import read_blob
from oakpoint.myriad.superblob import blobs_from_superblob
from oakpoint.networks.registry import LoadedNetwork, batch_norms_of, needs_weights_file, reload_network
from oakpoint.tasks.base import AS_THEY_ARE, Task
from oakpoint.tasks.keypoints.fused.agreement import FoundAgreement
from oakpoint.tasks.keypoints.fused.model import fused_interface
from oakpoint.tasks.keypoints.fused.running import features_found
from oakpoint.tasks.keypoints.task import Keypoints
from oakpoint.tasks.quantised import QuantisedComparison
from oakpoint.tasks.registry import task_of_bundle
from oakpoint.tasks.tensors.task import RawTensors
from oakpoint.verify.blob_constants import ConstantsReport, compare_blob_constants
from oakpoint.verify.constants import compare_ir_constants, share_equal_by_name
from oakpoint.verify.stages import Images, verify_stage
from oakpoint.verify.superblob import verify_shaves
from oakpoint.verify.tolerances import (
    BLOB_CLAIM,
    BLOB_STAGE,
    DEVICE_STAGE,
    FUSED_CLAIM,
    FUSED_STAGE,
    INT8_CLAIM,
    INT8_STAGE,
    IR_STAGE,
    ONNX_ARCHIVE_CLAIM,
    ONNX_ARCHIVE_STAGE,
    ONNX_STAGE,
)

MOST_JUDGED = 16
"""Images on which INT8 is judged, see ``int8_images.in_orientations``."""

TorchOutputs = Sequence[str] | Mapping[str, str] | None
"""See ``networks.outputs.chosen_outputs``."""


@dataclass(frozen=True, slots=True)
class StageVerifier:
    """Judges stages on the same images, by the same interface and task.

    Attributes:
        images: real images by name.
        interface: of the host's models.
        task: what their outputs mean.
        evidence: where what is to be looked at is kept; None for nothing.
    """

    images: Images
    interface: Interface
    task: Task[Any]
    evidence: Evidence | None = None

    def onnx_of_torch(self, network: LoadedNetwork, onnx: Path, outputs: TorchOutputs = None) -> StageReport:
        """Compare the ONNX, in ONNX Runtime, with the torch network that it was exported from.

        Args:
            network: the network.
            onnx: its export.
            outputs: which of its outputs those of the ONNX are; None for those of their names, or in their order.
        """
        outputs = outputs or tuple(spec.name for spec in self.interface.outputs)
        source = ModelSource(module=network.module, outputs=outputs, onnx=onnx)
        tensors = {name: tensor.detach().numpy() for name, tensor in network.module.state_dict().items()}
        norms = batch_norms_of(network)
        return verify_stage(
            ONNX_STAGE,
            lambda: self._open(source, "torch"),
            lambda: self._open(source, "onnxruntime"),
            self.task.comparison(ONNX_STAGE),
            images=self.images,
            feed=self.interface.feed_apart,
            witness=self._witness(ONNX_STAGE),
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
            self.task.comparison(IR_STAGE),
            images=self.images,
            feed=self.interface.feed_apart,
            witness=self._witness(IR_STAGE),
            further={
                "weights rounded to FP16": lambda: constants().share_equal,
                "share of the weights compared": lambda: constants().share_compared,
            },
        )

    def fused_of_onnx(self, onnx: Path, fused: Path) -> StageReport:
        """Compare what a decoding graph finds with what the ONNX and decoding in NumPy find, both in ONNX Runtime.

        Args:
            onnx: the host's model, of a network with keypoints.
            fused: the graph.
        """
        task, size, witness = self.task, self.interface.size, self._witness(FUSED_STAGE)
        assert isinstance(task, Keypoints)
        assert size is not None
        taken = fused_interface(self.interface.at(size))
        if witness is not None:
            witness = replace(witness, read_candidate=lambda tensors: features_found(tensors, size))
        return verify_stage(
            FUSED_STAGE,
            lambda: self._open(ModelSource(onnx=onnx), "onnxruntime"),
            lambda: open_backend(ModelSource(onnx=fused), RuntimeOptions(backend="onnxruntime"), taken.tensors),
            FoundAgreement(task, size),
            images=self.images,
            feed=self.interface.feed_apart,
            witness=witness,
            candidate_feed=taken.feed_apart,
            claim=FUSED_CLAIM,
        )

    def int8_of_onnx(self, source: ModelSource, record: Int8Record) -> StageReport:
        """Compare the INT8 IR, in OpenVINO on the CPU, with the ONNX by what its task loses.

        Args:
            source: the ONNX, and the INT8 IR.
            record: how it came about; images that calibrated it judge nothing.
        """
        onnx, ir, size = source.onnx, source.ir, self.interface.size
        assert onnx is not None
        assert ir is not None
        assert size is not None
        images = not_calibrating(self.images, record.calibration)
        if not images:
            summary = "every image here calibrated it, so that none can judge it; give others with --images"
            return StageReport(stage=INT8_STAGE, verdict=Verdict.NOTHING_COMPARED, summary=summary)

        def open_float() -> Backend:
            return self._open(source, "onnxruntime", _batch_of_onnx(onnx))

        def open_int8() -> Backend:
            return self._open(source, "openvino", _batch_of_ir(ir), precision=INT8)

        further: dict[str, Callable[[], float]] = {}
        if isinstance(self.task, Keypoints):
            further = HomographyLoss(self.task, self.interface, images, open_float, open_int8).figures()
        return verify_stage(
            INT8_STAGE,
            open_float,
            open_int8,
            QuantisedComparison(self.task, record.bound, *homography_limit(self.task, record.bound)),
            images=in_orientations({name: at_size(image, size) for name, image in images.items()}, MOST_JUDGED),
            feed=self.interface.feed_apart,
            witness=self._witness(INT8_STAGE),
            further=further,
            claim=INT8_CLAIM,
        )

    def device_graph_of_onnx(
        self,
        onnx: Path,
        graph: DeviceGraph,
        device: DeviceRecord,
        *,
        tail: HostTail | None = None,
        made_from: DeviceSource | None = None,
    ) -> StageReport:
        """Compare the device graph, in ONNX Runtime at float32, with the ONNX that it was rewritten from.

        Args:
            onnx: the host's model.
            graph: the device graph.
            device: its heads.
            tail: what the host does behind it, where the graph is a part of the network alone.
            made_from: that part.
        """
        reference, tail = self._with_what_decides(ModelSource(onnx=onnx), tail, made_from)
        with tempfile.TemporaryDirectory(prefix="oakpoint-device-") as scratch:
            path = Path(scratch) / "device.onnx"
            save(in_float32(graph), path)
            report = verify_stage(
                DEVICE_STAGE,
                reference,
                lambda: self._open(ModelSource(onnx=path, tail=tail), "onnxruntime", on_device=True),
                self.task.comparison(DEVICE_STAGE, device=device, onnx=onnx),
                images=self.images,
                feed=self.interface.feed_apart,
                witness=self._witness(DEVICE_STAGE),
                candidate_feed=lambda image: _as_float32(self._baked(image)),
            )
            return replace(report, summary=report.summary.replace(str(path), "the device graph"))

    def archive_of_onnx(self, onnx: Path, archive: Path, device: DeviceRecord) -> StageReport:
        """Compare the ONNX in an archive, fed as the archive's config says, with the ONNX that was packed.

        Args:
            onnx: the host's model.
            archive: with that model, or that model with heads.
            device: its heads; what they leave of the network is compared as after the rewrites for a device.
        """
        limits = ONNX_ARCHIVE_STAGE if device.heads == AS_THEY_ARE else DEVICE_STAGE
        with tempfile.TemporaryDirectory(prefix="oakpoint-archive-") as scratch:
            path = Path(scratch) / MODEL_NAME
            try:
                model, interface = read_onnx_archive(archive, self.interface)
            except ConversionError as error:
                return StageReport(stage=ONNX_ARCHIVE_STAGE, verdict=Verdict.FAIL, summary=str(error))
            path.write_bytes(model)
            report = verify_stage(
                ONNX_ARCHIVE_STAGE,
                lambda: self._open(ModelSource(onnx=onnx), "onnxruntime"),
                lambda: self._open(ModelSource(onnx=path), "onnxruntime"),
                self.task.comparison(limits, device=device, onnx=onnx),
                images=self.images,
                feed=self.interface.feed_apart,
                witness=self._witness(ONNX_ARCHIVE_STAGE),
                candidate_feed=interface.feed_apart,
                claim=ONNX_ARCHIVE_CLAIM,
            )
            return replace(report, summary=report.summary.replace(str(path), f"{MODEL_NAME} in {archive.name}"))

    def blob_of_onnx(
        self, source: ModelSource, device: DeviceRecord, made_from: DeviceSource | None = None
    ) -> StageReport:
        """Compare the blob, executed by the simulator, with the ONNX that it was compiled from.

        Args:
            source: the ONNX and the blob, with the host's tail where the blob is a part of the network alone.
            device: what the blob puts out.
            made_from: what the blob was compiled from; None for the ONNX with the task's heads.
        """
        onnx, blob = source.onnx, source.blob
        assert onnx is not None
        assert blob is not None
        compiled_from = made_from or self._device_source(onnx, device)
        reference, tail = self._with_what_decides(ModelSource(onnx=onnx), source.tail, made_from)
        source = replace(source, tail=tail)
        constants = cache(lambda: _constants_of_blob(blob, compiled_from))
        return verify_stage(
            BLOB_STAGE,
            reference,
            lambda: self._open(source, "myriad_simulator", on_device=True),
            self.task.comparison(BLOB_STAGE, device=device, onnx=onnx),
            images=self.images,
            feed=self.interface.feed_apart,
            witness=self._witness(BLOB_STAGE),
            candidate_feed=self._baked,
            further={
                "constants as in the device graph": lambda: constants().share_equal,
                "share of the constants compared": lambda: constants().share_compared,
            },
            claim=BLOB_CLAIM,
        )

    def _witness(self, stage: str) -> StageWitness | None:
        if self.evidence is None:
            return None
        return StageWitness(stage, self.evidence, self.interface, self.task)

    def _with_what_decides(
        self, whole: ModelSource, tail: HostTail | None, made_from: DeviceSource | None
    ) -> tuple[Callable[[], Backend], HostTail | None]:
        """The reference and the tail of a comparison: with the tensors that cross where the host selects from them.

        Which rows are chosen hangs on rounding; what crosses before they are tells a fault from that.
        """
        part = None if tail is None else made_from
        if part is None or tail is None or not (isinstance(self.task, RawTensors) and self.task.selected):
            return lambda: self._open(whole, "onnxruntime"), tail
        crossing = [spec.name for spec in host_tensors(tail.path)[0] if spec.name not in tail.outputs]
        beside = ModelSource(onnx=part.path)
        return (
            lambda: BesideBackend(self._open(whole, "onnxruntime"), self._open(beside, "onnxruntime")),
            replace(tail, outputs=(*tail.outputs, *crossing)),
        )

    def _device_source(self, onnx: Path, device: DeviceRecord) -> DeviceSource:
        heads = self.task.device_rewrites(device, self.interface)
        return DeviceSource(path=onnx, interface=self.interface, heads=heads)

    def _baked(self, image: NDArray[np.uint8]) -> Tensors:
        return self.interface.on_device().feed_apart(image)

    def _open(
        self, source: ModelSource, backend: str, batch: int = 1, *, on_device: bool = False, precision: str = "f32"
    ) -> Backend:
        interface = self.interface.at(self.interface.size, batch=batch)
        inputs = (interface.on_device() if on_device else interface).tensors
        return open_backend(source, RuntimeOptions(backend=backend, precision=precision), inputs)


def _constants_of_blob(blob: Path, source: DeviceSource) -> ConstantsReport:
    """The blob's constants against the device graph's, made again; empty where one of the two cannot be had."""
    try:
        return compare_blob_constants(read_blob(blob), source.graph().model)
    except (BlobError, ConversionError):  # opening the candidate says what is wrong with it
        return ConstantsReport()


def _as_float32(tensors: Tensors) -> Tensors:
    """Grey levels and colours as a device graph takes them in float32."""
    return {name: array.astype(np.float32) for name, array in tensors.items()}


def _batch_of_onnx(path: Path) -> int:
    """The batch to which an ONNX file is fixed; 1 where it is open, or cannot be read, which opening it says."""
    try:
        return fixed_batch_of_file(path) or 1
    except ConversionError:
        return 1


def _batch_of_ir(xml: Path) -> int:
    """The batch for which an IR was made; 1 where that cannot be read, which opening it says."""
    try:
        return ir_input_shapes(xml)[0][0]
    except ConversionError:
        return 1


def verify_bundle(
    bundle: Bundle, images: Images, weights: Path | None, evidence: Evidence | None = None
) -> tuple[StageReport, ...]:
    """Judge every stage of a bundle again.

    The torch stage needs the weights file that the bundle was made from; without it that stage is NOTHING_COMPARED, and
    its summary says so.

    Args:
        bundle: an opened bundle, whose hashes were checked.
        images: real images by name.
        weights: the weights file.
        evidence: where what is to be looked at is kept; None for nothing.

    Raises:
        WeightsError: ``weights`` is another file than the bundle's.
        BackendError: a reference cannot be run.
    """
    manifest = bundle.manifest
    verifier = StageVerifier(images, manifest.interface, task_of_bundle(bundle), evidence)
    reports = []
    if ONNX_STAGE in manifest.verdicts:
        reports.append(_torch_stage(bundle, verifier, weights))
    if manifest.has("ir"):
        reports.append(verifier.ir_of_onnx(ModelSource(onnx=bundle.path("onnx"), ir=bundle.path("ir"))))
    if manifest.has("fused"):
        reports.append(verifier.fused_of_onnx(bundle.path("onnx"), bundle.path("fused")))
    if manifest.has("ir_int8") and manifest.int8 is not None:
        int8 = ModelSource(onnx=bundle.path("onnx"), ir=bundle.path("ir_int8"))
        reports.append(verifier.int8_of_onnx(int8, manifest.int8))
    if manifest.has("onnx_archive"):
        archive = bundle.path("onnx_archive")
        reports.append(verifier.archive_of_onnx(bundle.path("onnx"), archive, manifest.device))
    if manifest.has("blob"):
        reports.append(_device_stage(bundle, verifier))
        source = ModelSource(onnx=bundle.path("onnx"), blob=bundle.path("blob"), tail=tail_of_bundle(bundle))
        reports.append(verifier.blob_of_onnx(source, manifest.device, device_source_of(bundle)))
    if manifest.has("superblob"):
        blobs = blobs_from_superblob(bundle.path("superblob").read_bytes())
        feed = manifest.artifact("superblob").interface.feed(next(iter(images.values())))
        reports.append(verify_shaves(blobs, feed, verifier.task.values))
    return tuple(reports)


def _device_stage(bundle: Bundle, verifier: StageVerifier) -> StageReport:
    """The device graph is not kept: it is made again, as this version of the program makes it."""
    manifest = bundle.manifest
    try:
        graph = device_source_of(bundle).graph()
    except ConversionError as error:
        return StageReport(stage=DEVICE_STAGE, verdict=Verdict.FAIL, summary=str(error))
    tail, made_from = tail_of_bundle(bundle), device_source_of(bundle)
    return verifier.device_graph_of_onnx(bundle.path("onnx"), graph, manifest.device, tail=tail, made_from=made_from)


def _torch_stage(bundle: Bundle, verifier: StageVerifier, weights: Path | None) -> StageReport:
    record = bundle.manifest.weights
    if weights is None and needs_weights_file(bundle.manifest.network, record):
        summary = f"not compared: give the weights file with --weights ({record.file}, sha256 {record.sha256})"
        return StageReport(stage=ONNX_STAGE, verdict=Verdict.NOTHING_COMPARED, summary=summary)
    try:
        network = reload_network(bundle.manifest.network, record, weights, arguments=bundle.manifest.arguments)
    except (MissingExtraError, UsageError) as error:
        return StageReport(stage=ONNX_STAGE, verdict=Verdict.NOTHING_COMPARED, summary=f"not compared: {error}")
    return verifier.onnx_of_torch(network, bundle.path("onnx"), bundle.manifest.torch_outputs)
