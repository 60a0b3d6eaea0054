"""What notebook 06 draws: a digit and its shadows' answers, quantiles against a normal law, strength, controls, exposure."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from scipy.stats import norm

from mia_helpers.metrics import Estimate
from mia_helpers.plots import KINDS, MEMBER, NEUTRAL, NON_MEMBER

LIMITS, N_BINS = (-12.0, 26.0), 38  # one bin a unit of logit confidence
COLOURS = (MEMBER, NON_MEMBER, NEUTRAL)


def answers(values: ArrayLike, inside: ArrayLike, target: float | None = None, *, ax: Axes) -> Axes:
    """What S shadows answer about one example: those that had it upwards, the others downwards; the target's as a line.

    Args:
        values: logit confidence, `[S]`; what lies beyond the axis is counted in the outermost bar.
        inside: which shadows had the example, bool `[S]`.
        target: the target's logit confidence.

    Raises:
        ValueError: not one value and one bool for each shadow.
    """
    phi, had = np.clip(np.asarray(values, dtype=np.float64), *LIMITS), np.asarray(inside)
    if phi.ndim != 1 or phi.shape != had.shape or had.dtype != bool:
        raise ValueError(f"expected a value and a bool for each shadow, got {list(phi.shape)}, {list(had.shape)}")
    most = 1
    for rows, sign, colour, name in ((had, 1, MEMBER, "had it"), (~had, -1, NON_MEMBER, "had it not")):
        counts, edges = np.histogram(phi[rows], bins=N_BINS, range=LIMITS)
        ax.bar(edges[:-1], sign * counts, width=np.diff(edges), align="edge", color=colour, alpha=0.7)
        ax.annotate(name, (0.01, 0.5 + 0.42 * sign), xycoords="axes fraction", color=colour, va="center", fontsize="small")
        most = max(most, int(counts.max()))
    ax.axhline(0, color=NEUTRAL, linewidth=0.8)
    if target is not None:
        ax.axvline(float(np.clip(target, *LIMITS)), color="black", linewidth=2)
    ax.set(xlim=LIMITS, ylim=(-1.3 * most, 1.3 * most), yticks=(), xlabel="logit confidence φ")
    return ax


def card(image: ArrayLike, values: ArrayLike, inside: ArrayLike, target: float, title: str = "") -> Figure:
    """A digit `[28, 28]` (or `[1, 28, 28]`) beside what shadows and target answer about it; arguments as in `answers`."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.2), width_ratios=(1, 4), layout="constrained")
    left.imshow(np.asarray(image).reshape(28, 28), cmap="gray_r", vmin=0, vmax=1)
    left.set(xticks=(), yticks=())
    answers(values, inside, target, ax=right)
    right.set_title(title, fontsize=10)
    return figure


def quantiles(groups: Mapping[str, ArrayLike], *, ax: Axes) -> Axes:
    """Q–Q plot: each group's values `[n]`, in standard deviations, against those of a normal law; on the line: normal."""
    for (name, values), colour in zip(groups.items(), COLOURS):
        ordered = np.sort(np.asarray(values, dtype=float))
        places = np.unique(np.round(np.linspace(0, len(ordered) - 1, 400)).astype(int))
        expected = norm.ppf((places + 0.5) / len(ordered))
        ax.plot(expected, (ordered[places] - ordered.mean()) / ordered.std(), ".", ms=3, color=colour, label=name)
    ax.plot([-4, 4], [-4, 4], color=NEUTRAL, linestyle=":")
    ax.set(xlim=(-4, 4), ylim=(-6, 6), xlabel="normal law", ylabel="measured")
    ax.legend(frameon=False, loc="upper left", markerscale=3, fontsize="small")
    return ax


def strength(curves: Mapping[str, Mapping[int, Estimate]]) -> Figure:
    """AUC with its interval against the number of shadows: name -> number -> estimate."""
    figure, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
    for shift, (name, points), (mark, colour) in zip((0.97, 1, 1.03), curves.items(), KINDS):
        x, estimates = np.array(list(points)) * shift, list(points.values())
        values = [e.value for e in estimates]
        errors = [[e.value - e.low for e in estimates], [e.high - e.value for e in estimates]]
        ax.errorbar(x, values, errors, fmt=f"{mark}-", capsize=3, color=colour, label=name)
    numbers = sorted({n for points in curves.values() for n in points})
    ax.axhline(0.5, color=NEUTRAL, linestyle=":")
    ax.set(xscale="log", xlabel="number of shadows", ylabel="AUC, mean over targets")
    ax.set_xticks(numbers, [str(n) for n in numbers])
    ax.minorticks_off()
    ax.legend(frameon=False, loc="lower right")
    return figure


def exposure(members: ArrayLike, non_members: ArrayLike) -> Figure:
    """Share accused in each group of candidates, from the least exposed to the most: `[n]` each."""
    figure, ax = plt.subplots(figsize=(7, 2.8), layout="constrained")
    places = np.arange(1, len(np.asarray(members)) + 1)
    for shift, shares, colour, name in (
        (-0.2, members, MEMBER, "members"),
        (0.2, non_members, NON_MEMBER, "non-members"),
    ):
        ax.bar(places + shift, np.asarray(shares), width=0.4, color=colour, label=name)
    ax.set(xlabel="tenth of the candidates, from the least exposed to the most", ylabel="share accused", xticks=places)
    ax.legend(frameon=False, loc="upper left")
    return figure
