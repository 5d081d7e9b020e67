"""``oakpoint``, ``python -m oakpoint``, and ``torchrun … -m oakpoint`` for training in several processes."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line. Its modules take a second to import, and Ctrl-C may come in that second already."""
    try:
        from oakpoint.cli.main import main as run
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
