"""Which weights a network has, and what their licences bind: told by values, in whatever form they come."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from oakpoint.bundle.records import WeightsRecord
from oakpoint.errors import UsageError
from oakpoint.files import sha256_of_file
from oakpoint.networks.header import LICENCE, RESTRICTION, header_of
from oakpoint.networks.recognition import KNOWN_WEIGHTS, Array, KnownWeights, Recognised, recognise

if TYPE_CHECKING:
    from oakpoint.networks.tensor_names import State

UNKNOWN = "unknown"


def record_of(path: Path, state: State) -> WeightsRecord:
    """The manifest's record of a weights file.

    Weights are recognised by their values, and a published file by its hash; what learnt from weights with a
    restricting licence says so in its header.
    """
    sha256, header = sha256_of_file(path), header_of(path)
    licence = header.get(LICENCE, UNKNOWN) if header.get(RESTRICTION) else UNKNOWN
    record = WeightsRecord(file=path.name, sha256=sha256, name=UNKNOWN, licence=licence, origin=UNKNOWN)
    if published := _published(sha256):
        record = replace(record, name=published.name, licence=published.licence, origin=published.origin)
    return recognised_record(record, arrays_of(state))


def recognised_record(claimed: WeightsRecord, arrays: Iterable[Array]) -> WeightsRecord:
    """A record with what the values say: a name and a licence where it has none, and every licence that binds.

    Args:
        claimed: what is known otherwise.
        arrays: all tensors of the network.
    """
    found = recognise(arrays)
    binding = [match.known.licence for match in found if match.known.restriction]
    further = [licence for licence in binding if licence not in claimed.licence]
    if claimed.licence == UNKNOWN:
        licences = [match.known.licence for match in found] or [UNKNOWN]
    else:
        licences = [claimed.licence, *further]
    return replace(
        claimed,
        name=joined(match.name for match in found) if found and claimed.name == UNKNOWN else claimed.name,
        licence=joined(licences),
        origin=joined(match.known.origin for match in found) if found and claimed.name == UNKNOWN else claimed.origin,
    )


def restriction_of(path: Path, state: State) -> str:
    """Why what learns from a weights file must not ship freely; empty where nothing is known against it."""
    published = _published(sha256_of_file(path))
    said = [header_of(path).get(RESTRICTION, ""), published.restriction if published else ""]
    return joined(text for text in (*said, restriction_of_values(arrays_of(state))) if text)


def restriction_of_values(arrays: Iterable[Array]) -> str:
    """Why what learns from a network with these tensors must not ship freely, as far as their values tell."""
    return joined(_restrictions(recognise(arrays)))


def check_licence(path: Path, state: State, role: str, *, accepted: bool) -> None:
    """Refuse weights that must not be learnt from freely, unless their licence is accepted.

    Args:
        path: of the weights.
        state: their tensors.
        role: what they were to be.
        accepted: take them on nevertheless.

    Raises:
        UsageError: restricted, and not accepted.
    """
    check_restriction(str(path), restriction_of(path, state), role, accepted=accepted)


def check_restriction(where: str, restriction: str, role: str, *, accepted: bool) -> None:
    """Refuse what a restriction stands against, unless it is accepted; see ``check_licence``.

    Raises:
        UsageError: restricted, and not accepted.
    """
    if restriction and not accepted:
        raise UsageError(f"{where}: not taken as {role}: {restriction}; take it on with --accept-licence")


def arrays_of(state: State) -> list[Array]:
    """The tensors of a state dict as arrays; those of types that NumPy lacks as float32."""
    return [tensor.detach().cpu().float().numpy() for tensor in state.values()]


def joined(texts: Iterable[str]) -> str:
    """Texts in one line, each once."""
    return "; ".join(dict.fromkeys(texts))


def _restrictions(found: Iterable[Recognised]) -> list[str]:
    return [match.known.restriction for match in found if match.known.restriction]


def _published(sha256: str) -> KnownWeights | None:
    return next((known for known in KNOWN_WEIGHTS if known.sha256 == sha256), None)
