"""The program ``oakpoint``, with a checkpoint after each step."""

from __future__ import annotations

from oakpoint.cli.main import main
from oakpoint.training import loop

if __name__ == "__main__":  # a spawned process imports this again, and saves nothing
    loop.CHECKPOINT_EVERY_S = 0.0
    main()
