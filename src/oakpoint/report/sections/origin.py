"""What made something: versions, weights, files with their hashes, commands."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from oakpoint import __version__
from oakpoint.bundle.manifest import Manifest
from oakpoint.bundle.records import WeightsRecord
from oakpoint.report.parts.blocks import Block, Cell, Code, Column, Entries, Lines, Section, Table, Words
from oakpoint.runtimes import installed_version

PACKAGES: Final = ("openvino", "onnx", "onnxruntime", "torch", "numpy", "depthai")
"""Whose versions are told."""

MADE_BY: Final = f"Written by oakpoint {__version__}"


def versions() -> dict[str, str]:
    """Versions of oakpoint, Python and the packages that compute, as far as they are installed."""
    found = {"oakpoint": __version__, "python": platform.python_version()}
    return found | {name: version for name in PACKAGES if (version := installed_version(name))}


def versions_text() -> str:
    """The versions in a line."""
    return ", ".join(f"{name} {version}" for name, version in versions().items())


def made_section(line: str, items: Sequence[tuple[str, Cell]] = ()) -> Section:
    """What made a report.

    Args:
        line: the command line.
        items: what else is to be told, before versions and command.
    """
    told = [*items, ("made with", versions_text()), ("command", Code(line))]
    return Section(key="origin", title="What made it", blocks=[Entries(told)])


def notices_of(weights: WeightsRecord) -> list[str]:
    """What holds for everything made with these weights, where that has to be known."""
    if not weights.trained:
        return [f"RANDOM WEIGHTS: {weights.origin}."]
    if "non-commercial" in weights.licence:
        return [f"{weights.name}: licence {weights.licence}; this holds for everything converted from it."]
    return []


def origin_section(manifest: Manifest, folder: Path, command: str) -> Section:
    """What made a bundle.

    Args:
        manifest: of the bundle.
        folder: with its files.
        command: the command line that this page comes from; empty where there was none.
    """
    weights = manifest.weights
    items: list[tuple[str, Cell]] = [
        ("weights", weights.name),
        ("licence of the weights", weights.licence),
        ("origin of the weights", weights.origin),
    ]
    if weights.file is not None:
        items.append(("weights file", weights.file))
    if weights.sha256 is not None:
        items.append(("its sha256", Code(weights.sha256)))
    if manifest.arguments:
        items.append(("arguments of the network", Code(_pairs(manifest.arguments))))
    items += [("converted by", f"oakpoint {manifest.oakpoint_version}"), ("this page was made with", versions_text())]
    items.append(("on", f"{platform.system()} {platform.machine()}"))
    if command:
        items.append(("command", Code(command)))
    return Section(
        key="origin", title="What made it", blocks=[Entries(items), _files(manifest, folder), *_left_out(manifest)]
    )


def _pairs(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


def _files(manifest: Manifest, folder: Path) -> Table:
    rows: list[list[Cell]] = []
    for artifact in manifest.artifacts:
        for name, sha256 in artifact.files.items():
            path = folder / name
            size = f"{path.stat().st_size / 1e6:.2f} MB" if path.is_file() else "–"
            rows.append([Lines([name, artifact.tool], aside=True), size, Code(sha256), Code(artifact.command)])
    return Table(
        caption="Files of the bundle",
        columns=[
            Column("file, and the tool that wrote it"),
            Column("size", number=True),
            Column("sha256"),
            Column("how"),
        ],
        rows=rows,
    )


def _left_out(manifest: Manifest) -> list[Block]:
    if not manifest.not_made:
        return []
    rows: list[list[Cell]] = [[kind.replace("_", " "), reason] for kind, reason in manifest.not_made.items()]
    return [Table(caption="What was not made, and why", columns=[Column("what"), Column("why")], rows=rows)]


def rewrites_section(manifest: Manifest) -> Section:
    """The rewrites between the ONNX and the device graph."""
    applied = manifest.device.rewrites
    blocks: list[Block] = []
    if not applied:
        words = "Nothing was rewritten" if manifest.has("blob") else "No device graph was made"
        blocks.append(Words(parts=[f"{words}."]))
    else:
        blocks.append(
            Words(parts=["Between the ONNX and the device graph these rewrites changed something, in this order."])
        )
        rows: list[list[Cell]] = [[Code(a.rewrite), _layers(a.layers)] for a in applied]
        blocks.append(Table(caption="Rewrites", columns=[Column("rewrite"), Column("what it touched")], rows=rows))
    return Section(key="rewrites", title="Rewrites", blocks=blocks)


MOST_NAMED: Final = 12


def _layers(names: tuple[str, ...]) -> Lines:
    more = [f"and {len(names) - MOST_NAMED} more"] if len(names) > MOST_NAMED else []
    return Lines([*names[:MOST_NAMED], *more])
