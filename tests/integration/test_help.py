"""``--help`` of every command, as it reads on a terminal of 80 columns."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from oakpoint.cli import commands
from oakpoint.cli.commands import loaded_command
from oakpoint.cli.main import app

COMMANDS = sorted(commands.COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_option_is_cut(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = CliRunner().invoke(app, [command, "--help"]).stdout
    parameters = [p for p in loaded_command(command).params if not getattr(p, "hidden", False)]
    names = [name for parameter in parameters for name in parameter.opts if name.startswith("--")]
    assert len(names) >= 2
    assert [name for name in names if f" {name} " not in text] == []
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_v_after_its_name(command: str) -> None:
    assert any("-v" in parameter.opts for parameter in loaded_command(command).params)


@pytest.mark.parametrize(
    "words", [["-v", "inspect", "no.blob"], ["inspect", "no.blob", "-v"], ["inspect", "-v", "no.blob"]]
)
def test_v_means_the_same_before_and_after_the_command(words: list[str]) -> None:
    root, before = logging.getLogger(), logging.getLogger().level
    try:
        root.setLevel(logging.WARNING)
        CliRunner().invoke(app, ["inspect", "no.blob"])
        assert root.level == logging.WARNING
        CliRunner().invoke(app, words)
        assert root.level == logging.INFO
    finally:
        root.setLevel(before)


ARGUMENTS = {
    "check": ["MODEL"], "debug": ["BUNDLE"],
    "convert": ["MODEL"], "verify": ["BUNDLE"], "run": ["MODEL", "SOURCE"], "extract": ["MODEL", "SOURCE"],
    "match": ["A", "B"],
    "eval": ["MODEL…"], "inspect": ["BLOB"], "tune": ["MODEL"], "bench": ["MODEL"], "demo": ["MODEL"],
    "distill": [], "train": [], "doctor": [],
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_one_thing_has_one_name(command: str) -> None:
    parameters = loaded_command(command).params
    assert [p.metavar for p in parameters if p.param_type_name == "argument"] == ARGUMENTS[command]


def test_options_are_those_that_the_command_declares() -> None:
    options = {name for parameter in loaded_command("convert").params for name in parameter.opts}
    assert {"--out", "--json", "--size", "--verbose"} <= options


def test_shells_can_complete() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "oakpoint"],
        env={**os.environ, "_OAKPOINT_COMPLETE": "complete_bash", "COMP_WORDS": "oakpoint conv", "COMP_CWORD": "1"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ran.stdout.split() == ["convert"]
