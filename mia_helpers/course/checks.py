"""Verdicts: checkpoints that stand behind the prose, and checks for the exercises.

A checkpoint prints the sentence that it stands for, and nothing that differs between machines, so that the notebook tests
can compare it; the measured value and the band appear only when it fails. With `MIA_CLAIMS_FILE` set (`tests/shake.py` does
so) every claim's value is appended to that file, one JSON object a line, and one that fails does not stop the notebook. With
`MIA_STRICT_EXERCISES` set (the tests do so) an exercise that is not passed raises, so that a solution is known to pass. With
`MIA_SCORES_FILE` set, verdicts on exercises are noted for a teacher (`mia_helpers.course.scores`).
"""

import contextlib
import io
import json
import linecache
import math
import os
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

from mia_helpers.course.scores import note
from mia_helpers.metrics import Estimate

NOT_ATTEMPTED = "not attempted"
NOT_YET = "… exercise {} not attempted yet"  # printed where nothing was written
Number = float | Estimate


def between(what: str, value: Number | Mapping[str, Number], low: float, high: float) -> None:
    """Print `✓ what`, or raise AssertionError with the value and the band.

    Args:
        what: a sentence that a reader would say ("members' loss ends near zero").
        value: the measured number (of an Estimate its value), or several by name, if the sentence is about all of them.
        low: lower end of the band, included.
        high: upper end, included.
    """
    _claim(what, value, low, high)


def at_least(what: str, value: Number | Mapping[str, Number], low: float) -> None:
    """`between` without an upper end: there is a natural limit (a share cannot exceed 1), or more would be as true."""
    _claim(what, value, low, None)


def at_most(what: str, value: Number | Mapping[str, Number], high: float) -> None:
    """`between` without a lower end."""
    _claim(what, value, None, high)


def holds(what: str, condition: bool) -> None:
    """Print `✓ what`, or raise AssertionError.

    For what is true or false by construction ("the same scores"). A comparison of two measured numbers has a margin, so it
    is a difference with a band: `at_least("LiRA finds more than the loss threshold", difference of AUCs, 0.02)`.
    """
    _verdict(what, "not so" if not _one(what, None, None, None, bool(condition)) else "")


def _claim(what: str, value: Number | Mapping[str, Number], low: float | None, high: float | None) -> None:
    what = what.strip()
    values = {f"{what}: {name}": v for name, v in value.items()} if isinstance(value, Mapping) else {what: value}
    if not values:
        raise ValueError(f"{what!r} is about nothing: no value was given")
    band = f"[{'-∞' if low is None else f'{low:g}'}, {'∞' if high is None else f'{high:g}'}]"
    outside = []
    for words, number in values.items():
        number = float(number.value if isinstance(number, Estimate) else number)
        held = (low is None or number >= low) and (high is None or number <= high)  # written so that NaN fails
        if not _one(words, number, low, high, held and not math.isnan(number)):
            outside.append(f"{words.removeprefix(what).removeprefix(': ')} {number:.4g}".strip())
    _verdict(what, f"{', '.join(outside)} outside {band}" if outside else "")


def _one(words: str, value: float | None, low: float | None, high: float | None, held: bool) -> bool:
    finite = value is not None and math.isfinite(value)
    _record({"words": words, "value": value if finite else None, "low": low, "high": high, "held": held})
    return held


def _verdict(what: str, wrong: str) -> None:
    if wrong and not _recording():
        raise AssertionError(f"✗ {what}: {wrong}\n(The run stops at this cell: nothing below it has been run.)")
    print(f"✗ {what}: {wrong}" if wrong else f"✓ {what}")


def _recording() -> str | None:
    return os.environ.get("MIA_CLAIMS_FILE")


def _record(claim: dict) -> None:
    """Append `claim` to the file that `MIA_CLAIMS_FILE` names, if it names one."""
    if path := _recording():
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(claim) + "\n")


def exercise(number: str, check: Callable[[], str | None], success: str) -> None:
    """Print the verdict on an exercise; does not raise where a reader is at work.

    Args:
        number: as in the heading, e.g. `"2.1"`.
        check: returns None if all is well, `NOT_ATTEMPTED`, or a sentence that says what is missing.
        success: what the reader has shown.
    """
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            verdict = check()
    except Exception as error:  # noqa: BLE001 (whatever the reader's code raises is part of the verdict)
        verdict = f"it stops{_place(error)} with {type(error).__name__}: {error}"
    if verdict is NOT_ATTEMPTED and printed.getvalue():
        verdict = "it prints, but returns None; return what it prints"
    else:
        print(printed.getvalue(), end="")
    if verdict is NOT_ATTEMPTED:
        print(NOT_YET.format(number))
        return
    note(number, "passed" if verdict is None else "not yet")
    _one(f"the solution of exercise {number} passes its check", None, None, None, verdict is None)
    if verdict is not None and os.environ.get("MIA_STRICT_EXERCISES"):
        raise AssertionError(f"✗ exercise {number}: {verdict}")
    print(f"✓ exercise {number}: {success}" if verdict is None else f"✗ exercise {number}, not yet: {verdict}")


def _place(error: Exception) -> str:
    """The last line that led to the error in the cell of the function that is checked; "" if there is none.

    That function is the first of the notebook's that a check calls. What it calls may stand in other cells, which are given.
    """
    places = [
        (f.f_code.co_filename, n) for f, n in traceback.walk_tb(error.__traceback__) if f.f_globals["__name__"] == "__main__"
    ]
    own = [place for place in places if place[0] == places[0][0]]
    return f" in line {own[-1][1]} of its cell, `{linecache.getline(*own[-1]).strip()}`," if own else ""
