"""The compiled models that are kept: where, and how much."""

from __future__ import annotations

from oakpoint.backends.compiled_models import MOST_BYTES, VARIABLE, entries_of, model_cache
from oakpoint.doctor.findings import Finding

TOPIC, NAME = "inference", "compiled models"


def examine_model_cache() -> list[Finding]:
    """One finding: the folder, how many entries and how large; none of it is needed."""
    folder = model_cache()
    if folder is None:
        return [Finding(topic=TOPIC, name=NAME, state="good", text=f"none are kept: {VARIABLE} is off")]
    try:
        sizes = [known.st_size for known in entries_of(folder).values()]
    except OSError as error:
        text = f"{folder}: cannot be read ({error.strerror}); models are compiled at every start"
        return [Finding(topic=TOPIC, name=NAME, state="missing", text=text, mend=f"rm -r '{folder}'")]
    entries = f"{len(sizes)} in {folder}, {sum(sizes) / 1e6:.0f} of at most {MOST_BYTES / 1e6:.0f} MB"
    return [Finding(topic=TOPIC, name=NAME, state="good", text=entries)]
