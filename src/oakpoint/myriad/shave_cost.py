"""What the stages on the SHAVEs calculate, and the time that they take at the very least.

No time of a SHAVE stage is published, and without a chip none can be measured: how fast the firmware's kernels are is
not known. What is known is what no kernel can beat: a SHAVE calculates with vectors of 128 bits, which is eight FP16
numbers a cycle. Real kernels take longer, by how much nobody here can say.
"""

from __future__ import annotations

import math
from typing import Final

from oakpoint.myriad.blob import Stage
from oakpoint.myriad.format import StageType
from oakpoint.myriad.parameters import ConvParameters, DeconvParameters, GemmParameters, PoolParameters

LANES: Final = 8
"""FP16 operations of a SHAVE in one cycle, at most: vectors of 128 bits.

Source: WikiChip, «SHAVE v2.0», 128-bit vector arithmetic with 16-bit floating point; that the Myriad X's have no wider
ones is assumed.
"""


def shave_macs(stage: Stage) -> int:
    """Multiply-accumulates of a convolution or matrix product on the SHAVEs."""
    if stage.type == StageType.FC:
        return stage.inputs[1].layout.size
    if isinstance(stage.parameters, GemmParameters):
        output, first = stage.outputs[0].layout, stage.inputs[0].layout
        inner = first.dim("H") * first.dim("W") // max(output.dim("H"), 1)  # whichever of them it runs along
        return output.size * inner
    if isinstance(stage.parameters, ConvParameters):
        layout = stage.outputs[0].layout
    elif isinstance(stage.parameters, DeconvParameters):
        layout = stage.inputs[0].layout
    else:
        return 0
    return layout.dim("N") * layout.dim("H") * layout.dim("W") * stage.inputs[1].layout.size


def shave_operations(stage: Stage) -> int:
    """Operations that a SHAVE stage cannot do without: its products, a pooling's taps, or one for each element.

    Of what it reads and what it writes the larger one counts. 0 for a stage that does not run on the SHAVEs.
    """
    if stage.unit != "SHAVE":
        return 0
    elements = max((buffer.layout.size for buffer in (*stage.inputs, *stage.outputs)), default=0)
    if isinstance(stage.parameters, PoolParameters) and stage.outputs:
        taps = stage.parameters.kernel_x * stage.parameters.kernel_y
        elements = max(elements, stage.outputs[0].layout.size * taps)
    return max(elements, shave_macs(stage))


def least_shave_ms(stage: Stage, shaves: int, clock_mhz: float) -> float:
    """Time below which a SHAVE stage cannot stay, on the SHAVEs that run it.

    Args:
        stage: of the blob.
        shaves: of the blob, for a stage that does not say how many it has.
        clock_mhz: of the SHAVEs.
    """
    cycles = math.ceil(shave_operations(stage) / (LANES * max(stage.shaves or shaves, 1)))
    return cycles / (clock_mhz * 1e3)
