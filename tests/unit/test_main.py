"""The program before its command line is there."""

from __future__ import annotations

import sys

import pytest

from oakpoint.__main__ import main


class InterruptedImport:
    """Ctrl-C comes while the command line is imported."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == "oakpoint.cli.main":
            raise KeyboardInterrupt


def test_ctrl_c_while_modules_are_imported_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "oakpoint.cli.main", raising=False)
    monkeypatch.setattr(sys, "meta_path", [InterruptedImport(), *sys.meta_path])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 130
    assert capsys.readouterr().err == "error: interrupted\n"
