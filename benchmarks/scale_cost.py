"""Arithmetic: bytes, seconds, requests and money for many images on many machines, from figures that can be changed.

    python benchmarks/scale_cost.py [--images 1e8] [--machines 100] [--rate 20] …

Nothing is measured here. Defaults are this repository's measured figures (benchmarks/scale.py, scale_names.py) and
list prices of AWS in us-east-1, which are assumptions to be replaced by one's own.
"""

from __future__ import annotations

import argparse

DEFAULTS: dict[str, tuple[float, str]] = {
    "images": (1e8, "how many"),
    "machines": (100, "how many"),
    "cores": (16, "of each machine that do whole work"),
    "rate": (20.0, "images a second and core"),
    "image-kb": (100.0, "of an image's file"),
    "keypoints": (530.0, "of an image"),
    "keypoint-bytes": (231.0, "in a Parquet part: 64 values and 3 more as float32, compressed"),
    "shard": (1000.0, "images of a part (--shard-size)"),
    "store-ms": (30.0, "until a store answers one small request"),
    "list-ms": (100.0, "until it answers with 1000 names"),
    "at-once": (16.0, "small files that the driver reads or writes side by side"),
    "plan-us": (40.0, "of the driver, to plan one name"),
    "machine-hour": (0.714, "$: c7i.4xlarge, 16 vCPU, on demand"),
    "get-1000": (0.0004, "$: S3 standard, 1000 GET"),
    "put-1000": (0.005, "$: S3 standard, 1000 PUT or LIST"),
    "gb-month": (0.023, "$: S3 standard"),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, (value, text) in DEFAULTS.items():
        parser.add_argument(f"--{name}", type=float, default=value, help=text)
    given = parser.parse_args()
    images, parts = given.images, given.images / given.shard
    per_second = given.machines * given.cores * given.rate
    seconds = images / per_second
    read, written = images * given.image_kb * 1e3, images * given.keypoints * given.keypoint_bytes
    listing = images / 1000 * given.list_ms / 1e3
    planning = images * given.plan_us / 1e6 + parts * given.store_ms / 1e3 / given.at_once
    hours = (seconds + listing + planning) / 3600
    puts, gets, lists = 4 * parts, images + 2 * parts, images / 1000
    rows = {
        "extraction": f"{seconds / 60:.0f} min at {per_second:,.0f} images/s",
        "listing before it": f"{listing / 60:.0f} min, one request after the other",
        "planning before it": f"{planning / 60:.0f} min, one core of the driver",
        "read": f"{read / 1e12:.1f} TB, {read / seconds / given.machines / 1e6:.0f} MB/s of each machine",
        "written": f"{written / 1e12:.1f} TB, {written / seconds / given.machines / 1e6:.0f} MB/s of each machine",
        "parts": f"{parts:,.0f} of {written / parts / 1e6:.0f} MB",
        "requests": f"{gets:,.0f} GET, {puts:,.0f} PUT, {lists:,.0f} LIST",
        "machines": f"${given.machines * given.machine_hour * seconds / 3600:,.0f} while they extract, "
        f"${given.machines * given.machine_hour * hours:,.0f} if they wait for the plan",
        "store's requests": f"${gets / 1e3 * given.get_1000 + (puts + lists) / 1e3 * given.put_1000:,.0f}",
        "keeping the features": f"${written / 1e9 * given.gb_month:,.0f} a month",
    }
    for name, text in rows.items():
        print(f"{name:<21} {text}")


if __name__ == "__main__":
    main()
