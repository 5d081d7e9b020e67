"""The state of a training run on disk, replaced in one step so that a killed run finds the last one whole."""

from __future__ import annotations

import copy
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from oakpoint.errors import WeightsError, first_line
from oakpoint.files import replacing_file, writing
from oakpoint.networks.weights import load_into

CHECKPOINT_FILE = "checkpoint.pt"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come.

    Attributes:
        step: optimiser steps done.
        seconds: spent on them.
    """

    step: int = 0
    seconds: float = 0.0


def save_checkpoint(
    folder: Path, progress: Progress, network: nn.Module, average: nn.Module, optimiser: Optimizer
) -> None:
    """Write the run's state to ``checkpoint.pt`` of a folder, in place of the one that stands there.

    Raises:
        OutputError: it cannot be written.
    """
    state = {
        "step": progress.step,
        "seconds": progress.seconds,
        "network": network.state_dict(),
        "average": average.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    save_tensors(folder / CHECKPOINT_FILE, state)


def save_tensors(path: Path, content: dict[str, Any]) -> None:
    """Write a record of tensors and numbers as ``torch.save`` does, whole or not at all.

    Raises:
        OutputError: it cannot be written; torch by itself reports a full disk as an error of its archive.
    """
    whole = io.BytesIO()
    torch.save(content, whole)
    with writing(path), replacing_file(path) as temporary:
        temporary.write_bytes(whole.getbuffer())


def check_checkpoint(folder: Path, network: nn.Module) -> None:
    """Find out whether a run can go on from its folder; with no checkpoint there, it can. Nothing is changed.

    Raises:
        WeightsError: the checkpoint is damaged or another network's.
    """
    own = copy.deepcopy(network)
    load_checkpoint(folder, own, copy.deepcopy(own), torch.optim.AdamW(own.parameters()))


def progress_of(folder: Path) -> Progress:
    """How far the run of a folder has come; with no checkpoint there, nowhere.

    Raises:
        WeightsError: the checkpoint is damaged.
    """
    state = _state(folder / CHECKPOINT_FILE)
    return Progress() if state is None else Progress(int(state["step"]), float(state["seconds"]))


def load_checkpoint(folder: Path, network: nn.Module, average: nn.Module, optimiser: Optimizer) -> Progress:
    """Take up the state that a folder holds; with none there, nothing is changed.

    Raises:
        WeightsError: the checkpoint is damaged or another network's.
    """
    path = folder / CHECKPOINT_FILE
    state = _state(path)
    if state is None:
        return Progress()
    try:
        load_into(network, state["network"], path)
        load_into(average, state["average"], path)
        optimiser.load_state_dict(state["optimiser"])
    except WeightsError as error:  # names the tensor
        raise _foreign(str(error).removeprefix(f"{path}: "), path) from error
    except Exception as error:  # whatever a damaged file makes torch raise
        raise _foreign(first_line(error), path) from error
    return Progress(int(state["step"]), float(state["seconds"]))


def _state(path: Path) -> dict[str, Any] | None:
    """What a checkpoint holds, on the CPU, with a step and seconds; None where there is none.

    An optimiser takes its moments to its parameters' device by itself, and its counters of steps belong on the CPU.
    """
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        float(state["step"]), float(state["seconds"])
    except Exception as error:  # whatever a damaged file makes torch raise
        raise _foreign(first_line(error), path) from error
    return state


def _foreign(reason: str, path: Path) -> WeightsError:
    return WeightsError(f"{path}: expected a checkpoint of this network: {reason}; choose another --out")
