"""The folder of a training run: what was asked, metrics, checkpoint, pictures, and the weights that come out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from oakpoint.errors import TrainingError
from oakpoint.files import replacing_file, writing
from oakpoint.result_folders import Files, FolderKind, check_place, files_in
from oakpoint.runtimes import importing
from oakpoint.training.checkpoint import CHECKPOINT_FILE
from oakpoint.training.metrics import METRICS_FILE, read_metrics
from oakpoint.view.charts import Axis, lines

OPTIONS_FILE = "run.json"
CURVES_FILE = "losses.png"
LOOKS_FOLDER = "looks"
DATASET_FOLDER = "dataset"


MAY_CHANGE = {
    "processes", "training.pairs", "training.steps", "training.validate_every", "training.learning_rate",
    "training.precision",
}  # fmt: skip
"""A run may be made longer or shorter; the learning rate falls to 0 at its new end. A lower rate or f32 is the way on
where a loss was not finite, fewer processes or pairs where memory was short: its views are others from there on."""

_WEIGHTS, _HASH = "_weights.", ".sha256"
"""Of weights, the hash alone says whether they are the same: a file may move, and what is known of it may grow."""


def _own_files(folder: Path) -> Files | None:
    """Whatever lies in the folder of a run: it is gone on with, and nothing in it is removed."""
    return dict.fromkeys(files_in(folder)) if (folder / OPTIONS_FILE).is_file() else None


RUN = FolderKind(name="a training run", option="--out", own_files=_own_files)


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Names of a run's files.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def dataset(self) -> Path:
        """Where images and labels lie."""
        return self.path / DATASET_FOLDER

    def check(self) -> None:
        """Refuse a folder that holds other things than a run.

        Raises:
            OutputError: it does.
        """
        check_place(self.path, RUN)

    def begin(self, asked: Mapping[str, Any]) -> None:
        """Make the folder and keep what was asked; a folder of a run that was asked something else is refused.

        Raises:
            TrainingError: the folder holds a run of other options.
            OutputError: the folder cannot be written.
        """
        text = json.dumps(asked, indent=2, default=str)
        file = self.path / OPTIONS_FILE
        if file.is_file():
            before, now = _flat(self._record(file)), _flat(json.loads(text))
            begun = (self.path / CHECKPOINT_FILE).is_file()
            differing = [
                f"{key} (it was {before.get(key)}, now it is {now.get(key)})"
                for key in sorted(before.keys() | now.keys())
                if _decides(key, begun=begun) and before.get(key) != now.get(key)
            ]
            if differing:
                raise TrainingError(
                    f"{self.path}: holds a run with another {', '.join(differing)}; give the same options to continue "
                    "it, or another --out"
                )
        with writing(file):
            self.path.mkdir(parents=True, exist_ok=True)
            with replacing_file(file) as path:
                path.write_text(text + "\n", encoding="utf-8")
            (self.path / LOOKS_FOLDER).mkdir(exist_ok=True)

    def _record(self, file: Path) -> dict[str, Any]:
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
        except (ValueError, OSError) as error:
            raise TrainingError(f"{file}: expected what a run was asked, got {error}; choose another --out") from error
        if not isinstance(record, dict):
            raise TrainingError(
                f"{file}: expected what a run was asked, got {type(record).__name__}; choose another --out"
            )
        return record

    def look(self, step: int) -> Path:
        """Where the picture of a step goes."""
        return self.path / LOOKS_FOLDER / f"{step:07d}.png"

    def weights(self, network: str) -> Path:
        """Where the weights of a network go."""
        return self.path / f"{network.rpartition(':')[2].lower()}.safetensors"


def _decides(key: str, *, begun: bool) -> bool:
    """Whether a fact of the record says which run it is; before its first checkpoint, only what its labels hang on."""
    if not begun and key.startswith("training."):
        return False
    return key not in MAY_CHANGE and (_WEIGHTS not in key or key.endswith(_HASH))


def _flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values of nested records by their dotted names."""
    flat: dict[str, Any] = {}
    for key, value in record.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def write_weights(network: nn.Module, path: Path, facts: Mapping[str, str]) -> None:
    """Write a network's state as FP16 safetensors, with facts in the file's header.

    Raises:
        MissingExtraError: safetensors is not installed.
        TrainingError: a weight does not fit FP16.
        OutputError: the file cannot be written.
    """
    with importing("safetensors", extra="torch"):
        from safetensors.torch import save
    state = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).cpu().contiguous()
        for name, tensor in network.state_dict().items()
    }
    for name, tensor in state.items():
        if not bool(torch.isfinite(tensor).all()):
            raise TrainingError(f"{name}: holds weights beyond FP16 (±65504)")
    with writing(path), replacing_file(path) as temporary:
        temporary.write_bytes(save(state, metadata=dict(facts)))


def save_curves(folder: Path) -> None:
    """Draw losses and validation figures of ``metrics.jsonl`` over steps into ``losses.png``."""
    records = read_metrics(folder / METRICS_FILE)
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for record in records:
        validation = record.get("validation", {})
        for label, figures in {
            "loss": {name.removesuffix("_loss"): value for name, value in record.items() if name.endswith("_loss")},
            "share": {name: value for name, value in validation.items() if not name.endswith("_px")},
            "error [px]": {name: value for name, value in validation.items() if name.endswith("_px")},
        }.items():
            for name, value in figures.items():
                if value is None:
                    continue
                panels.setdefault(label, {}).setdefault(name, []).append((record["step"], value))
    if panels:
        with writing(folder / CURVES_FILE):
            lines(panels, x=Axis("step", low=0), title="training").save(folder / CURVES_FILE)
