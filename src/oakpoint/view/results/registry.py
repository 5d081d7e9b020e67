"""Which view shows which result, in one place."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from oakpoint.features.types import Features
from oakpoint.tasks.boxes.result import Boxes
from oakpoint.tasks.classes.result import Classes
from oakpoint.tasks.mask.result import Mask
from oakpoint.tasks.tensors.task import TensorsFound
from oakpoint.view.results.base import Follower, FollowOptions, ResultView
from oakpoint.view.results.boxes import BoxesView
from oakpoint.view.results.classes import ClassesView
from oakpoint.view.results.keypoints import KeypointsView
from oakpoint.view.results.mask import MaskView
from oakpoint.view.results.tensors import TensorsView

VIEWS: dict[type, ResultView[Any]] = {
    Features: KeypointsView(),
    Boxes: BoxesView(),
    Classes: ClassesView(),
    Mask: MaskView(),
    TensorsFound: TensorsView(),
}
"""Type of a result → what shows it."""


def view_of(result: object) -> ResultView[Any]:
    """What shows a result."""
    return VIEWS[type(result)]


def words_of(facts: Mapping[str, Any]) -> list[str]:
    """What a run found, in short texts, from its ``RunSummary.facts``."""
    kind = facts.get("found")
    return next((view.words(facts) for view in VIEWS.values() if view.name == kind), [])


class Following:
    """Follows results of whichever kind comes."""

    def __init__(self, options: FollowOptions) -> None:
        """Take the options, which are checked for every kind.

        Raises:
            UsageError: one is out of range.
        """
        self._followers: dict[type, Follower] = {kind: view.follower(options) for kind, view in VIEWS.items()}

    def update(self, result: object) -> Any:
        """See ``Follower.update``."""
        return self._followers[type(result)].update(result)

    def snapshot(self) -> Following:
        """See ``Follower.snapshot``."""
        taken = copy.copy(self)
        taken._followers = {kind: follower.snapshot() for kind, follower in self._followers.items()}
        return taken
