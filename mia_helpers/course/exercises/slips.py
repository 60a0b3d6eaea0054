"""Wrong numbers that come from a slip which is known."""

from collections.abc import Mapping
from math import isclose


def known(found: float, told: Mapping[float, str], **closeness: float) -> str:
    """A semicolon and the slip by which `found` comes about, from `told` (number -> slip); "" if none of them gives it.

    closeness: as `math.isclose` takes it.
    """
    return next((f"; {slip}" for number, slip in told.items() if isclose(found, number, **closeness)), "")
