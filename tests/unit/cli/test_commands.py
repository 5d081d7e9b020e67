"""The table of commands says what the commands say of themselves, without importing them."""

from __future__ import annotations

import inspect

import pytest
import typer
from typer.testing import CliRunner

from oakpoint.cli.commands import COMMANDS, loaded_command
from oakpoint.cli.main import app


@pytest.mark.parametrize("name", COMMANDS)
def test_a_summary_is_the_first_paragraph_of_the_commands_own_help(name: str) -> None:
    command = loaded_command(name)
    assert command.name == name
    assert inspect.cleandoc(command.help).split("\n\n")[0].replace("\n", " ") == COMMANDS[name].summary


def test_the_group_knows_all_of_them_in_their_order() -> None:
    group = typer.main.get_command(app)
    context = typer.Context(group)  # type: ignore[arg-type]
    assert group.list_commands(context) == list(COMMANDS)  # type: ignore[attr-defined]


def test_help_of_a_command_is_that_of_the_loaded_one() -> None:
    ran = CliRunner().invoke(app, ["doctor", "--help"])
    assert "--connect" in ran.stdout
    assert "oakpoint doctor [OPTIONS]" in ran.stdout


def test_a_wrong_name_suggests_the_right_one() -> None:
    ran = CliRunner().invoke(app, ["extrct"])
    assert ran.exit_code == 2
    assert "'extract'" in ran.output
