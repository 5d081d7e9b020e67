"""The stages of a conversion, each made and judged."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from oakpoint import __version__
from oakpoint.backends.registry import INPUT, OUTPUTS, ModelSource, RuntimeOptions, open_backend
from oakpoint.bundle.manifest import MANIFEST_FILE, REPORT_FILE, Manifest, manifest_json, report_json
from oakpoint.bundle.records import Artifact, ArtifactKind, StageReport, TensorSpec
from oakpoint.chain.descriptor_form import measured_descriptor_scale, measured_descriptor_values
from oakpoint.chain.listener import Listener
from oakpoint.chain.options import ConversionOptions, Target
from oakpoint.chain.origin import Origin
from oakpoint.chain.verification import StageVerifier
from oakpoint.convert.archive_from_blob import write_archive
from oakpoint.convert.blob_from_onnx import write_blob
from oakpoint.convert.blobs_by_shaves import compile_for_shaves
from oakpoint.convert.device_graph import DeviceInput, image_input
from oakpoint.convert.ir_from_onnx import write_ir
from oakpoint.convert.oak_json import write_oak_json
from oakpoint.convert.one_size import mark_one_size
from oakpoint.convert.onnx_from_torch import write_onnx
from oakpoint.convert.onnx_intake import host_tensors, take_onnx
from oakpoint.convert.rewrites.base import Rewrite
from oakpoint.convert.weights_in_onnx import facts_of
from oakpoint.errors import ConversionError, ImageError
from oakpoint.export import why_one_size
from oakpoint.extractor import dense_outputs
from oakpoint.files import sha256_of_file
from oakpoint.images.preprocess import Preprocess
from oakpoint.images.reading import no_image_in
from oakpoint.myriad.superblob import require_bsdiff4, superblob_from_blobs
from oakpoint.myriad.toolchain import ensure_toolchain, supported_platform
from oakpoint.networks.registry import LoadedNetwork
from oakpoint.tasks.keypoints.heads.registry import NEEDS_SCALE, NEEDS_VALUES, Heads, KeypointHeads
from oakpoint.verify.photographs import load_photographs
from oakpoint.verify.superblob import verify_shaves

ONNX_FILE, XML_FILE, BIN_FILE = "model.onnx", "model.xml", "model.bin"
BLOB_FILE, JSON_FILE, ARCHIVE_FILE = "model.blob", "model.json", "model.rvc2.tar.xz"
SUPERBLOB_FILE = "model.superblob"


@dataclass(slots=True)
class Making:
    """One conversion under way: what was made so far.

    Attributes:
        options: what was asked for.
        origin: where the chain starts.
        listener: told of each step.
        folder: where the files are written; set before the first stage.
        verifier: judges the stages; set by ``prepare``.
        stage: under way, or the last one that was.
        artifacts: made so far, in order.
        reports: verdicts so far, in order.
        not_made: artefact kind → why it is not there.
    """

    options: ConversionOptions
    origin: Origin
    listener: Listener
    folder: Path = field(init=False)
    verifier: StageVerifier = field(init=False)
    stage: Target | Literal["superblob"] = "onnx"
    host_outputs: tuple[TensorSpec, ...] = ()
    artifacts: list[Artifact] = field(default_factory=list)
    reports: list[StageReport] = field(default_factory=list)
    not_made: dict[str, str] = field(default_factory=dict)
    descriptor_scale: float | None = None
    descriptor_values: int | None = None

    @property
    def _preprocess(self) -> Preprocess:
        return self.origin.preprocess

    @property
    def _size(self) -> tuple[int, int]:
        return self._preprocess.size

    @property
    def _title(self) -> str:
        """The network's name as other programs show it."""
        return self.origin.name if self.origin.weights.trained else f"{self.origin.name} (random weights)"

    def prepare(self) -> None:
        """Get what later stages need, so that its absence shows before the work."""
        if self.options.superblob:
            require_bsdiff4()
        if self.origin.network is not None:
            self._check_interface(self.origin.network)
        images = load_photographs(self.options.images)
        if not images:
            raise ImageError(f"{no_image_in(self.options.images or Path())}, or leave out --images")
        self.verifier = StageVerifier(images, self._preprocess, self.origin.decode)
        if not self.options.reaches("blob"):
            return
        if supported_platform():
            self._step("compiler", lambda: str(ensure_toolchain().name))
        else:
            reason = "the Myriad compiler is not available on this platform: it is a Linux x86-64 program"
            self.not_made = dict.fromkeys(("blob", "oak_json", "archive"), reason)

    def _check_interface(self, network: LoadedNetwork) -> None:
        """Run the network once, on nothing: what it puts out shows before the export."""
        source = ModelSource(module=network.module)
        with open_backend(source, RuntimeOptions(backend="torch"), size=self._size) as backend:
            tensors = backend.run({INPUT: np.zeros((1, 1, self._size[1], self._size[0]), np.float32)})
        outputs = dense_outputs(tensors)
        if outputs.image_size != self._size:
            raise ConversionError(
                f"{network.name}: expected outputs at 1/8 of {self._size[0]}x{self._size[1]}, got a grid for "
                f"{outputs.image_size[0]}x{outputs.image_size[1]}"
            )

    def make_all(self) -> None:
        """Every stage that was asked for, in order; a stage whose verification fails does not end it.

        Raises:
            OakpointError: a stage cannot be made; ``stage`` names it.
        """
        self._make_onnx()
        if self.options.reaches("ir"):
            self._make_ir()
        if self.options.reaches("blob"):
            self._make_blob()
        if self.options.reaches("archive"):
            self._make_archive()
        if self.options.superblob:
            self._make_superblob()

    def _make_onnx(self) -> None:
        self.stage = "onnx"
        path = self.folder / ONNX_FILE
        self._step("onnx", lambda: self._write_onnx(path))
        if self.origin.network is not None:
            network = self.origin.network
            self._judge("verify onnx", lambda: self.verifier.onnx_of_torch(network, path))

    def _write_onnx(self, path: Path) -> str:
        network, model, note = self.origin.network, self.origin.model, ""
        if network is not None:
            command = "torch.onnx.export"
            tool = write_onnx(
                network.module,
                path,
                size=self._size,
                input_name=INPUT,
                output_names=OUTPUTS,
                description=f"{self._title}: {network.weights.description()}",
                facts=facts_of(network.weights),
            )
            if reason := why_one_size(network, path, size=self._size):
                mark_one_size(path, reason)
                note = f", for {self._size[0]}x{self._size[1]} alone: {reason}"
        else:
            assert model is not None
            command, tool = "take_onnx", "oakpoint"
            take_onnx(model, path, size=self._size, input_name=INPUT, output_names=OUTPUTS)
        inputs, self.host_outputs = host_tensors(path)
        parents = (self.origin.parent,) if self.origin.parent else ()
        self._add("onnx", (ONNX_FILE,), inputs, self.host_outputs, self._preprocess, parents, tool, command)
        return tool + note

    def _make_ir(self) -> None:
        self.stage = "ir"
        path = self.folder / XML_FILE
        self._step("ir", lambda: self._write_ir(path))
        source = ModelSource(onnx=self.folder / ONNX_FILE, ir=path)
        self._judge("verify ir", lambda: self.verifier.ir_of_onnx(source))

    def _write_ir(self, path: Path) -> str:
        fixed = self.artifacts[0].inputs[0].shape[0]
        if fixed not in ("N", self.options.batch):
            raise ConversionError(
                f"the network's export has its batch fixed to {fixed}, as torch could not leave it open, and "
                f"{self.options.batch} was asked for; give --batch {fixed}"
            )
        shape = (self.options.batch, 1, self._size[1], self._size[0])
        tool = write_ir(self.folder / ONNX_FILE, path, input_shape=shape)
        spec = TensorSpec(INPUT, "float32", shape)
        outputs = tuple(replace(o, shape=(self.options.batch, *o.shape[1:])) for o in self.host_outputs)
        command = "save_model(compress_to_fp16=True)"
        self._add("ir", (XML_FILE, BIN_FILE), (spec,), outputs, self._preprocess, self._hashes("onnx"), tool, command)
        return tool

    def _make_blob(self) -> None:
        self.stage = "blob"
        if "blob" in self.not_made:
            self.listener.finished("blob", 0.0, f"not made: {self.not_made['blob']}", None)
            return
        if self.options.heads in NEEDS_SCALE:
            self._step("norms", self._measure_norms)
        if self.options.heads in NEEDS_VALUES:
            self._step("values", self._measure_values)
        self._step("blob", self._write_blob)
        source = ModelSource(onnx=self.folder / ONNX_FILE, blob=self.folder / BLOB_FILE)
        self._judge("verify blob", lambda: self.verifier.blob_of_onnx(source, self._heads()))

    def _measure_values(self) -> str:
        images = self.verifier.images
        self.descriptor_values, whole = measured_descriptor_values(self.folder / ONNX_FILE, images, self._preprocess)
        return f"{self.descriptor_values} of {whole} values of a descriptor are enough for every cell of the images"

    def _measure_norms(self) -> str:
        images = self.verifier.images
        scale, largest = measured_descriptor_scale(self.folder / ONNX_FILE, images, self._preprocess)
        self.descriptor_scale = scale
        return f"largest descriptor norm {largest:.4g}, scaled by {scale:g} on the device"

    def _device_form(self) -> tuple[list[DeviceInput], list[Rewrite]]:
        """Inputs and heads of the device graph."""
        return [image_input(INPUT, self._preprocess)], [KeypointHeads(self._heads(), self._size)]

    def _write_blob(self) -> str:
        shaves = self.options.shaves
        compiled = write_blob(self.folder / ONNX_FILE, self.folder / BLOB_FILE, *self._device_form(), shaves=shaves)
        tool, inputs, outputs = compiled.tool, compiled.inputs, compiled.outputs
        baked = replace(self._preprocess, baked=True)
        command = f"myriad_compile -ip U8 -VPU_NUMBER_OF_SHAVES {shaves} -VPU_NUMBER_OF_CMX_SLICES {shaves}"
        self._add("blob", (BLOB_FILE,), inputs, outputs, baked, self._hashes("onnx"), tool, command)
        json_tool = write_oak_json(self.folder / JSON_FILE, outputs)
        self._add("oak_json", (JSON_FILE,), inputs, outputs, baked, self._hashes("blob"), json_tool, "write_oak_json")
        return tool

    def _heads(self) -> Heads:
        return Heads(self.options.heads, self.descriptor_scale, self.descriptor_values)

    def _make_superblob(self) -> None:
        self.stage = "superblob"
        if "blob" in self.not_made:
            return
        blobs: dict[int, bytes] = {}
        self._step("superblob", lambda: self._write_superblob(blobs))
        image, baked = next(iter(self.verifier.images.values())), replace(self._preprocess, baked=True)
        self._judge("verify shaves", lambda: verify_shaves(blobs, image, baked))

    def _write_superblob(self, blobs: dict[int, bytes]) -> str:
        """Compile for every number of shaves into ``blobs``, and join them."""
        compiled = compile_for_shaves(
            self.folder / ONNX_FILE,
            *self._device_form(),
            compiled=lambda shaves: self.listener.started(f"superblob: {shaves} shaves done"),
        )
        blobs.update(compiled)
        (self.folder / SUPERBLOB_FILE).write_bytes(superblob_from_blobs(blobs))
        blob = next(artifact for artifact in self.artifacts if artifact.kind == "blob")
        self._add(
            "superblob",
            (SUPERBLOB_FILE,),
            blob.inputs,
            blob.outputs,
            blob.preprocess,
            self._hashes("onnx"),
            blob.tool,
            "myriad_compile for 1 to 16 shaves, bsdiff4",
        )
        return blob.tool

    def _make_archive(self) -> None:
        self.stage = "archive"
        if "archive" not in self.not_made:
            self._step("archive", self._write_archive)

    def _write_archive(self) -> str:
        blob = next(artifact for artifact in self.artifacts if artifact.kind == "blob")
        tool = write_archive(
            self.folder / BLOB_FILE,
            self.folder / ARCHIVE_FILE,
            name=self._title,
            inputs=blob.inputs,
            outputs=blob.outputs,
            decode=self.origin.decode,
            heads=self.options.heads,
        )
        self._add(
            "archive",
            (ARCHIVE_FILE,),
            blob.inputs,
            blob.outputs,
            blob.preprocess,
            self._hashes("blob"),
            tool,
            "tar, xz",
        )
        return tool

    def leave_out(self, why: Mapping[str, str]) -> None:
        """Take artefacts away again, and whatever an unfinished stage left in the folder.

        Args:
            why: kind → reason, for the manifest.
        """
        self.artifacts = [artifact for artifact in self.artifacts if artifact.kind not in why]
        self.not_made = {**why, **self.not_made}
        kept = {name for artifact in self.artifacts for name in artifact.files}
        for path in self.folder.iterdir():
            if path.name not in kept:
                path.unlink()

    def write_manifest(self, failure: str | None = None) -> Manifest:
        """Write the report, and the manifest of what is there."""
        (self.folder / REPORT_FILE).write_text(report_json(tuple(self.reports)))
        has_blob = any(artifact.kind == "blob" for artifact in self.artifacts)
        manifest = Manifest(
            oakpoint_version=__version__,
            network=self.origin.name,
            weights=self.origin.weights,
            preprocess=self._preprocess,
            decode=self.origin.decode,
            descriptor_dim=_descriptor_dim(self.host_outputs),
            heads=self.options.heads,
            descriptor_scale=self.descriptor_scale,
            descriptor_values=self.descriptor_values,
            shaves=self.options.shaves if has_blob else None,
            artifacts=tuple(self.artifacts),
            verdicts={report.stage: report.verdict for report in self.reports},
            not_made=self.not_made,
            failure=failure,
            files={REPORT_FILE: sha256_of_file(self.folder / REPORT_FILE)},
        )
        (self.folder / MANIFEST_FILE).write_text(manifest_json(manifest))
        return manifest

    def _hashes(self, kind: ArtifactKind) -> tuple[str, ...]:
        return tuple(sha for artifact in self.artifacts if artifact.kind == kind for sha in artifact.files.values())

    def _add(
        self,
        kind: ArtifactKind,
        names: tuple[str, ...],
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        preprocess: Preprocess,
        parents: tuple[str, ...],
        tool: str,
        command: str,
    ) -> None:
        files = {name: sha256_of_file(self.folder / name) for name in names}
        self.artifacts.append(
            Artifact(
                kind=kind,
                files=files,
                inputs=inputs,
                outputs=outputs,
                preprocess=preprocess,
                parents=parents,
                tool=tool,
                command=command,
            )
        )

    def _step(self, name: str, work: Callable[[], str]) -> None:
        self.listener.started(name)
        start = time.perf_counter()
        note = work()
        self.listener.finished(name, time.perf_counter() - start, note, None)

    def _judge(self, name: str, work: Callable[[], StageReport]) -> None:
        self.listener.started(name)
        start = time.perf_counter()
        report = work()
        report = replace(report, summary=report.summary.replace(f"{self.folder}/", ""))  # a temporary one
        self.reports.append(report)
        self.listener.finished(name, time.perf_counter() - start, report.summary, report)


def _descriptor_dim(outputs: tuple[TensorSpec, ...]) -> int:
    return int(next(spec.shape[1] for spec in outputs if spec.name == OUTPUTS[1]))
