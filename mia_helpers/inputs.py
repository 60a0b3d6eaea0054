"""Checks of what comes in: a value of the right kind, or an error that says what came and what was expected."""

import math
import operator


def whole_number(name: str, value: int, low: int, high: float = math.inf) -> int:
    """`value` as an int, or a TypeError if it is not whole, or a ValueError if it lies outside `low` … `high`."""
    try:
        value = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {value!r}") from None
    if not low <= value <= high:
        limits = f"at least {low}" if high == math.inf else f"from {low} to {high}"
        raise ValueError(f"{name} must be {limits}, got {value}")
    return value


def positive_numbers(**values: float) -> None:
    """A ValueError for the first value that is not positive and finite."""
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be positive and finite, got {value}")
