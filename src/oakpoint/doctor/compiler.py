"""The Myriad compiler: in the cache, and able to start."""

from __future__ import annotations

import os
from pathlib import Path

from oakpoint.doctor.findings import Finding
from oakpoint.doctor.limited import run_limited
from oakpoint.files import default_cache
from oakpoint.myriad.toolchain import OPENVINO_VERSION, supported_platform, tool_folder

TOPIC, NAME = "compiler", f"myriad_compile {OPENVINO_VERSION}"
START_LIMIT_S = 20.0


def examine_compiler(cache: Path | None = None) -> list[Finding]:
    """One finding: the compiler starts, or why not.

    Args:
        cache: the cache folder; None takes the default.
    """
    if not supported_platform():
        text = "not available here: it is a Linux x86-64 program; conversions go up to the IR"
        return [Finding(topic=TOPIC, name=NAME, state="missing", text=text, mend="oakpoint convert … --to ir")]
    cache = cache or default_cache()
    tools = tool_folder(cache)
    program = tools / "myriad_compile"
    if not program.is_file():
        return [_not_there(cache)]
    ended = run_limited([str(program), "-h"], limit_s=START_LIMIT_S, environment={"LD_LIBRARY_PATH": str(tools)})
    if "[OPTIONS]" in ended.text and ended.code is not None:  # its help; the loader's complaints name it too
        return [Finding(topic=TOPIC, name=NAME, state="good", text=str(tools), needed=True)]
    lines = [line.strip() for line in ended.text.splitlines() if line.strip()]
    reason = lines[-1][:200] if lines else f"no answer within {START_LIMIT_S:.0f} s"
    mend = f"rm -r '{tools}' && oakpoint doctor --fetch"
    return [
        Finding(
            topic=TOPIC, name=NAME, state="wrong", text=f"{tools}: does not start: {reason}", mend=mend, needed=True
        )
    ]


def _not_there(cache: Path) -> Finding:
    standing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    if not standing.is_dir() or not os.access(standing, os.W_OK):
        text = f"{cache}: cannot be written; the compiler has no place"
        mend = "export OAKPOINT_CACHE=~/oakpoint-cache"
        return Finding(topic=TOPIC, name=NAME, state="wrong", text=text, mend=mend, needed=True)
    text = f"not in {cache} yet; the first conversion fetches it (28 MB, from your package index)"
    return Finding(topic=TOPIC, name=NAME, state="missing", text=text, mend="oakpoint doctor --fetch")
