"""Outlines of block letters in straight strokes, all of whose corners are known.

The vertices of ``cv2.putText``'s strokes cannot be asked for, so a word drawn with it could only stand there without
its corners, and would teach that letters have none.
"""

from __future__ import annotations

import numpy as np

from oakpoint.training.synthetic.coverage import Contour

HEIGHT = 6
PITCH = 5
"""Letters are 4 units wide, a stroke is about 1 and so is the gap."""


def _outline(numbers: str) -> Contour:
    return np.array(numbers.split(), np.float64).reshape(-1, 2)


GLYPHS: tuple[Contour, ...] = tuple(
    map(
        _outline,
        (
            "0 0 4 0 4 1 1 1 1 5 4 5 4 6 0 6",  # C
            "0 0 4 0 4 1 1 1 1 2.5 3 2.5 3 3.5 1 3.5 1 5 4 5 4 6 0 6",  # E
            "0 0 4 0 4 1 1 1 1 2.5 3 2.5 3 3.5 1 3.5 1 6 0 6",  # F
            "0 0 1 0 1 2.5 3 2.5 3 0 4 0 4 6 3 6 3 3.5 1 3.5 1 6 0 6",  # H
            "1.5 0 2.5 0 2.5 6 1.5 6",  # I
            "0 0 1 0 1 2.4 2.7 0 4 0 2 3 4 6 2.7 6 1 3.6 1 6 0 6",  # K
            "0 0 1 0 1 5 4 5 4 6 0 6",  # L
            "0 0 1.1 0 2 2.4 2.9 0 4 0 4 6 3 6 3 2.8 2 5 1 2.8 1 6 0 6",  # M
            "0 0 1.2 0 3 3.8 3 0 4 0 4 6 2.8 6 1 2.2 1 6 0 6",  # N
            "0 0 4 0 4 1 1 1 1 2.5 4 2.5 4 6 0 6 0 5 3 5 3 3.5 0 3.5",  # S
            "0 0 4 0 4 1 2.5 1 2.5 6 1.5 6 1.5 1 0 1",  # T
            "0 0 1 0 1 5 3 5 3 0 4 0 4 6 0 6",  # U
            "0 0 1.2 0 2 4 2.8 0 4 0 2.6 6 1.4 6",  # V
            "0 0 1.3 0 2 1.9 2.7 0 4 0 2.7 3 4 6 2.7 6 2 4.1 1.3 6 0 6 1.3 3",  # X
            "0 0 1.2 0 2 2.2 2.8 0 4 0 2.5 3.4 2.5 6 1.5 6 1.5 3.4",  # Y
            "0 0 4 0 4 1 1.5 5 4 5 4 6 0 6 0 5 2.5 1 0 1",  # Z
            "0 0 4 0 4 1 2.2 6 1.1 6 2.8 1 0 1",  # 7
            "1.5 1 2.5 1 2.5 2.5 4 2.5 4 3.5 2.5 3.5 2.5 5 1.5 5 1.5 3.5 0 3.5 0 2.5 1.5 2.5",  # +
        ),
    )
)
