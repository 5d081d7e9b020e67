"""What a failed import of a runtime means."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from oakpoint.errors import BackendError, MissingExtraError
from oakpoint.oak.runtime import SETTINGS, import_depthai
from oakpoint.runtimes import import_openvino

INTERRUPTED = """
try:
    raise KeyboardInterrupt
except KeyboardInterrupt as error:
    raise ImportError("initialization failed") from error
"""
"""What pybind11 makes of Ctrl-C: seen with depthai 3.12, OpenVINO and ONNX Runtime."""

Put = Callable[[str, str], None]


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Puts a module in a package's place."""

    def write(name: str, content: str) -> None:
        (tmp_path / f"{name}.py").write_text(content)
        for module in [module for module in sys.modules if module.partition(".")[0] == name]:
            monkeypatch.delitem(sys.modules, module)

    for name in SETTINGS:
        monkeypatch.setenv(name, "")  # import_depthai leaves it as it is
    monkeypatch.syspath_prepend(tmp_path)
    return write


def test_what_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "depthai", None)
    with pytest.raises(MissingExtraError, match=r"depthai is not installed: run  pip install 'oakpoint\[oak\]'"):
        import_depthai()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('raise ImportError("libusb-1.0.so.0: cannot open shared object file")', "libusb-1.0.so.0: cannot open"),
        ("import no_such_module", "No module named 'no_such_module'"),
        ('raise OSError("libcudart.so.12: cannot open\\nshared object file")', "cannot open shared object file"),
    ],
)
@pytest.mark.parametrize(("name", "load"), [("depthai", import_depthai), ("openvino", import_openvino)])
def test_what_is_installed_and_broken_says_why(
    put: Put, name: str, load: Callable[[], object], content: str, reason: str
) -> None:
    put(name, content)
    with pytest.raises(BackendError) as caught:
        load()
    assert str(caught.value).startswith(f"{name} cannot be imported (")
    assert reason in str(caught.value)
    assert str(caught.value).endswith(f"run  pip install --force-reinstall {name}")


@pytest.mark.parametrize(("name", "load"), [("depthai", import_depthai), ("openvino", import_openvino)])
def test_ctrl_c_during_the_import_is_ctrl_c(put: Put, name: str, load: Callable[[], object]) -> None:
    put(name, INTERRUPTED)
    with pytest.raises(KeyboardInterrupt):
        load()
