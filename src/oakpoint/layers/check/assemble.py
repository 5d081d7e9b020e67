"""The verdicts on all layers, of what was found out about each."""

from __future__ import annotations

from collections.abc import Mapping

from oakpoint.layers.check.device import DeviceVerdicts
from oakpoint.layers.check.ranges import Range
from oakpoint.layers.check.verdicts import Kind, LayerVerdict
from oakpoint.layers.names import Layers


def layer_verdicts(
    layers: Layers, found: DeviceVerdicts, caveats: Mapping[int, list[str]], numbers: Mapping[int, Range]
) -> tuple[LayerVerdict, ...]:
    """The verdict on every layer, in the order of execution.

    Args:
        layers: of the network.
        found: which are refused, could not be tried or were rewritten, by place.
        caveats: by place.
        numbers: what layers give, by place, where it was measured.
    """
    verdicts = []
    for place, layer in enumerate(layers.layers):
        refused, untried = found.refused.get(place), found.untried.get(place, "")
        rewrites, warned = tuple(found.rewrites.get(place, ())), tuple(dict.fromkeys(caveats.get(place, ())))
        kind: Kind = "caveat" if warned else "rewritten" if rewrites else "taken"
        if refused is not None or untried:
            kind = "untried" if refused is None else "refused"
        remedies = () if refused is None else (refused.remedy, refused.replacement)
        verdicts.append(
            LayerVerdict(
                layer=layer,
                kind=kind,
                problem=untried if refused is None else refused.problem,
                remedies=tuple(remedy for remedy in remedies if remedy),
                rewrites=rewrites,
                caveats=warned,
                numbers=numbers.get(place),
            )
        )
    return tuple(verdicts)
