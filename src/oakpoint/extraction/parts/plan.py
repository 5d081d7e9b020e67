"""What a run has to do, cut into portions that lie in the output until it has ended: a retried portion is the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, field
from itertools import islice

from oakpoint.errors import OutputError
from oakpoint.extraction.parts.known import Known, Standing
from oakpoint.extraction.parts.listing import Listed
from oakpoint.extraction.parts.manifest import PLAN
from oakpoint.extraction.parts.small_files import side_by_side
from oakpoint.extraction.parts.storage import Storage


@dataclass(frozen=True, slots=True)
class Wanted:
    """An image to look at.

    Attributes:
        name: the image's.
        path: see ``Listed``.
        facts: see ``Listed``.
        content: see ``Standing``; empty for a new name.
        same_place: see ``Standing``.
        failure: why it had no features in an earlier run; empty for a new name.
    """

    name: str
    path: str
    facts: str
    content: str = ""
    same_place: bool = False
    failure: str = ""


@dataclass(slots=True)
class Plan:
    """What there is to do.

    Attributes:
        portions: how many.
        images: of all portions.
        there: images that are there, their files unchanged.
        failures: why images cannot even be planned, by name.
    """

    portions: int = 0
    images: int = 0
    there: int = 0
    failures: dict[str, str] = field(default_factory=dict)


def write_plan(images: Iterable[Listed], known: Known, storage: Storage, size: int) -> Plan:
    """Plan what is not there yet, as it is listed.

    Args:
        images: what is asked for.
        known: what is there.
        storage: the output.
        size: images of a portion.

    Raises:
        ImageError: the images cannot be listed.
        OutputError: the plan cannot be written.
    """
    plan = Plan()
    portions = _portions(_wanted(images, known, plan), plan, size)
    for _ in side_by_side(lambda portion: storage.write(*portion), portions):
        pass
    return plan


def _portions(wanted: Iterator[Wanted], plan: Plan, size: int) -> Iterator[tuple[str, bytes]]:
    """File and content of each portion."""
    while portion := list(islice(wanted, size)):
        yield _file(plan.portions), "".join(json.dumps(astuple(image)) + "\n" for image in portion).encode()
        plan.portions += 1
        plan.images += len(portion)


def read_portion(storage: Storage, number: int) -> tuple[list[Wanted], str]:
    """The images of a portion, and a digest of them.

    Raises:
        OutputError: it is not there, or cannot be read.
    """
    content = storage.read(_file(number))
    if content is None:
        raise OutputError(f"{storage.shown}/{_file(number)}: gone while this runs; is another run at work there?")
    images = [Wanted(*json.loads(line)) for line in content.splitlines()]
    return images, hashlib.sha256(content).hexdigest()[:16]


def planned_names(storage: Storage, portions: int) -> Iterator[str]:
    """The names of all portions."""
    for number in range(portions):
        yield from (image.name for image in read_portion(storage, number)[0])


def _wanted(images: Iterable[Listed], known: Known, plan: Plan) -> Iterator[Wanted]:
    for image in images:
        if image.error:
            plan.failures[image.name] = image.error
            continue
        standing = known.of(image.name, image.facts) or Standing("", same_file=False, same_place=False)
        if standing.content and standing.same_file:
            plan.there += 1
        else:
            failure = known.failures.get(image.name, "")
            yield Wanted(image.name, image.path, image.facts, standing.content, standing.same_place, failure)


def _file(number: int) -> str:
    return f"{PLAN}/{number:07d}.jsonl"
