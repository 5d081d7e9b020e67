"""Sketches of weights for ``src/oakpoint/networks/known_weights.json``, by which they are recognised.

python scripts/sketch_weights.py NAME=FILE …    adds to the file, or replaces, what stands there under each name
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from oakpoint.networks.licences import arrays_of
from oakpoint.networks.recognition import SCALE, SKETCHES_FILE, sketches_of
from oakpoint.networks.weights import read_state


def sketched(path: Path) -> list[tuple[int, list[int]]]:
    """Number of values and sketch of each weight tensor of a file, the largest first."""
    sketches = sketches_of(arrays_of(read_state(path)))
    return [(size, [round(SCALE * value) for value in sketch]) for size, sketch in sketches]


def main() -> None:
    """Sketch the files that the command line names."""
    content = json.loads(SKETCHES_FILE.read_text()) if SKETCHES_FILE.is_file() else {}
    for argument in sys.argv[1:]:
        name, _, file = argument.rpartition("=")
        content[name] = sketched(Path(file))
        print(f"{name}: {len(content[name])} tensors")
    lines = [
        f"{json.dumps(name)}: [\n" + ",\n".join(json.dumps(tensor, separators=(",", ":")) for tensor in tensors) + "\n]"
        for name, tensors in sorted(content.items())
    ]
    SKETCHES_FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
