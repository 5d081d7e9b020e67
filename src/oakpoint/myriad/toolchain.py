"""The Myriad compiler from the package index: fetched through pip, pinned by hash, unpacked once into a cache.

The last program of its kind on the package index is ``myriad_compile`` of the wheel ``openvino==2021.3.0``: 2021.4
has the VPU plugin without the program, 2022.1 and later have neither. It is a native Linux x86-64 program, unpacked
and never imported, so the running Python's version does not matter. It is linked against libusb 1.0, which the wheel
``libusb-package`` carries; no system library is needed beyond the C and C++ runtimes.
"""

from __future__ import annotations

import hashlib
import logging
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from oakpoint.errors import CompilerUnavailableError
from oakpoint.files import default_cache as default_cache
from oakpoint.files import sha256_of_file

logger = logging.getLogger(__name__)

OPENVINO_VERSION = "2021.3.0"
DOWNLOAD_TIMEOUT_S = 600.0

_GLOBAL_LOCK = b"/tmp/mvnc.mutex\0"
_PRIVATE_LOCK = b".//./mvnc.mutex\0"
"""The plugin holds a lock of this name while it looks for USB devices, for some 4 s of each run. Nothing is done with
devices here, and each run has a folder of its own; with the lock there, runs do not wait for each other, and one user's
lock file does not shut out another user."""


@dataclass(frozen=True, slots=True)
class PinnedWheel:
    """A wheel by name, version and hash, and the members that are taken out of it.

    Attributes:
        requirement: what pip is asked for.
        python_version: the Python that pip is told to fetch for; the wheels' own ranges exclude each other.
        filename: the wheel's file name.
        sha256: of the whole wheel.
        members: archive member → file name in the tool folder. Nothing else is unpacked.
    """

    requirement: str
    python_version: str
    filename: str
    sha256: str
    members: dict[str, str]

    def pip_arguments(self) -> list[str]:
        """What follows ``pip`` to fetch this wheel, whatever platform and Python are asking."""
        return [
            "download",
            "--no-deps",
            "--only-binary=:all:",
            "--implementation=cp",
            f"--python-version={self.python_version}",
            "--platform=manylinux2014_x86_64",
            self.requirement,
        ]


_OPENVINO_FILES = (
    "myriad_compile",
    "libmyriadPlugin.so",
    "libinference_engine.so",
    "libinference_engine_legacy.so",
    "libinference_engine_onnx_reader.so",
    "libinference_engine_snippets.so",
    "libinference_engine_transformations.so",
    "libngraph.so",
    "libonnx_importer.so",
    "libonnx_proto.so",
    "libprotobuf.so.3.7.1.0",
    "libtbb.so.2",
    "libtbbmalloc.so.2",
    "plugins.xml",
)

WHEELS = (
    PinnedWheel(
        requirement=f"openvino=={OPENVINO_VERSION}",
        python_version="3.8",
        filename="openvino-2021.3.0-3029-cp38-cp38-manylinux2014_x86_64.whl",
        sha256="e00f4764a3d3d1ed3e9ec9c06b379a024ae84156d594a078e521a8af5c062ce0",
        members={f"openvino/libs/{name}": name for name in _OPENVINO_FILES},
    ),
    PinnedWheel(
        requirement="libusb-package==1.0.30.0",
        python_version="3.12",
        filename="libusb_package-1.0.30.0-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.manylinux_2_28_x86_64.whl",
        sha256="f502ad5a0527b8c0431de817662325c88a1bba2cc334173665b04ad168d7b6d3",
        members={"libusb_package/libusb-1.0.so": "libusb-1.0.so.0"},
    ),
)


def supported_platform() -> bool:
    """Whether the compiler can run here: it is a Linux x86-64 program."""
    return sys.platform == "linux" and platform.machine() in ("x86_64", "AMD64")


def tool_folder(cache: Path) -> Path:
    """Where the unpacked tools stand: named by version and pinned hashes, so that a new pin gets a new folder."""
    pins = hashlib.sha256("".join(wheel.sha256 for wheel in WHEELS).encode() + _PRIVATE_LOCK).hexdigest()[:12]
    return cache / f"myriad-{OPENVINO_VERSION}-{pins}"


def ensure_toolchain(cache: Path | None = None) -> Path:
    """Return the folder with ``myriad_compile`` and its libraries, fetching it on first use.

    A wheel that lies in ``<cache>/wheels`` is used before the package index is asked, which is how a machine without a
    network is served. The folder appears under its name with one rename, complete.

    Args:
        cache: cache folder; the default is ``default_cache()``.

    Raises:
        CompilerUnavailableError: another platform than Linux x86-64, no index and no wheel, or a wrong hash.
    """
    if not supported_platform():
        raise CompilerUnavailableError(
            f"the Myriad compiler runs on Linux x86-64 only, this is {sys.platform} {platform.machine()}: "
            "convert on such a machine, or stop before it with --to ir"
        )
    cache = cache or default_cache()
    tools = tool_folder(cache)
    if (tools / "myriad_compile").is_file():
        return tools
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache) as scratch:
            unpacked = Path(scratch) / "tools"
            unpacked.mkdir()
            for wheel in WHEELS:
                _unpack(wheel, _obtain(wheel, cache / "wheels", Path(scratch)), unpacked)
            _make_lock_private(unpacked / "libmyriadPlugin.so")
            (unpacked / "myriad_compile").chmod(0o755)
            _publish(unpacked, tools)
    except OSError as error:
        raise CompilerUnavailableError(
            f"{cache}: the compiler cannot be unpacked here ({error.strerror or error}); "
            "set OAKPOINT_CACHE to a folder that can be written and executed from"
        ) from error
    return tools


def _make_lock_private(plugin: Path) -> None:
    content = plugin.read_bytes()
    assert content.count(_GLOBAL_LOCK) == 1  # the wheel's hash is pinned
    plugin.write_bytes(content.replace(_GLOBAL_LOCK, _PRIVATE_LOCK))


def _publish(unpacked: Path, tools: Path) -> None:
    try:
        unpacked.rename(tools)
    except OSError:
        # Another process was first (its folder is complete, for it came by a rename), or the folder lost its program.
        if (tools / "myriad_compile").is_file():
            return
        shutil.rmtree(tools)
        unpacked.rename(tools)


def _obtain(wheel: PinnedWheel, offered: Path, scratch: Path) -> Path:
    """The wheel's file, from the folder of offered wheels or through pip, with its hash checked."""
    path = offered / wheel.filename
    if not path.is_file():
        path = _download(wheel, offered, scratch)
    digest = sha256_of_file(path)
    if digest != wheel.sha256:
        raise CompilerUnavailableError(
            f"{path.name}: expected sha256 {wheel.sha256}, got {digest}; the file is damaged or another one: "
            f"remove it, or put the right one into {offered}"
        )
    return path


def _download(wheel: PinnedWheel, offered: Path, scratch: Path) -> Path:
    logger.info("fetching %s through pip", wheel.requirement)
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *wheel.pip_arguments()]
    command += ["--dest", str(scratch)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, stdin=subprocess.DEVNULL, check=False
        )
        reason = _last_line(done.stderr) if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = str(error)
    found = sorted(scratch.glob(f"{wheel.requirement.split('==')[0].replace('-', '_')}-*.whl"))
    if reason or not found:
        elsewhere = "; ".join(f"pip {' '.join(other.pip_arguments())}" for other in WHEELS)
        raise CompilerUnavailableError(
            f"the Myriad compiler is not in the cache, and pip could not fetch {wheel.requirement} "
            f"({reason or 'it gave no wheel'}). Offline: fetch the two wheels elsewhere ({elsewhere}) "
            f"and put them into {offered}"
        )
    return found[0]


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["no reason given"])[-1]


def _unpack(wheel: PinnedWheel, path: Path, folder: Path) -> None:
    """Write the wanted members, and only those, under their fixed names: no name inside the archive is trusted."""
    try:
        with zipfile.ZipFile(path) as archive:
            for member, name in wheel.members.items():
                with archive.open(member) as source, (folder / name).open("wb") as target:
                    shutil.copyfileobj(source, target)
    except (zipfile.BadZipFile, KeyError) as error:  # pragma: no cover - the hash was right, so the pin is wrong
        raise CompilerUnavailableError(f"{path.name}: the pinned wheel lacks a file ({error})") from error
