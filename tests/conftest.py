"""Fixtures of the whole suite."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("OAKPOINT_SHARED", REPOSITORY.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of measured artefacts (weights, blobs, clips); the test is skipped where it is missing."""
    if not SHARED.is_dir():
        pytest.skip(f"no measured artefacts at {SHARED}; set OAKPOINT_SHARED")
    return SHARED


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20180712)
