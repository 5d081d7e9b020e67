"""``--help`` of every command, as it reads on a terminal of 80 columns."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from oakpoint.cli.main import app

GROUP = typer.main.get_command(app)
COMMANDS = sorted(GROUP.commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", COMMANDS)
def test_no_option_is_cut(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = CliRunner().invoke(app, [command, "--help"]).stdout
    parameters = [p for p in GROUP.commands[command].params if not getattr(p, "hidden", False)]  # type: ignore[attr-defined]
    names = [name for parameter in parameters for name in parameter.opts if name.startswith("--")]
    assert len(names) >= 2
    assert [name for name in names if f" {name} " not in text] == []
    assert max(map(len, text.splitlines())) <= 80
