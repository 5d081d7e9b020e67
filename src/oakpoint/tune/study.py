"""Trials on disk: Optuna's journal in a folder, one line appended for each trial, whatever ends the program."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, final

from oakpoint.errors import DataError, OutputError, first_line
from oakpoint.files import holding_folder, interrupts_held, shown_name, writing
from oakpoint.result_folders import Files, FolderKind, check_place
from oakpoint.tune.search import distributions_of, import_optuna, objectives_of, parameters_of
from oakpoint.tune.space import Space
from oakpoint.tune.trial import Measured, Trial, outcome_from, outcome_text

JOURNAL_FILE: Final = "study.journal"
FACTS_FILE, PICTURE_FILE = "tune.json", "frontier.png"
BLOBS_FOLDER: Final = "blobs"
STUDY_NAME: Final = "oakpoint tune"
_OF, _CONFIGURATION, _OUTCOME, _SECONDS = "of", "configuration", "outcome", "seconds"


def own_files(folder: Path) -> Files | None:
    """The files of a study that lie in a folder; None where it holds none."""
    if not (folder / JOURNAL_FILE).is_file():
        return None
    names = [JOURNAL_FILE, FACTS_FILE, PICTURE_FILE, *_locks(folder)]
    blobs = (path.relative_to(folder).as_posix() for path in (folder / BLOBS_FOLDER).glob("*.blob"))
    return dict.fromkeys([*names, BLOBS_FOLDER, *blobs])


STUDY: Final = FolderKind(name="a study", option="--out", own_files=own_files)


@final
class StoredStudy:
    """The trials of one search. Make one with ``open_study``.

    Attributes:
        trials: all that were kept.
    """

    def __init__(self, study: Any, space: Space, trials: tuple[Trial, ...]) -> None:
        self._study, self._space, self._distributions = study, space, distributions_of(space)
        self.trials = trials

    def add(self, trial: Trial) -> None:
        """Keep a trial: it is on disk when this returns.

        Raises:
            OutputError: it cannot be written.
        """
        optuna = import_optuna()
        outcome = trial.outcome
        measured = isinstance(outcome, Measured)
        with interrupts_held(), writing(Path(JOURNAL_FILE)):
            self._study.add_trial(
                optuna.trial.create_trial(
                    params=parameters_of(self._space, trial.configuration),
                    distributions=self._distributions,
                    values=objectives_of(outcome) if isinstance(outcome, Measured) else None,
                    state=optuna.trial.TrialState.COMPLETE if measured else optuna.trial.TrialState.FAIL,
                    user_attrs={
                        _CONFIGURATION: dict(trial.configuration),
                        _OUTCOME: outcome_text(outcome),
                        _SECONDS: trial.seconds,
                    },
                )
            )
            self.trials = (*self.trials, trial)


@contextlib.contextmanager
def open_study(folder: Path, space: Space, of: Mapping[str, object]) -> Iterator[StoredStudy]:
    """A new study in a folder, or the one that lies there, to go on with; other processes are kept out.

    Args:
        folder: made if need be.
        space: what is searched.
        of: what the trials' figures rest on, by the name of each thing; an earlier study has to rest on the same.

    Raises:
        OutputError: the folder holds something else, a study of something else, or a damaged one; another process is
            at work there; or it cannot be written.
        MissingExtraError: Optuna is not installed.
    """
    optuna = import_optuna()
    check_place(folder, STUDY)
    with holding_folder(folder):
        check_place(folder, STUDY)
        path = folder / JOURNAL_FILE
        _repair(path)
        stated = json.loads(json.dumps({**of, "space": space.facts()}, default=str))
        try:
            backend = optuna.storages.journal.JournalFileBackend(str(path))
            storage = optuna.storages.JournalStorage(backend)
            study = optuna.create_study(
                storage=storage, study_name=STUDY_NAME, directions=["maximize", "maximize"], load_if_exists=True
            )
            _require_same(folder, study.user_attrs.get(_OF), stated)
            if _OF not in study.user_attrs:
                study.set_user_attr(_OF, stated)
            trials = tuple(_trial(number, kept) for number, kept in enumerate(study.get_trials(), start=1))
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
        except (ValueError, LookupError, TypeError, AttributeError, AssertionError, DataError) as error:
            raise OutputError(
                f"{path}: is damaged ({first_line(error)}); choose another --out, or remove {folder}"
            ) from error
        yield StoredStudy(study, space, trials)


def _repair(path: Path) -> None:
    """Take away what a kill left: a line that was begun, and the lock of a writer that is gone.

    The folder's own lock keeps others out, so that whoever has it finds no writer at work.
    """
    for lock in _locks(path.parent):
        with contextlib.suppress(FileNotFoundError):
            (path.parent / lock).unlink()
    if not path.is_file():
        return
    with writing(path), path.open("r+b") as stream:
        content = stream.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            stream.truncate(whole)
            logging.getLogger(__name__).warning("%s: its last line was not finished, and is left out", path)


def _locks(folder: Path) -> list[str]:
    """Optuna's locks, under whichever name a kill left them."""
    return [path.name for path in folder.glob(f"{JOURNAL_FILE}.lock*")]


def _require_same(folder: Path, former: Mapping[str, object] | None, now: Mapping[str, object]) -> None:
    if former is None:
        return
    for name in dict.fromkeys([*former, *now]):
        if former.get(name) != now.get(name):
            words = f"{shown_name(_short(former.get(name)))}, not {shown_name(_short(now.get(name)))}"
            raise OutputError(
                f"{folder}: holds a study with another {name} ({words}); choose another --out, or ask for the same"
            )


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _trial(number: int, kept: Any) -> Trial:
    told = kept.user_attrs
    return Trial(
        number=number,
        configuration=dict(told[_CONFIGURATION]),
        outcome=outcome_from(told[_OUTCOME]),
        seconds=float(told[_SECONDS]),
    )
