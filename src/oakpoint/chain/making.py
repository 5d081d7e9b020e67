"""A conversion under way: what was asked for, what was made and what was said of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from oakpoint import __version__
from oakpoint.backends.chained import HostTail
from oakpoint.bundle.folder import Bundle
from oakpoint.bundle.interface import Interface
from oakpoint.bundle.manifest import MANIFEST_FILE, PAGE_FILE, REPORT_FILE, Manifest, manifest_json, report_json
from oakpoint.bundle.records import Artifact, ArtifactKind, DeviceRecord, Int8Record, SplitRecord, StageReport
from oakpoint.chain.evidence import Evidence
from oakpoint.chain.int8_images import Int8Images
from oakpoint.chain.listener import Listener
from oakpoint.chain.options import ConversionOptions
from oakpoint.chain.verification import StageVerifier
from oakpoint.convert.device_graph import DeviceGraph, DeviceSource
from oakpoint.files import sha256_of_file, writing
from oakpoint.models.base import Origin
from oakpoint.tasks.base import Task

ONNX_FILE, DEVICE_PART_FILE, TAIL_FILE = "model.onnx", "model.device.onnx", "model.tail.onnx"
BLOB_FILE = "model.blob"
"""Files that several steps know."""

Page = Callable[[Bundle, tuple[StageReport, ...], Evidence], str]
"""Makes a bundle's report for people, in HTML: of the bundle that is about to be finished (``PAGE_FILE`` is not yet a
part of it), of the verdicts, and of what was kept of the comparisons."""


@dataclass(slots=True)
class Making:
    """One conversion under way: what was made so far.

    Attributes:
        options: what was asked for.
        origin: where the chain starts.
        listener: told of each step.
        folder: where the files are written; set before the first step.
        verifier: judges the stages; set before the first step.
        interface: of the host's models; the origin's until the ONNX is made.
        task: what the outputs mean; the origin's until the ONNX is made.
        device: what is asked of and measured for the device graph.
        device_graph: once it is made.
        split: where the network is cut; None while it is whole.
        int8_images: those of the INT8 model, set before the first step; None without one.
        int8: how the INT8 model came about, once it is made.
        modules: the path of the torch module of each layer of the ONNX, by the layer's first output, as far as known.
        artifacts: made so far, in order.
        reports: verdicts so far, in order.
        not_made: artefact kind → why it is not there.
        page: makes the report for people; None for none.
    """

    options: ConversionOptions
    origin: Origin
    listener: Listener
    folder: Path = field(init=False)
    verifier: StageVerifier = field(init=False)
    interface: Interface = field(init=False)
    task: Task[object] = field(init=False)  # type: ignore[type-var]
    device: DeviceRecord = field(init=False)
    device_graph: DeviceGraph | None = None
    split: SplitRecord | None = None
    int8_images: Int8Images | None = None
    int8: Int8Record | None = None
    modules: Mapping[str, str] = field(default_factory=dict)
    artifacts: list[Artifact] = field(default_factory=list)
    reports: list[StageReport] = field(default_factory=list)
    not_made: dict[str, str] = field(default_factory=dict)
    page: Page | None = None

    def __post_init__(self) -> None:
        self.interface = self.origin.interface
        self.task = self.origin.task.with_changes(**self.options.parameters)
        self.device = DeviceRecord(heads=self.options.heads)

    @property
    def size(self) -> tuple[int, int] | None:
        """(W, H) of the images in pixels; None of a network that takes none."""
        return self.interface.size

    @property
    def title(self) -> str:
        """The network's name as other programs show it."""
        return self.origin.name if self.origin.weights.trained else f"{self.origin.name} (random weights)"

    def settle(self, interface: Interface, producers: Mapping[str, str]) -> None:
        """Note what the host's model takes and gives, once it is made."""
        self.interface, self.task = interface, self.task.with_interface(interface, producers)
        self.verifier = replace(self.verifier, interface=interface, task=self.task)

    @property
    def device_source(self) -> DeviceSource:
        """What the device graph is made from: the ONNX with the task's heads, or the device's part of it."""
        if self.split is None:
            heads = self.task.device_rewrites(self.device, self.interface)
            return DeviceSource(path=self.folder / ONNX_FILE, interface=self.interface, heads=heads)
        return DeviceSource(path=self.folder / DEVICE_PART_FILE, interface=self.artifact("device_part").interface)

    @property
    def host_tail(self) -> HostTail | None:
        """What the host does behind the device's part; None of a network that is whole on the device."""
        if self.split is None:
            return None
        outputs = tuple(spec.name for spec in self.interface.outputs)
        return HostTail(path=self.folder / TAIL_FILE, runtime=self.split.runtime, outputs=outputs)

    def artifact(self, kind: ArtifactKind) -> Artifact:
        """What was made of a kind, which has to be there."""
        return next(artifact for artifact in self.artifacts if artifact.kind == kind)

    def hashes(self, kind: ArtifactKind) -> tuple[str, ...]:
        """sha256 of the files of a kind."""
        return tuple(self.artifact(kind).files.values())

    def add(
        self,
        kind: ArtifactKind,
        names: tuple[str, ...],
        interface: Interface,
        *,
        parents: tuple[str, ...],
        tool: str,
        command: str,
    ) -> None:
        """Note what was made."""
        files = {name: sha256_of_file(self.folder / name) for name in names}
        self.artifacts.append(
            Artifact(kind=kind, files=files, interface=interface, parents=parents, tool=tool, command=command)
        )

    def step(self, name: str, work: Callable[[], str]) -> None:
        """Do something that takes its time, and let the listener know; an empty note says nothing."""
        self.listener.started(name)
        start = time.perf_counter()
        if note := work():
            self.listener.finished(name, time.perf_counter() - start, note, None)

    def judge(self, name: str, work: Callable[[], StageReport]) -> None:
        """Compare something, and keep the report."""
        self.listener.started(name)
        start = time.perf_counter()
        report = work()
        report = replace(report, summary=report.summary.replace(f"{self.folder}/", ""))  # a temporary one
        self.reports.append(report)
        self.listener.finished(name, time.perf_counter() - start, report.summary, report)

    def leave_out(self, why: Mapping[str, str]) -> None:
        """Take artefacts away again, and whatever an unfinished step left in the folder.

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
        """Write the reports, and the manifest of what is there.

        Raises:
            OutputError: they cannot be written; or the page would be too large.
        """
        self._write(REPORT_FILE, report_json(tuple(self.reports)))
        has_blob = any(artifact.kind == "blob" for artifact in self.artifacts)
        rewrites = self.device_graph.rewrites if self.device_graph is not None else ()
        manifest = Manifest(
            oakpoint_version=__version__,
            network=self.origin.name,
            weights=self.origin.weights,
            task=self.task.record(),
            interface=self.interface,
            device=replace(self.device, shaves=self.options.shaves if has_blob else None, rewrites=rewrites),
            artifacts=tuple(self.artifacts),
            verdicts={report.stage: report.verdict for report in self.reports},
            not_made=self.not_made,
            failure=failure,
            files={REPORT_FILE: sha256_of_file(self.folder / REPORT_FILE)},
            arguments=dict(self.options.said.arguments),
            outputs=dict(self.origin.outputs) if isinstance(self.origin.outputs, Mapping) else {},
            split=self.split if any(artifact.kind == "host_tail" for artifact in self.artifacts) else None,
            int8=self.int8 if any(artifact.kind == "ir_int8" for artifact in self.artifacts) else None,
        )
        if self.page is not None:
            self.step("report", partial(self._write_page, manifest, self.page))
            manifest = replace(manifest, files=manifest.files | self._page_hash())
        self._write(MANIFEST_FILE, manifest_json(manifest))
        return manifest

    def _write_page(self, manifest: Manifest, page: Page) -> str:
        html = page(Bundle(self.folder, manifest), tuple(self.reports), self.verifier.evidence or Evidence())
        self._write(PAGE_FILE, html)
        return PAGE_FILE

    def _write(self, name: str, text: str) -> None:
        with writing(Path(name)):
            (self.folder / name).write_text(text, encoding="utf-8")

    def _page_hash(self) -> dict[str, str]:
        return {PAGE_FILE: sha256_of_file(self.folder / PAGE_FILE)}
