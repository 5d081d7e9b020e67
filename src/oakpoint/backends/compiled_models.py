"""Models as OpenVINO compiled them for the CPU, kept for those that take long to compile.

Compiling takes longer the more operators there are. ``python benchmarks/start.py --cache MODEL.onnx`` measures the time
to the first result, freshly compiled and from here: a small vision transformer (12 layers) takes 0.78 of the time,
SuperPoint 1.13, acorn 1.18. So only models of ``LEAST_OPERATORS`` and more are kept; results are the same to the last
bit (``tests/unit/backends/test_compiled_models.py``). Other devices
than the CPU were not at hand, and nothing is kept of them.

OpenVINO's own cache (``CACHE_DIR``) is not used: it has no bound, and takes an entry whose weights were damaged for
whole, so that results are wrong without a word. Here each entry begins with the SHA-256 of the rest. Entries are
written whole or not at all, so that several processes may share the folder; it is the user's alone (mode 0700), and one
that is not is left alone. Whatever goes wrong with it is logged, and the model compiled.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import stat
from pathlib import Path
from typing import Any

from oakpoint.backends.identity import sha256_of_model
from oakpoint.errors import OakpointError, first_line
from oakpoint.files import default_cache, replacing_file
from oakpoint.runtimes import import_openvino

logger = logging.getLogger(__name__)

VARIABLE = "OAKPOINT_MODEL_CACHE"
"""Of the environment; ``off`` keeps nothing and reads nothing."""

LEAST_OPERATORS = 500
"""Of a model that is kept, counted as OpenVINO reads it: acorn has 127, SuperPoint 172, a small vision transformer
1442."""

MOST_BYTES = 512 << 20
"""Of all entries together; the one unused longest goes first."""

_DIGEST_BYTES = 32
_SUFFIX = ".compiled"


def model_cache() -> Path | None:
    """The folder of compiled models; None where it is switched off. It need not be there yet."""
    return None if os.environ.get(VARIABLE, "").lower() == "off" else default_cache() / "openvino"


def entries_of(folder: Path) -> dict[Path, os.stat_result]:
    """The entries in a folder and what is known of the files, the one unused longest first.

    Raises:
        OSError: the folder cannot be read.
    """
    found = {}
    for path in folder.glob(f"*{_SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):  # another process has removed it
            found[path] = path.lstat()
    return dict(sorted(found.items(), key=lambda item: item[1].st_mtime_ns))


def compiled_model(core: Any, model: Any, path: Path, device: str, configuration: dict[str, Any]) -> Any:
    """Compile a model, or take what was kept when it was compiled before.

    Args:
        core: OpenVINO's ``Core``.
        model: read from ``path``, at the shapes that it is to run at.
        path: the model's file.
        device: OpenVINO's device.
        configuration: see ``Core.compile_model``.

    Returns:
        OpenVINO's ``CompiledModel``.

    Raises:
        RuntimeError: OpenVINO cannot compile it.
    """
    folder = model_cache()
    if folder is None or device != "CPU" or len(model.get_ops()) < LEAST_OPERATORS or not _is_ours(folder):
        return core.compile_model(model, device, configuration)
    try:
        entry = folder / f"{_key(core, model, path, device, configuration)}{_SUFFIX}"
        content = _read(entry)
    except (OSError, OakpointError) as error:
        logger.info("%s: not used: %s", folder, first_line(error))
        return core.compile_model(model, device, configuration)
    if content is not None:
        try:
            return core.import_model(io.BytesIO(content), device, configuration)
        except RuntimeError as error:  # written by another build of OpenVINO, of the same version
            logger.info("%s: compiled anew: %s", entry, first_line(error))
    compiled = core.compile_model(model, device, configuration)
    _keep(entry, compiled)
    return compiled


def _key(core: Any, model: Any, path: Path, device: str, configuration: dict[str, Any]) -> str:
    """All that decides on what compiling gives: the model, its shapes, OpenVINO, the processor, the settings."""
    parts = [sha256_of_model(path), import_openvino().__version__, device, str(sorted(configuration.items()))]
    parts += [core.get_property(device, "FULL_DEVICE_NAME")]
    parts += sorted(core.get_property(device, "OPTIMIZATION_CAPABILITIES"))
    parts += [f"{sorted(port.get_names())} {port.get_partial_shape()}" for port in model.inputs]
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()


def _is_ours(folder: Path) -> bool:
    """Whether a folder is this user's alone; it is made where it is missing."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        known = folder.lstat()
    except OSError as error:
        logger.info("%s: not used: %s", folder, error.strerror or error)
        return False
    if not stat.S_ISDIR(known.st_mode) or not _is_private(known):
        logger.info("%s: not used: others may write there; remove it, or  chmod 700  it", folder)
        return False
    return True


def _is_private(known: os.stat_result) -> bool:
    if not hasattr(os, "getuid"):  # Windows, whose profiles are the user's own
        return True
    return known.st_uid == os.getuid() and not known.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _read(entry: Path) -> bytes | None:
    """What was kept; None where nothing was, or it is damaged, and removed.

    Raises:
        OSError: it is there and cannot be read, or removed.
    """
    try:
        if not stat.S_ISREG(entry.lstat().st_mode):
            return None
        content = entry.read_bytes()
    except FileNotFoundError:
        return None
    digest, compiled = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(compiled).digest() != digest:
        logger.info("%s: damaged; compiled anew", entry)
        entry.unlink(missing_ok=True)
        return None
    os.utime(entry)
    return compiled


def _keep(entry: Path, compiled: Any) -> None:
    try:
        stream = io.BytesIO()
        compiled.export_model(stream)
        content = stream.getvalue()
        if len(content) > MOST_BYTES:
            return
        with replacing_file(entry) as temporary:
            temporary.write_bytes(hashlib.sha256(content).digest() + content)
        _bound(entry)
    except (OSError, OakpointError, RuntimeError) as error:
        logger.info("%s: not kept: %s", entry, first_line(error))


def _bound(newest: Path) -> None:
    """Remove what was unused longest until the rest is within ``MOST_BYTES``."""
    entries = entries_of(newest.parent)
    total = sum(known.st_size for known in entries.values())
    for path, known in entries.items():
        if total <= MOST_BYTES:
            return
        if path != newest:
            path.unlink(missing_ok=True)
            total -= known.st_size
