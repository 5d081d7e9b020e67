"""How much memory this process may still take: the machine's, or that of the container that it runs in.

Linux kills a process that takes more, without an error that could be caught; so it has to be known before.
"""

from __future__ import annotations

from pathlib import Path

_MEMINFO, _CGROUPS, _CGROUP_ROOT = Path("/proc/meminfo"), Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def available_bytes(
    *, meminfo: Path = _MEMINFO, cgroups: Path = _CGROUPS, cgroup_root: Path = _CGROUP_ROOT
) -> int | None:
    """Bytes that can be taken without swapping and without passing a container's limit; None where nobody says.

    The kernel's estimate ``MemAvailable``, and for each control group (version 2 or 1) that this process is in, the
    limit less what is used and cannot be given back. Source: proc(5), cgroups(7), and in Linux's Documentation
    admin-guide/cgroup-v2.rst and admin-guide/cgroup-v1/memory.rst.

    Args:
        meminfo: the system's figures.
        cgroups: the control groups of this process.
        cgroup_root: where they are mounted.
    """
    rooms = [room for room in (_of_machine(meminfo), *_of_groups(cgroups, cgroup_root)) if room is not None]
    return min(rooms, default=None)


def gigabytes(count: float) -> str:
    """A number of bytes for people, in GB of 10⁹ bytes."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e9:.3f} GB"


def _of_machine(meminfo: Path) -> int | None:
    kilobytes = _fields(meminfo).get("MemAvailable:")
    return None if kilobytes is None else 1024 * kilobytes


def _of_groups(cgroups: Path, root: Path) -> list[int | None]:
    rooms = []
    for line in _text(cgroups).splitlines():
        controllers, _, group = line.partition(":")[2].partition(":")
        if controllers == "":
            names, place = ("memory.max", "memory.current", "inactive_file"), root
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            place = root / "memory"
        else:
            continue
        folder = place / group.lstrip("/")
        # Within a container the group's path may be the host's, while the container's own group is mounted at the root.
        folders = [folder, *(above for above in folder.parents if above == place or place in above.parents), place]
        rooms += [_room(each, *names) for each in dict.fromkeys(folders)]
    return rooms


def _room(folder: Path, limit: str, used: str, reclaimable: str) -> int | None:
    texts = _text(folder / limit).strip(), _text(folder / used).strip()
    if not all(text.isdecimal() for text in texts):  # no such file, or «max»
        return None
    return max(0, int(texts[0]) - int(texts[1]) + _fields(folder / "memory.stat").get(reclaimable, 0))


def _fields(path: Path) -> dict[str, int]:
    """The numbers of a file whose lines are a name and a number."""
    rows = (line.split() for line in _text(path).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
