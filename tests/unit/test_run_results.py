from __future__ import annotations

import json
import math

import pytest

from oakpoint.cli.run_results import ResultsWriter


def test_results_and_figures_are_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    with ResultsWriter() as results:
        for number in range(3):
            results.add({"frame": number, "boxes": []})
        results.finish({"frames": 3, "saved": None})
    written = capsys.readouterr().out
    assert json.loads(written) == {
        "results": [{"frame": number, "boxes": []} for number in range(3)],
        "frames": 3,
        "saved": None,
    }
    assert len(written.splitlines()) == 9, "a line for each frame"


def test_without_results_there_are_figures(capsys: pytest.CaptureFixture[str]) -> None:
    with ResultsWriter() as results:
        results.finish({"frames": 0})
    assert json.loads(capsys.readouterr().out) == {"results": [], "frames": 0}


def test_what_ends_a_run_leaves_what_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    def ended() -> None:
        with ResultsWriter() as results:
            results.add({"frame": 0})
            raise ValueError("moon")

    with pytest.raises(ValueError, match="moon"):
        ended()
    assert json.loads(capsys.readouterr().out) == {"results": [{"frame": 0}], "ended": "moon"}


def test_nothing_is_written_where_nothing_was_found(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="moon"), ResultsWriter():
        raise ValueError("moon")
    assert capsys.readouterr().out == ""


def test_what_is_no_number_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    with ResultsWriter() as results:
        results.add({"values": [1.0, math.nan, [math.inf]], "name": "a"})
        results.finish({})
    assert json.loads(capsys.readouterr().out) == {"results": [{"values": [1.0, None, [None]], "name": "a"}]}
