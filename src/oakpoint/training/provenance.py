"""Which weights a run learns from, and what their licences make of the weights that come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from oakpoint.bundle.records import WeightsRecord
from oakpoint.networks.header import LICENCE, RESTRICTION
from oakpoint.networks.licences import (
    UNKNOWN,
    check_licence,
    check_restriction,
    joined,
    recognised_record,
    record_of,
    restriction_of,
    restriction_of_values,
)
from oakpoint.networks.recognition import Array
from oakpoint.networks.weights import read_state


@dataclass(frozen=True, slots=True)
class Source:
    """Weights that are learnt from.

    Attributes:
        record: which they are.
        restriction: why what learns from them must not ship freely; empty where nothing is known against it.
    """

    record: WeightsRecord
    restriction: str = ""


def source_of(path: Path, role: str, *, accept_licence: bool) -> Source:
    """The source that a weights file is.

    Args:
        path: of the file.
        role: what it is to be, such as «a teacher».
        accept_licence: take weights whose licence stands against shipping what learns from them.

    Raises:
        UsageError: such weights, not accepted.
        WeightsError: no weights, or damaged ones.
    """
    state = read_state(path)
    check_licence(path, state, role, accepted=accept_licence)
    return Source(record_of(path, state), restriction_of(path, state))


def source_of_values(network: str, arrays: Sequence[Array], role: str, *, accept_licence: bool) -> Source:
    """The source that weights are which a network's class brings with it; see ``source_of``.

    Raises:
        UsageError: such weights, not accepted.
    """
    restriction = restriction_of_values(arrays)
    check_restriction(network, restriction, role, accepted=accept_licence)
    claimed = WeightsRecord(file=None, sha256=None, name=UNKNOWN, licence=UNKNOWN, origin="a class of the user's")
    return Source(recognised_record(claimed, arrays), restriction)


def header_facts(sources: Mapping[str, Source]) -> dict[str, str]:
    """Facts for the header of what learnt from sources, each by its name, such as ``teacher`` and ``init``.

    ``record_of`` and ``restriction_of`` read there what binds the file.
    """
    facts = {}
    for name, source in sources.items():
        record = source.record
        facts[f"{name}_weights"], facts[f"{name}_licence"] = record.name, record.licence
        facts[f"{name}_sha256"] = record.sha256 or "none"
    binding = [source for source in sources.values() if source.restriction]
    if binding:
        facts[LICENCE] = joined(source.record.licence for source in binding)
        facts[RESTRICTION] = joined(source.restriction for source in binding)
    return facts
