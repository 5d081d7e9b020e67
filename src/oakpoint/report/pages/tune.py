"""The report of ``tune``: the frontier, the chosen point and how it is built, and everything that was tried."""

from __future__ import annotations

from pathlib import Path

from oakpoint.report.parts.blocks import Badge, Cell, Code, Column, Entries, Page, Section, Table, Words
from oakpoint.report.parts.page import html_of
from oakpoint.report.sections.frontier import frontier_picture, frontier_section, tried_section
from oakpoint.report.sections.origin import MADE_BY, made_section
from oakpoint.tune.outcome import Outcome, configuration_words, point_words
from oakpoint.tune.study import PICTURE_FILE
from oakpoint.tune.trial import reasons_of


def tune_page(outcome: Outcome, *, notices: list[str], line: str) -> str:
    """The page as HTML.

    Args:
        outcome: what came of the search.
        notices: what has to be known of the network, such as random weights.
        line: the command line.

    Raises:
        OutputError: the page would be too large.
    """
    found, options = outcome.found, outcome.options
    size = found.setup.space.points
    page = Page(
        command="oakpoint tune",
        title=f"{Path(options.tuned.model).name} on {options.target}",
        verdict=_verdict(outcome),
        summary=_summary(outcome),
        notices=[*notices, *found.setup.notes, *(["The search was interrupted."] if found.interrupt else [])],
        entries=[
            ("tried", f"{len(found.trials)} of {size:,} configurations"),
            ("accuracy", found.setup.judge.name),
            ("images", f"{len(found.setup.photographs)} of {options.tuned.images}"),
        ],
        sections=[
            *_chosen(outcome),
            frontier_section(outcome),
            tried_section(outcome),
            *_failures(outcome),
            _space(outcome),
            made_section(line, [("seed", str(options.seed))]),
        ],
        made_by=MADE_BY,
    )
    return html_of(page)


def write_beside(outcome: Outcome, folder: Path) -> None:
    """Write the picture of the frontier.

    Raises:
        OutputError: it cannot be written.
    """
    if outcome.found.points:
        frontier_picture(outcome).save(folder / PICTURE_FILE)


def _verdict(outcome: Outcome) -> Badge:
    if not outcome.options.wish.selects:
        return Badge("plain", f"{len(outcome.front)} points")
    choice = outcome.found.choice
    if choice.point is None:
        return Badge("fail", "not met")
    return Badge("pass", "met") if choice.sure else Badge("open", "not certain")


def _summary(outcome: Outcome) -> str:
    if outcome.options.wish.selects:
        text = outcome.verdict()
        return f"{text[:1].upper()}{text[1:]}."
    return f"{len(outcome.front)} configurations that no other one beats in both accuracy and speed."


def _chosen(outcome: Outcome) -> list[Section]:
    point = outcome.found.choice.point
    if point is None:
        return []
    convert, run = outcome.commands_of(point)
    items: list[tuple[str, Cell]] = [
        ("figures", point_words(point)),
        *([("accuracy again", fresh)] if (fresh := outcome.fresh_words()) else []),
        ("configuration", configuration_words(point.configuration)),
        ("build it", Code(convert, long=True)),
        ("run it", Code(run, long=True)),
    ]
    return [Section(key="chosen", title=f"Point {point.number}", blocks=[Entries(items)])]


def _failures(outcome: Outcome) -> list[Section]:
    reasons = reasons_of(outcome.found.trials)
    if not reasons:
        return []
    rows: list[list[Cell]] = [[reason, str(count)] for reason, count in reasons.items()]
    table = Table(caption="What could not be had", columns=[Column("why"), Column("how often", number=True)], rows=rows)
    return [Section(key="failures", title="Failures", blocks=[table])]


def _space(outcome: Outcome) -> Section:
    parameters = outcome.found.setup.space.parameters
    rows: list[list[Cell]] = [[p.name, ", ".join(map(str, p.values))] for p in parameters]
    words = Words(parts=[f"Every value with every other: {outcome.found.setup.space.points:,} configurations."])
    table = Table(caption="What was searched", columns=[Column("parameter"), Column("values")], rows=rows)
    return Section(key="space", title="Space", blocks=[words, table])
