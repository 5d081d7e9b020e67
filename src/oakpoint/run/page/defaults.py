"""What the page is without being told otherwise; loads nothing, so that every command's help can say it."""

from __future__ import annotations

from pathlib import Path

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8080

RECORDINGS = Path("oakpoint-recordings")
"""Where the page's recordings go, in the present folder, unless another place is asked for."""
