"""Trying a graph on a target: the Myriad compiler, whose answers are kept, ONNX Runtime, OpenVINO."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import re
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, final

import onnx

from oakpoint.backends.base import Backend
from oakpoint.errors import BackendError, CompilerError, OutputError
from oakpoint.files import default_cache, replacing_file
from oakpoint.myriad.compiler import COMPILER, DEFAULT_SHAVES, FAULT_WITHIN, compile_blob
from oakpoint.myriad.toolchain import ensure_toolchain, tool_folder

logger = logging.getLogger(__name__)

CACHE_FOLDER: Final = "trials"
_FORMAT = 2
"""Of what is kept; another one where the compiler's words are read in another way."""
_SEPARATOR = re.compile("[:,]")
"""What the compiler's option for the types of inputs sets between names; names cannot have it."""

_LONGEST_S = 300.0
"""Of one trial."""

Progress = Callable[[str], None]


@final
class CompilerTrial:
    """Compiles graphs for the Myriad X and throws the blobs away; what came of each is kept by its content."""

    def __init__(self, images: Sequence[str], progress: Progress, *, cache: Path | None = None) -> None:
        """Get the compiler.

        Args:
            images: names of the inputs that take an image.
            progress: told before each trial.
            cache: the compiler's cache folder, where answers are kept, too.

        Raises:
            CompilerUnavailableError: it is not to be had on this machine.
        """
        ensure_toolchain(cache)
        self._images, self._progress, self._cache = images, progress, cache
        self._folder = (cache or default_cache()) / CACHE_FOLDER
        self._tool = f"{COMPILER} {tool_folder(Path()).name}"
        self._lock = threading.Lock()
        self.compiled = 0
        self.known = 0

    def __call__(self, model: onnx.ModelProto) -> str | None:
        """See ``search.Trial``."""
        images = [value.name for value in model.graph.input if value.name in self._images]
        if any(_SEPARATOR.search(name) for name in images):
            model, images = _renamed(model, images)
        content = model.SerializeToString(deterministic=True)
        settings = json.dumps([_FORMAT, self._tool, DEFAULT_SHAVES, images]).encode()
        path = self._folder / f"{hashlib.sha256(settings + content).hexdigest()}.json"
        known = _read(path)
        with self._lock:
            self.compiled += known is None
            self.known += known is not None
            number = self.compiled
        if known is not None:
            return known[0]
        self._progress(f"trial compile {number}: {_in_words(model)}")
        reason = self._compile(content, images)
        with contextlib.suppress(OSError, OutputError):  # what cannot be kept is asked again
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing_file(path) as temporary:
                temporary.write_text(json.dumps({"reason": reason}))
        return reason

    def _compile(self, content: bytes, images: Sequence[str]) -> str | None:
        with tempfile.TemporaryDirectory(prefix="oakpoint-trial-") as scratch:
            path = Path(scratch) / "part.onnx"
            path.write_bytes(content)
            try:
                compile_blob(
                    path,
                    path.with_suffix(".blob"),
                    shaves=DEFAULT_SHAVES,
                    images=images,
                    cache=self._cache,
                    timeout_s=_LONGEST_S,
                )
            except CompilerError as error:
                said = str(error).removeprefix(f"{COMPILER} refused the network: ")
                return said.removesuffix(f" ({FAULT_WITHIN})")  # this is what finds the layer
        return None


def _renamed(model: onnx.ModelProto, images: Sequence[str]) -> tuple[onnx.ModelProto, list[str]]:
    """A model whose image inputs have names that can be told the compiler, and these names."""
    renamed = onnx.ModelProto.FromString(model.SerializeToString())
    names = {name: _SEPARATOR.sub("_", f"{name}_{number}") for number, name in enumerate(images)}
    for value in renamed.graph.input:
        value.name = names.get(value.name, value.name)
    for node in renamed.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    return renamed, list(names.values())


def _read(path: Path) -> tuple[str | None] | None:
    try:
        reason = json.loads(path.read_text())["reason"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("%s: damaged, compiled anew (%s)", path, error)
        return None
    return (reason,)


def _in_words(model: onnx.ModelProto) -> str:
    nodes = model.graph.node
    return f"{nodes[0].op_type} alone" if len(nodes) == 1 else f"{len(nodes)} layers"


@final
class RuntimeTrial:
    """Loads graphs in a runtime of the host."""

    def __init__(self, runtime: Callable[[Path], Backend], progress: Progress) -> None:
        """Take what loads a file in the runtime, and what is told before each trial."""
        self._runtime, self._progress = runtime, progress

    def __call__(self, model: onnx.ModelProto) -> str | None:
        """See ``search.Trial``."""
        self._progress(f"loading {_in_words(model)}")
        with tempfile.TemporaryDirectory(prefix="oakpoint-trial-") as scratch:
            path = Path(scratch) / "part.onnx"
            onnx.save(model, path)
            try:
                backend = self._runtime(path)
            except BackendError as error:
                return str(error).replace(f"{path}: ", "").replace(f"Load model from {path} failed:", "")
            backend.close()
        return None
