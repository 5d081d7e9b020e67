"""How an INT8 model came about: what calibrated it, and which layers stayed in float."""

from __future__ import annotations

from oakpoint.bundle.manifest import Manifest
from oakpoint.report.parts.blocks import Block, Column, Entries, Section, Table
from oakpoint.report.sections.stages import number_text
from oakpoint.verify.tolerances import INT8_CLAIM


def int8_sections(manifest: Manifest) -> list[Section]:
    """The section; none where a bundle has no such model."""
    record = manifest.int8
    if record is None:
        return []
    told = Entries(
        [
            ("layers", record.summary()),
            ("may be lost", f"{record.figure}: {record.bound:g}"),
            ("lost with none in float", number_text(record.first_loss)),
            ("lost as it is, on the images that calibrated it", number_text(record.loss)),
            ("calibrated on", ", ".join(record.calibration)),
            ("judged on", ", ".join(record.held_out)),
            ("what it is for", INT8_CLAIM),
        ]
    )
    blocks: list[Block] = [told]
    if record.in_float:
        rows = [[name, number_text(lost)] for name, lost in record.in_float.items()]
        columns = [Column("layer"), Column(f"{record.figure}, with this one alone in float", number=True)]
        blocks.append(
            Table(caption="Layers that stayed in float, those first that help most", columns=columns, rows=rows)
        )
    return [Section(key="int8", title="INT8", blocks=blocks)]
