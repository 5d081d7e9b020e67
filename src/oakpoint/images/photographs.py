"""Photographs that come inside the wheels of scikit-image and scikit-learn; nothing is downloaded."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

SCIKIT_IMAGE = ("astronaut", "camera", "chelsea", "coffee", "coins", "motorcycle_left", "rocket", "brick")
"""Files of ``skimage/data``: faces, fur, objects, a wall."""

SCIKIT_LEARN = ("china", "flower")
"""Files of ``sklearn/datasets/images``: a palace, a flower."""

_PLACES = (("skimage", "data", SCIKIT_IMAGE), ("sklearn", "datasets/images", SCIKIT_LEARN))


def photographs_in_wheels() -> dict[str, Path]:
    """The photographs that are installed, by name; none without either package. Neither package is imported."""
    found: dict[str, Path] = {}
    for package, subfolder, names in _PLACES:
        spec = find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            continue
        folder = Path(spec.submodule_search_locations[0]) / subfolder
        for name in names:
            found |= {path.stem: path for path in folder.glob(f"{name}.*") if path.suffix in (".png", ".jpg")}
    return found
