"""Verdicts: checkpoints that stand behind the prose, and checks for the exercises.

A verdict line says the same on every machine, so that the notebook tests can compare it; the measured value appears only
when a checkpoint fails. With `MIA_CLAIMS_FILE` set (`tests/shake.py` does so) every claim's value is appended to that file,
one JSON object a line, and one that fails does not stop the notebook.
"""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path

from mia_helpers.metrics import Estimate

NOT_ATTEMPTED = "not attempted"


def between(what: str, value: float | Estimate, low: float, high: float) -> None:
    """Print `✓ what lies in [low, high]`, or raise AssertionError with the value. For an Estimate its value counts."""
    value = _number(value)
    _claim(
        what,
        value,
        low,
        high,
        f"{what} lies in [{low:.4g}, {high:.4g}]",
        f"{what} is {value:.4g}, outside [{low:g}, {high:g}]",
    )


def at_least(what: str, value: float | Estimate, low: float) -> None:
    """`between` without an upper end: there is a natural limit (a share cannot exceed 1), or more would be as true."""
    value = _number(value)
    _claim(what, value, low, None, f"{what} is at least {low:.4g}", f"{what} is {value:.4g}, not at least {low:g}")


def at_most(what: str, value: float | Estimate, high: float) -> None:
    """`between` without a lower end."""
    value = _number(value)
    _claim(what, value, None, high, f"{what} is at most {high:.4g}", f"{what} is {value:.4g}, not at most {high:g}")


def holds(what: str, condition: bool) -> None:
    """Print `✓ what`, or raise AssertionError.

    For what is true or false by construction ("the same scores"). A comparison of two measured numbers has a margin, so it
    is a difference with a band: `at_least("LiRA's AUC minus the loss threshold's", …, 0.02)`.
    """
    _claim(what, None, None, None, what, f"not so: {what}", bool(condition))


def _number(value: float | Estimate) -> float:
    return float(value.value if isinstance(value, Estimate) else value)


def _claim(
    what: str,
    value: float | None,
    low: float | None,
    high: float | None,
    success: str,
    failure: str,
    held: bool | None = None,
) -> None:
    if held is None:  # written so that NaN fails
        held = value is not None and bool((low is None or value >= low) and (high is None or value <= high))
    recording = _record(
        {
            "words": what.strip(),
            "value": value if value is not None and math.isfinite(value) else None,
            "low": low,
            "high": high,
            "held": held,
        }
    )
    if not held and not recording:
        raise AssertionError(f"✗ {failure}")
    print(f"✓ {success}" if held else f"✗ {failure}")


def _record(claim: dict) -> bool:
    """Append `claim` to the file that `MIA_CLAIMS_FILE` names; False if there is none."""
    if not (path := os.environ.get("MIA_CLAIMS_FILE")):
        return False
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(json.dumps(claim) + "\n")
    return True


def exercise(number: str, check: Callable[[], str | None], success: str) -> None:
    """Print the verdict on an exercise; never raises, since a reader is at work.

    Args:
        number: as in the heading, e.g. `"2.1"`.
        check: returns None if all is well, `NOT_ATTEMPTED`, or a sentence that says what is missing.
        success: what the reader has shown.
    """
    try:
        verdict = check()
    except Exception as error:  # noqa: BLE001 (whatever the reader's code raises is part of the verdict)
        verdict = f"it stops with {type(error).__name__}: {error}"
    if verdict is not NOT_ATTEMPTED:
        _record(
            {
                "words": f"the solution of exercise {number} passes its check",
                "value": None,
                "low": None,
                "high": None,
                "held": verdict is None,
            }
        )
    if verdict is None:
        print(f"✓ exercise {number}: {success}")
    elif verdict is NOT_ATTEMPTED:
        print(f"… exercise {number} not attempted yet")
    else:
        print(f"✗ exercise {number}, not yet: {verdict}")
