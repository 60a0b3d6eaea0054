"""What notebook 06 draws: a digit and its shadows' answers, normal laws and quantiles against them, strength, exposure."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike
from scipy.stats import norm

from mia_helpers.metrics import Estimate
from mia_helpers.plots import KINDS, MEMBER, NEUTRAL, NON_MEMBER, chance_line

# How groups of points look: told apart without colour, too.
MARKS = (("o", 4, MEMBER), ("x", 4, NON_MEMBER), ("^", 4, NEUTRAL))
LIMITS, N_BINS = (-12.0, 26.0), 38  # one bin a unit of logit confidence
FEWEST = 6  # shadows to which each side of the axis reaches at least, so that most cards have one scale


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
    most = FEWEST
    for rows, sign, colour, name in ((had, 1, MEMBER, "had it"), (~had, -1, NON_MEMBER, "had it not")):
        counts, edges = np.histogram(phi[rows], bins=N_BINS, range=LIMITS)
        ax.bar(edges[:-1], sign * counts, width=np.diff(edges), align="edge", color=colour, alpha=0.7)
        ax.annotate(name, (1.01, 0.5 + 0.25 * sign), xycoords="axes fraction", va="center", fontsize=9)
        most = max(most, int(counts.max()))
    ax.axhline(0, color=NEUTRAL, linewidth=0.8)
    if target is not None:
        ax.axvline(float(np.clip(target, *LIMITS)), color="black", linewidth=2)
    ax.set(xlim=LIMITS, ylim=(-1.1 * most, 1.1 * most), xlabel="logit confidence φ", ylabel="shadows")
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")  # downwards, too, it is a number of shadows
    return ax


def card(image: ArrayLike, values: ArrayLike, inside: ArrayLike, target: float, title: str = "") -> Figure:
    """A digit `[28, 28]` (or `[1, 28, 28]`) beside what shadows and target answer about it; arguments as in `answers`."""
    figure, axes = plt.subplots(1, 2, figsize=(7, 2.2), width_ratios=(1, 3.6), layout="constrained")
    _card(axes, image, values, inside, target)
    axes[1].set_title(title, fontsize=10)
    return figure


def cards(images: ArrayLike, values: ArrayLike, inside: ArrayLike, titles: Sequence[str]) -> Figure:
    """Several digits `[N, 28, 28]`, one a row, all on one scale; values and inside are `[S, N]`, the rest as in `card`."""
    images, values, inside = np.asarray(images), np.asarray(values), np.asarray(inside)
    n = len(titles)
    size = (7, 1.4 * n + 0.4)
    figure, axes = plt.subplots(n, 2, figsize=size, width_ratios=(1, 5), squeeze=False, sharex="col", layout="constrained")
    for i, row in enumerate(axes):
        _card(row, images[i], values[:, i], inside[:, i], None)
        row[0].set_title(titles[i], fontsize=10)
    most = max(ax.get_ylim()[1] for ax in axes[:, 1])
    for ax in axes[:, 1]:
        ax.set(ylim=(-most, most), xlabel="")
    axes[-1, 1].set_xlabel("logit confidence φ")
    return figure


def _card(axes: Sequence[Axes], image: ArrayLike, values: ArrayLike, inside: ArrayLike, target: float | None) -> None:
    left, right = axes
    left.imshow(np.asarray(image).reshape(28, 28), cmap="gray_r", vmin=0, vmax=1)
    left.set(xticks=(), yticks=())
    answers(values, inside, target, ax=right)


def laws(of: Mapping[str, Any], answer: float) -> Axes:
    """Normal laws and where the target's answer, a black line, meets them.

    Of a single law the share below the answer is shaded. Of two the heights at the answer are marked, and in the legend.

    Args:
        of: name -> law, as `scipy.stats.norm(mean, sd)` gives it; the out-shadows' first.
    """
    ax = plt.subplots(figsize=(7, 2.1), layout="constrained")[1]
    low = min(law.mean() - 4 * law.std() for law in of.values())
    high = max(law.mean() + 4 * law.std() for law in of.values())
    x = np.linspace(low, high, 500)
    for (name, law), (line, colour) in zip(of.items(), (("--", NON_MEMBER), ("-", MEMBER))):
        height = law.pdf(answer)
        ax.plot(x, law.pdf(x), line, color=colour, label=name if len(of) == 1 else f"{name}: {height:.3f}")
        if len(of) == 1:
            ax.fill_between(x, law.pdf(x), where=x <= answer, color=colour, alpha=0.3)
        else:
            ax.plot(answer, height, "o", color=colour)
    ax.axvline(answer, color="black", linewidth=2, zorder=0)
    ax.set(xlim=(low, high), ylim=(-0.02, None), xlabel="logit confidence φ", ylabel="density")
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9)
    return ax


def quantiles(groups: Mapping[str, ArrayLike], *, ax: Axes) -> Axes:
    """Q–Q plot: each group's values `[n]`, in standard deviations, against those of a normal law; on the line: normal.

    A mark stands at every quarter of a standard deviation of the normal law, as far as there are values. For three groups
    at most. What lies more than 7 standard deviations out is drawn there.
    """
    for (name, values), (mark, size, colour) in zip(groups.items(), MARKS):
        ordered = np.sort(np.asarray(values, dtype=float))
        places = np.unique((norm.cdf(np.arange(-4.25, 4.5, 0.25)) * len(ordered)).astype(int))
        expected = norm.ppf((places + 0.5) / len(ordered))
        measured = np.clip((ordered[places] - ordered.mean()) / ordered.std(), -7, 7)
        ax.plot(expected, measured, mark, ms=size, mfc="none", color=colour, label=name)
    ax.plot([-4.5, 4.5], [-4.5, 4.5], color="black", linestyle=":", label="normal law")
    ax.set(xlim=(-4.5, 4.5), ylim=(-7.4, 7.4), xlabel="normal law (s.d.)", ylabel="measured (s.d.)")
    ax.legend(frameon=False, loc="upper left", fontsize=9)
    return ax


def strength(curves: Mapping[str, Mapping[int, Estimate]]) -> Figure:
    """AUC with its interval against the number of shadows: name -> number -> estimate."""
    figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
    for shift, (name, points), (mark, colour) in zip((0.97, 1, 1.03), curves.items(), KINDS):
        x, estimates = np.array(list(points)) * shift, list(points.values())
        values = [e.value for e in estimates]
        errors = [[e.value - e.low for e in estimates], [e.high - e.value for e in estimates]]
        ax.errorbar(x, values, errors, fmt=f"{mark}-", capsize=3, color=colour, label=name)
    numbers = sorted({n for points in curves.values() for n in points})
    chance_line(ax, 0.5, horizontal=True)
    ax.set(xscale="log", xlabel="number of shadows", ylabel="AUC, mean over targets")
    ax.set_ylim(bottom=min(0.48, ax.get_ylim()[0]))
    ax.set_xticks(numbers, [str(n) for n in numbers])
    ax.minorticks_off()
    ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    return figure


def exposure(members: ArrayLike, non_members: ArrayLike) -> Figure:
    """Share accused in each group of candidates, from the least exposed to the most: `[n]` each."""
    figure, ax = plt.subplots(figsize=(7, 2.8), layout="constrained")
    places = np.arange(1, len(np.asarray(members)) + 1)
    for shift, shares, colour, hatch, name in (
        (-0.2, members, MEMBER, "", "members"),
        (0.2, non_members, NON_MEMBER, "////", "non-members"),
    ):
        ax.bar(places + shift, np.asarray(shares), width=0.4, color=colour, hatch=hatch, edgecolor="white", label=name)
    ax.set(xlabel="tenth of the candidates, from the least exposed to the most", ylabel="share accused", xticks=places)
    ax.legend(frameon=False, loc="upper left")
    return figure
