"""Whether there is a screen to show things on."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from oakpoint.doctor.findings import Finding

TOPIC = "display"
VARIABLES = ("WAYLAND_DISPLAY", "DISPLAY")


def examine_display(environment: Mapping[str, str] = os.environ, system: str = sys.platform) -> list[Finding]:
    """One finding; nothing that oakpoint does needs a screen."""
    if system != "linux":
        return [Finding(topic=TOPIC, name="screen", state="good", text=f"{system} has its own")]
    for variable in VARIABLES:
        if environment.get(variable):
            text = f"{variable}={environment[variable]}"
            return [Finding(topic=TOPIC, name="screen", state="good", text=text)]
    text = "none (neither DISPLAY nor WAYLAND_DISPLAY); nothing needs one, tracks are recorded instead"
    mend = "oakpoint run BUNDLE SOURCE --save tracks.gif"
    return [Finding(topic=TOPIC, name="screen", state="missing", text=text, mend=mend)]
