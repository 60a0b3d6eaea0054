"""Checks for the exercises of notebook 02."""

from collections.abc import Callable
from math import e, isclose, log

from mia_helpers.course.checks import NOT_ATTEMPTED, exercise


def exercise_2_1(floor: Callable[[int], float]) -> None:
    """The lowest loss of a double softmax, for any number of classes."""

    def check() -> str | None:
        if floor(10) is None:
            return NOT_ATTEMPTED
        for n_classes in (2, 10, 100):
            expected = log(e + n_classes - 1) - 1
            if not isclose(floor(n_classes), expected, rel_tol=1e-3):
                return f"floor({n_classes}) gives {floor(n_classes):.4g}, which is not the loss at probability 1"
        return None

    exercise("2.1", check, "the floor is 1.461 for 10 classes and rises with their number")


def exercise_2_2(gap_of: Callable[[int], float]) -> None:
    """The generalisation gap as a function of the number of members."""

    def check() -> str | None:
        few = gap_of(250)
        if few is None:
            return NOT_ATTEMPTED
        many = gap_of(1000)
        if not 0.05 < few < 0.3:
            return f"gap_of(250) is {few:.3f}; members should be read better than non-members by 0.05 to 0.3"
        return None if many < few else f"gap_of(1000) is {many:.3f}, not smaller than gap_of(250), {few:.3f}"

    exercise("2.2", check, "the gap grows as members get fewer")
