"""What is tried next, and the loop that tries it.

The next configuration follows from those tried before, their outcomes and the seed, and from nothing else: a search
that was killed asks for what it would have asked for.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from oakpoint.runtimes import importing
from oakpoint.tune.space import Space
from oakpoint.tune.trial import Configuration, Failed, Measured, Outcome, Trial

Measure = Callable[[Configuration], Outcome]
Answered = Callable[[Trial], None]

STARTUP_TRIALS: Final = 10
"""Tried at random before the optimiser has a model to go by; its own default."""

ATTEMPTS: Final = 8
"""How often the optimiser may propose what was tried before; then one is drawn of those that were not."""


def next_configuration(
    space: Space, tried: Sequence[Trial], *, seed: int, trials: int, first: Sequence[Configuration] = ()
) -> Configuration | None:
    """What to try next; None where everything was tried.

    Where the space has no more points than there are to be trials, all of them are tried, in an order drawn from the
    seed. Else Optuna's multi-objective TPE proposes (Ozaki et al. 2022, «Multiobjective Tree-Structured Parzen
    Estimator»), on accuracy and the logarithm of the rate.

    Args:
        space: the configurations.
        tried: those that were tried, in order.
        seed: of all draws.
        trials: how many there are to be in all.
        first: what is tried before anything else.
    """
    seen = {_key(trial.configuration) for trial in tried}
    for configuration in first:
        if _key(configuration) not in seen:
            return configuration
    if len(seen) >= space.points:
        return None
    if space.points <= trials or sum(isinstance(trial.outcome, Measured) for trial in tried) == 0:
        return _drawn(space, seen, seed)
    for attempt in range(ATTEMPTS):
        proposed = _proposed(space, tried, seed=[seed, len(tried), attempt])
        if _key(proposed) not in seen:
            return proposed
    return _drawn(space, seen, seed)


def search(
    space: Space,
    measure: Measure,
    *,
    tried: Sequence[Trial],
    answered: Answered,
    seed: int,
    trials: int,
    first: Sequence[Configuration] = (),
    minutes: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Trial, ...]:
    """Try configurations until there are as many trials as wanted, the time is over, or all were tried.

    Args:
        space: see ``next_configuration``.
        measure: tries one.
        tried: those of earlier runs.
        answered: told of each trial as soon as its outcome is there.
        seed: see ``next_configuration``.
        trials: how many in all, those of earlier runs included.
        first: see ``next_configuration``.
        minutes: no trial is begun later than this after now.
        clock: gives seconds.

    Returns:
        All trials, those of earlier runs included.
    """
    done = list(tried)
    start = clock()
    while len(done) < trials and (minutes is None or clock() - start < 60 * minutes):
        configuration = next_configuration(space, done, seed=seed, trials=trials, first=first)
        if configuration is None:
            break
        began = clock()
        outcome = measure(configuration)
        number = len(done) + 1
        done.append(Trial(number=number, configuration=configuration, outcome=outcome, seconds=clock() - began))
        answered(done[-1])
    return tuple(done)


def import_optuna() -> Any:
    """Import Optuna, which then says nothing by itself.

    Raises:
        MissingExtraError: it is not installed.
    """
    with importing("optuna", extra="tune"):
        import optuna
    logging.getLogger("optuna").setLevel(logging.ERROR)
    return optuna


def distributions_of(space: Space) -> dict[str, Any]:
    """The space in Optuna's words: ordered values by their place, others by themselves."""
    optuna = import_optuna()
    return {
        parameter.name: optuna.distributions.IntDistribution(0, len(parameter.values) - 1)
        if parameter.ordered
        else optuna.distributions.CategoricalDistribution(parameter.values)
        for parameter in space.parameters
    }


def parameters_of(space: Space, configuration: Configuration) -> dict[str, Any]:
    """A configuration in Optuna's words; see ``distributions_of``."""
    return {
        parameter.name: parameter.values.index(configuration[parameter.name])
        if parameter.ordered
        else configuration[parameter.name]
        for parameter in space.parameters
    }


def objectives_of(outcome: Measured) -> tuple[float, float]:
    """What is to be large: accuracy, and how often the rate doubles; twice as fast is worth the same anywhere."""
    return outcome.accuracy.value, math.log2(outcome.relative_rate)


def _proposed(space: Space, tried: Sequence[Trial], *, seed: Sequence[int]) -> Configuration:
    """What Optuna proposes, asked in a study of its own in memory, so that nothing but the trials counts."""
    optuna = import_optuna()
    number = int(np.random.default_rng(seed).integers(2**31))
    sampler = optuna.samplers.TPESampler(seed=number, n_startup_trials=STARTUP_TRIALS, multivariate=True)
    study = optuna.create_study(directions=["maximize", "maximize"], sampler=sampler)
    distributions = distributions_of(space)
    for trial in tried:
        if isinstance(trial.outcome, Failed):
            continue
        study.add_trial(
            optuna.trial.create_trial(
                params=parameters_of(space, trial.configuration),
                distributions=distributions,
                values=objectives_of(trial.outcome),
            )
        )
    asked = study.ask(distributions).params
    return {p.name: p.values[asked[p.name]] if p.ordered else asked[p.name] for p in space.parameters}


def _drawn(space: Space, seen: set[tuple[Any, ...]], seed: int) -> Configuration:
    """The first configuration of an order drawn from the seed that was not tried."""
    rng = np.random.default_rng(seed)
    if space.points <= _WHOLE:
        places: Any = rng.permutation(space.points)
    else:  # so many that a draw is hardly ever one that was tried
        places = (int(rng.integers(space.points)) for _ in iter(int, 1))
    return next(found for place in places if _key(found := space.at(int(place))) not in seen)


_WHOLE: Final = 1_000_000


def _key(configuration: Configuration) -> tuple[Any, ...]:
    return tuple(sorted(configuration.items()))
