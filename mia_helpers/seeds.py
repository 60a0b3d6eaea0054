"""One switch that changes every draw at once: `MIA_SEED_SHIFT`.

A whole number, added to the seed of every training and of every draw of members, shadows and patients. Unset or 0: the
numbers that the course prints. `tests/shake.py` uses it to find out which claims hold for other seeds, too. Which images
belong to whom, bootstraps and permutations stay as they are. The shift is part of every cache key.
"""

import os

VARIABLE = "MIA_SEED_SHIFT"


def seed_shift() -> int:
    """What is added to every seed.

    Raises:
        ValueError: `MIA_SEED_SHIFT` is not a whole number, or negative.
    """
    text = os.environ.get(VARIABLE) or "0"
    if not text.strip().isdecimal():
        raise ValueError(f"{VARIABLE} must be a whole number of 0 or more, for instance 1000; got {text!r}")
    return int(text)


def shifted(seed: int) -> int:
    """`seed` plus the shift."""
    return seed + seed_shift()
