"""Verdicts: checkpoints that stand behind the prose, and checks for the exercises.

A verdict line says the same on every machine, so that the notebook tests can compare it; the measured value appears only
when a checkpoint fails.
"""

from collections.abc import Callable

from mia_helpers.metrics import Estimate


def between(what: str, value: float | Estimate, low: float, high: float) -> None:
    """Print `✓ what lies in [low, high]`, or raise AssertionError with the value. For an Estimate its value counts."""
    value = value.value if isinstance(value, Estimate) else float(value)
    if not low <= value <= high:
        raise AssertionError(f"✗ {what} is {value:.4g}, outside [{low:g}, {high:g}]")
    print(f"✓ {what} lies in [{low:.4g}, {high:.4g}]")


def holds(what: str, condition: bool) -> None:
    """Print `✓ what`, or raise AssertionError. For statements that are not a band around one number."""
    if not condition:
        raise AssertionError(f"✗ not so: {what}")
    print(f"✓ {what}")


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
    if verdict is None:
        print(f"✓ exercise {number}: {success}")
    elif verdict is NOT_ATTEMPTED:
        print(f"… exercise {number} not attempted yet")
    else:
        print(f"✗ exercise {number}, not yet: {verdict}")


NOT_ATTEMPTED = "not attempted"
