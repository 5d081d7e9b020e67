"""What planning costs the driver: seconds and bytes for each name, new and known.

    python benchmarks/scale_names.py [--names 200000]

No image is there and none is read: names are made up, planned into a folder, noted as done, and planned again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from collections.abc import Iterator

from oakpoint.extraction.parts.known import Known
from oakpoint.extraction.parts.listing import Listed
from oakpoint.extraction.parts.manifest import Part
from oakpoint.extraction.parts.names import NameRow, write_names
from oakpoint.extraction.parts.plan import write_plan
from oakpoint.extraction.parts.storage import Storage

PART = 1000


def listed(count: int) -> Iterator[Listed]:
    """Names as a folder with subfolders has them."""
    for index in range(count):
        place = hashlib.sha256(str(index).encode()).hexdigest()[:16]
        facts = {"bytes": 100_000, "ctime_ns": index, "mtime_ns": index, "place": place}
        name = f"{index // 10_000:06d}/{index:010d}.jpg"
        yield Listed(name, f"/data/images/{name}", json.dumps(facts, sort_keys=True))


def noted(storage: Storage, count: int) -> Iterator[Part]:
    """Parts in which all of them are done."""
    rows: list[NameRow] = []
    for image in listed(count):
        rows.append(NameRow(image.name, hashlib.sha256(image.name.encode()).hexdigest(), True, image.facts))
        if len(rows) == PART:
            part = f"00001-{image.name[-14:-4]}"
            size = write_names(storage, part, rows)
            yield Part(
                part=part,
                run=1,
                images=PART,
                contents=PART,
                keypoints=0,
                refused=(),
                features_bytes=0,
                names_bytes=size,
            )
            rows = []


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", type=int, default=200_000)
    count = parser.parse_args().names
    with tempfile.TemporaryDirectory() as place:
        storage = Storage.at(place)
        started = time.process_time()
        plan = write_plan(listed(count), Known(storage, []), storage, PART)
        new = time.process_time() - started
        parts = list(noted(storage, count))
        started = time.process_time()
        known = Known(storage, parts)
        reading = time.process_time() - started
        started = time.process_time()
        again = write_plan(listed(count), known, storage, PART)
        old = time.process_time() - started
    assert (plan.images, again.there) == (count, count)
    print(f"{count} names, CPU time")
    print(f"planning new names     {new / count * 1e6:6.1f} µs each")
    print(
        f"reading what is known  {reading / count * 1e6:6.1f} µs each, {known.nbytes / count:.0f} bytes each in memory"
    )
    print(f"passing over known     {old / count * 1e6:6.1f} µs each")
    print(f"names in the parts     {sum(part.names_bytes for part in parts) / count:6.1f} bytes each")


if __name__ == "__main__":
    main()
