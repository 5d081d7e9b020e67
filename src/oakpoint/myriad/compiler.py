"""Run ``myriad_compile`` on an ONNX file, with a time limit and its reasons made readable."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from oakpoint.errors import CompilerError, CompilerUnavailableError, UsageError
from oakpoint.files import replacing_file
from oakpoint.myriad.toolchain import OPENVINO_VERSION, ensure_toolchain

MAX_SHAVES = 16
"""SHAVE cores of the Myriad X, and slices of its CMX memory that the compiler can give to a network."""

DEFAULT_SHAVES = 6
"""Two inference threads with six SHAVEs each leave four of the sixteen for the camera pipeline."""

COMPILE_TIMEOUT_S = 600.0
COMPILER = f"myriad_compile {OPENVINO_VERSION}"

_GRAPH_FILE = "graph.dot"


def check_shaves(shaves: int) -> None:
    """Raise UsageError unless 1 ≤ shaves ≤ 16."""
    if not 1 <= shaves <= MAX_SHAVES:
        raise UsageError(f"shaves: expected 1 to {MAX_SHAVES}, got {shaves}")


def compile_blob(
    onnx: Path,
    blob: Path,
    *,
    shaves: int,
    input_type: Literal["U8", "FP16"] = "U8",
    images: Sequence[str] | None = None,
    cache: Path | None = None,
    timeout_s: float = COMPILE_TIMEOUT_S,
) -> str:
    """Compile an ONNX network to a Myriad X blob; CMX slices follow the shaves.

    The network is given as the device is to run it: opset ≤ 13, static shapes, batch 1, FP16 tensors (FP32 ones lose
    weights below the normal FP16 range, which the compiler flushes to zero), 1/255 inside (U8 inputs are not scaled).

    Args:
        onnx: the device graph.
        blob: where the blob goes; written whole or not at all.
        shaves: SHAVE cores, 1 to 16.
        input_type: of all inputs of the blob; U8 is an image's.
        images: names of the inputs that are U8, where others are FP16; then ``input_type`` does not count.
        cache: the compiler's cache folder.
        timeout_s: after this the compiler is ended.

    Returns:
        The compiler's own graph of the network, which :mod:`oakpoint.myriad.internal_graph` reads; empty where it wrote
        none.

    Raises:
        UsageError: shaves out of range.
        CompilerUnavailableError: the compiler cannot be had or does not start.
        CompilerError: it refused the network, or took too long.
    """
    check_shaves(shaves)
    tools = ensure_toolchain(cache)
    with tempfile.TemporaryDirectory(prefix="oakpoint-myriad-") as scratch, replacing_file(blob) as output:
        config = Path(scratch) / "config"
        config.write_text(_config(shaves))
        command = [str(tools / "myriad_compile"), "-m", str(onnx.resolve()), "-o", str(output.resolve())]
        command += ["-ip", input_type if images is None else "FP16"]
        if images:  # the other way round, U8 for all and FP16 by name, is ignored
            command += ["-iop", ",".join(f"{name}:U8" for name in images)]
        command += ["-VPU_NUMBER_OF_SHAVES", str(shaves), "-VPU_NUMBER_OF_CMX_SLICES", str(shaves), "-c", str(config)]
        code, text = _run(command, tools, Path(scratch), timeout_s)
        if code != 0 or output.stat().st_size == 0:
            raise CompilerError(f"{COMPILER} refused the network: {reason_in(text)}")
        graph = Path(scratch) / _GRAPH_FILE
        return graph.read_text(errors="replace") if graph.is_file() else ""


def _config(shaves: int) -> str:
    """Settings that the compiler takes from a file only.

    Unless told otherwise it takes the first dimension for a batch, be the tensor a (5, 3) matrix or the output of a
    gather, compiles the network for one of it, and writes the number into the header all the same. Without detection
    it keeps every dimension; blobs of networks whose first dimensions are 1 are the same to the byte. And it plans for
    two networks side by side: more than 8 shaves need one stream.

    The graph is written where the compiler runs, once instead of after each of its forty passes: of SuperPoint's 6 s
    that takes 0.1 (all forty would take 1.5), and not a byte of the blob is another.
    """
    streams = "MYRIAD_THROUGHPUT_STREAMS 1\n" if shaves > MAX_SHAVES // 2 else ""
    graph = f"MYRIAD_DUMP_INTERNAL_GRAPH_FILE_NAME {_GRAPH_FILE}\nMYRIAD_DUMP_ALL_PASSES NO\n"
    return f"MYRIAD_DETECT_NETWORK_BATCH NO\n{graph}{streams}"


def _run(command: list[str], tools: Path, folder: Path, timeout_s: float) -> tuple[int, str]:
    """Exit code and output of the compiler, run in a folder of its own (it reads a file «config» where it stands)."""
    environment = {"LD_LIBRARY_PATH": str(tools), "PATH": os.defpath, "HOME": str(folder)}
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise CompilerUnavailableError(
            f"{command[0]}: does not start ({error.strerror}); set OAKPOINT_CACHE to a folder that allows execution"
        ) from error
    with process:
        try:
            text, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise CompilerError(
                f"{COMPILER} was ended after {timeout_s:.0f} s; a smaller size compiles faster"
            ) from error
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, text


_NO_REASON = re.compile(r"Inference Engine|API version|IE version|Build|Description|\[\s*(INFO|WARNING|Warning)\s*\]")
"""How lines begin that say nothing of what went wrong."""

_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_TAG = re.compile(r"\[ [A-Z_]+ \]|\[VPU\]")
"""The kind of an error (``[ GENERAL_ERROR ]``): the reason stands behind it, or in the next line."""


FAULT_WITHIN = (
    "a fault inside the compiler, which names no layer: oakpoint check MODEL, with the same options, finds by trial "
    "which one it is"
)
"""What to do about a failed assertion, which stands behind it in brackets."""

_VALIDATED = re.compile(r"While validating ONNX node '<Node\([^()]*\): ([^>]*)>'|with friendly_name '([^']*)'")
"""How the compiler names the layer whose sizes or types do not fit, a line or more before it says why."""


def reason_in(text: str) -> str:
    """The compiler's own reason, shortened to the layer and its type."""
    lines = [spoken for line in text.splitlines() if (spoken := _spoken(line))]
    for index, line in enumerate(lines):
        if found := re.search(r'Failed to compile layer "([^"]*)":(.*)', line):
            reason = "; ".join(part.strip() for part in (found[2], *lines[index + 1 :]) if part.strip())
            return f"layer {found[1]!r}: {reason or 'it gave no reason'}"[:300]
    if found := re.search(r"nGraph does not support the following ONNX operations: (.+)", text):
        return f"ONNX operations that it does not know: {found[1].strip()}"
    if "encountered dynamic node" in text:
        return "a symbolic or dynamic size; every size must be a number"
    if "Cannot find reader for model format" in text:
        return "the file is not an ONNX model that it can read"
    if lines and lines[-1].startswith("AssertionFailed"):
        return f"{lines[-1][:200]} ({FAULT_WITHIN})"
    if lines and (found := _VALIDATED.search(text)):
        return f"layer {found[1] or found[2]!r}: {lines[-1]}"[:300]
    return lines[-1][:300] if lines else "it gave no reason"


def _spoken(line: str) -> str:
    """What a line says of the fault, without colours, tags and the folders of the machine that built the compiler."""
    bare = _COLOUR.sub("", line).strip()
    if _NO_REASON.match(bare):
        return ""
    return re.sub(r"^\S+/(\S+\.[ch]pp:\d+)\s+", r"\1: ", _TAG.sub("", bare).strip())
