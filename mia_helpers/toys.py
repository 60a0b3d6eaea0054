"""The toy of notebook 01: made-up people with two blood values and an outcome, and pictures of a model's answers to them."""

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

VALUES = ("blood value A (standard units)", "blood value B (standard units)")
LIMITS = ((-3.5, 3.5), (-3.2, 3.2))


def people(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw `n` people from one fixed distribution: records float64 `[n, 2]` and outcomes 0 or 1, int64 `[n]`.

    Both outcomes are equally frequent. Value A is normal around −1 (outcome 0) or +1 (outcome 1), value B around 0, both with
    standard deviation 1, so that the best possible model is right for 84 % of all people.

    Raises:
        ValueError: `n` below 1.
    """
    if n < 1:
        raise ValueError(f"want at least one person, got n = {n}")
    rng = np.random.default_rng(seed)
    outcomes = rng.integers(0, 2, n)
    records = rng.normal(size=(n, 2))
    records[:, 0] += 2 * outcomes - 1
    return records, outcomes


def region(model, records: ArrayLike, outcomes: ArrayLike, *, ax: Axes, title: str = "") -> Axes:
    """Colour the plane by the model's probability of outcome 1, with its border at 0.5, and draw people on it.

    Args:
        model: has `predict_proba`, like a classifier of scikit-learn with the classes 0 and 1.
        records: `[n, 2]`. outcomes: 0 or 1, `[n]`; white circles and black triangles.
    """
    records, outcomes = np.asarray(records), np.asarray(outcomes)
    a, b = np.meshgrid(np.linspace(*LIMITS[0], 120), np.linspace(*LIMITS[1], 110))
    probability = model.predict_proba(np.column_stack([a.ravel(), b.ravel()]))[:, 1].reshape(a.shape)
    ax.contourf(a, b, probability, levels=np.linspace(0, 1, 11), cmap="PiYG_r", alpha=0.6)
    ax.contour(a, b, probability, levels=[0.5], colors="black", linewidths=1)
    for outcome, marker, colour in ((0, "o", "white"), (1, "^", "black")):
        ax.scatter(*records[outcomes == outcome].T, marker=marker, s=16, color=colour, edgecolors="black", linewidths=0.6)
    ax.set(xlim=LIMITS[0], ylim=LIMITS[1], xlabel=VALUES[0], ylabel=VALUES[1], title=title, aspect="equal")
    return ax


def star(record: ArrayLike, *, ax: Axes, filled: bool) -> None:
    """Mark one person: a filled star if the record was in the training set, an empty one if not."""
    ax.scatter(*np.asarray(record), marker="*", s=190, color="#E69F00" if filled else "none", edgecolors="black", zorder=3)
