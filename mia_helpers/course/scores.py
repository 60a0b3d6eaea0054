"""A score export for teachers, off unless `MIA_SCORES_FILE` names a file.

Each verdict on an exercise that was attempted, and each submission to the challenge, is one JSON line with three texts:
`{"exercise": "4.1", "verdict": "passed", "time": "2026-01-31T09:30:00Z"}`. The verdict is `passed` or `not yet`, and for a
submission (`"exercise": "challenge A"`) its AUC and place. No answer, no name and no machine is noted; the time is UTC. With
`MIA_READER=nobody` nothing is.
"""

import json
import os
import warnings
from datetime import UTC, datetime

_warned: set[str] = set()


def note(exercise: str, verdict: str) -> None:
    """Append one line to the file that `MIA_SCORES_FILE` names; one that cannot be written is warned about once."""
    if not (path := os.environ.get("MIA_SCORES_FILE")):
        return
    from mia_helpers.course.predictions import nobody  # brings widgets along, which most who import this do not need

    if nobody():
        return
    line = json.dumps({"exercise": exercise, "verdict": verdict, "time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"})
    try:
        with open(os.path.expanduser(path), "a", encoding="utf-8") as file:
            file.write(line + "\n")
    except (OSError, ValueError) as error:  # whatever is wrong with the file, the lesson goes on
        if path not in _warned:
            _warned.add(path)
            warnings.warn(f"scores are not noted: MIA_SCORES_FILE cannot be written ({error})", stacklevel=2)
