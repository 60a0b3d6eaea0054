"""Answers and thresholds on two scales, probability and logit confidence: what notebooks 02 and 03 draw."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from numpy.typing import ArrayLike
from scipy.special import expit, logit

from mia_helpers import plots

TAIL, BAND = 3.0, (4.0, 8.0)  # of φ: what members lack lies below the first, most of what they have more of in the second
LIMITS = (-10.0, 30.0)  # of φ in the picture; what lies beyond is counted in the outermost bars
TICKS = (0.5, 0.99, 0.9999)  # probabilities that are marked above φ, as far apart as they are on its scale
SPREAD = (float(logit(0.1)), float(logit(1 - 1e-7)))  # an axis of confidences that spreads out the sure ones
PLACES = (0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999)  # what is marked on it


def advantages(member_values: ArrayLike, non_member_values: ArrayLike, thresholds: ArrayLike) -> np.ndarray:
    """Members caught minus non-members accused, `[T]`, at each of `thresholds` `[T]` ("member" from there on).

    Values are one-dimensional, in any order. The shares are taken of each group.
    """
    below = [
        np.searchsorted(np.sort(np.asarray(values)), thresholds, side="left") / len(np.asarray(values))
        for values in (member_values, non_member_values)
    ]
    return below[1] - below[0]


def two_scales(member_phi: ArrayLike, non_member_phi: ArrayLike, threshold: float | None = None) -> Figure:
    """Probability (left) and logit confidence φ (right) of the true class: both groups, and advantages of thresholds.

    Args:
        member_phi, non_member_phi: logit confidences `[N]` and `[M]`. threshold: of φ, a dashed line in all panels.

    Members lack the tail, below φ = 3; most of what is missing there is in the band, φ = 4 … 8.
    """
    groups = [np.asarray(values, dtype=np.float64) for values in (member_phi, non_member_phi)]
    figure, axes = plt.subplots(
        2, 2, figsize=(7, 4.8), sharex="col", height_ratios=(1.4, 1), width_ratios=(1, 1.3), layout="constrained"
    )
    columns = (
        (axes[:, 0], expit, (0.0, 1.0), 20, "probability of the true class"),
        (axes[:, 1], np.asarray, LIMITS, 40, "logit confidence φ of the true class"),
    )
    for (top, bottom), scale, limits, bins, name in columns:
        members, non_members = (scale(values) for values in groups)
        plots.confidence_histograms(members, non_members, ax=top, bins=bins, limits=limits, label="", log=top is axes[0, 0])
        grid = np.linspace(*limits, 2001)
        bottom.plot(grid, advantages(members, non_members, grid), color="black", linewidth=1.4)
        bottom.axhline(0, color=plots.NEUTRAL, linewidth=0.6)
        bottom.set_xlabel(name)
        for ax in (top, bottom):
            ax.axvspan(limits[0], scale(TAIL), color=plots.NEUTRAL, alpha=0.12, linewidth=0)
            hatched = {"facecolor": "none", "edgecolor": plots.NEUTRAL, "hatch": "////", "linewidth": 0, "zorder": 0}
            ax.axvspan(scale(BAND[0]), scale(BAND[1]), alpha=0.6, **hatched)
            if threshold is not None:
                ax.axvline(scale(threshold), color="black", linestyle="--", linewidth=1)
    axes[0, 1].get_legend().remove()
    for ax in axes[1]:
        ax.set_ylabel("advantage of\nthe threshold")
    axes[1, 1].sharey(axes[1, 0])
    axes[1, 0].autoscale(axis="y")  # to the higher of the two
    _mark(axes[0, 1])
    return figure


def _mark(ax: Axes) -> None:
    """Above the axis of φ, the probabilities that belong to it; within it, the names of the two regions."""
    above = ax.secondary_xaxis("top", functions=(np.asarray, np.asarray))
    above.set_xticks([float(logit(p)) for p in TICKS], [f"{p:g}" for p in TICKS], fontsize=9)
    above.get_xticklabels()[-1].set_horizontalalignment("left")  # its neighbour needs the room
    ax.annotate("probability", (-2.5, 1), (0, 5), ("data", "axes fraction"), "offset points", fontsize=9, ha="right")
    ax.set_ylim(top=1.15 * ax.get_ylim()[1])
    for x, name, side in ((TAIL - 6.5, "tail", "center"), (BAND[1] + 0.5, "band", "left")):
        ax.annotate(name, (x, 0.97), xycoords=("data", "axes fraction"), ha=side, va="top")


def compared(panels: Mapping[str, tuple[ArrayLike, ArrayLike]], names: tuple[str, str]) -> Figure:
    """Two models' confidences over each other, a panel for each entry: label -> values of the first and of the second.

    The axes are those of `cut`.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(7, 3), sharey=True, squeeze=False, layout="constrained")
    for ax, (label, pair) in zip(axes[0], panels.items()):
        first, second = (_spread(values) for values in pair)
        colours = (plots.SERIES[2], plots.SERIES[3])
        plots.confidence_histograms(first, second, ax=ax, bins=24, limits=SPREAD, names=names, colours=colours, label="")
        _name_places(ax, label, PLACES[::2])
    for ax in axes[0, 1:]:
        ax.set_ylabel("")
        ax.get_legend().remove()
    axes[0, 0].legend(loc="upper left")
    return figure


def cut(member_values: ArrayLike, non_member_values: ArrayLike, threshold: float) -> Figure:
    """Histograms of two groups' confidences, and a `threshold` on them as a black line.

    Args:
        member_values, non_member_values: confidences of one model, `[N]` and `[M]`.

    The axes are for the eye: the horizontal one spreads out sure answers as φ does (what lies beyond is counted in the
    outermost bar), and heights are logarithmic.
    """
    figure, ax = plt.subplots(figsize=(7, 2.8), layout="constrained")
    groups = (_spread(values) for values in (member_values, non_member_values))
    plots.confidence_histograms(*groups, ax=ax, bins=24, limits=SPREAD, label="")
    ax.axvline(float(_spread(threshold)), color="black", linewidth=3)
    ax.legend(loc="upper left", framealpha=1)  # the line runs behind it
    _name_places(ax, "confidence (largest probability)")
    return figure


def thresholds_on_curve(member_values: ArrayLike, non_member_values: ArrayLike, thresholds: ArrayLike) -> Figure:
    """What each threshold on a confidence is worth on one model, and where others' `thresholds` fall on that curve.

    Args:
        member_values, non_member_values: confidences of the model, `[N]` and `[M]`. thresholds: dashed lines, `[T]`.

    Both axes are for the eye: the horizontal one spreads out sure answers as φ does.
    """
    grid, thresholds = np.linspace(*SPREAD, 1001), np.asarray(thresholds, dtype=np.float64)
    figure, ax = plt.subplots(figsize=(7, 2.8), layout="constrained")
    ax.plot(grid, advantages(member_values, non_member_values, expit(grid)), color="black", linewidth=1.4)
    ax.axhline(0, color=plots.NEUTRAL, linewidth=0.6)
    for x, worth in zip(_spread(thresholds), advantages(member_values, non_member_values, thresholds)):
        ax.axvline(x, color=plots.SERIES[3], linestyle="--", linewidth=1)
        ax.plot(x, worth, "o", color=plots.SERIES[3], clip_on=False)
    ax.set(xlim=SPREAD, ylabel="advantage on the target")
    _name_places(ax, "threshold on the confidence")
    return figure


def moved(images: ArrayLike, before: ArrayLike, after: ArrayLike, names: Sequence[str], others: ArrayLike) -> Figure:
    """Where digits stand on φ for two networks: an arrow for each, from the one without it to the one trained with it.

    Args:
        images: the digits `[N, 1, 28, 28]` (or `[N, 28, 28]`), to the left of their rows. names: what each is called.
        before, after: of each its φ, `[N]`. others: φ of the second network's other members; the middle 90 % are hatched.

    What lies beyond the axis is drawn at its end.
    """
    images, n = np.asarray(images).reshape(-1, 28, 28), len(names)
    low, high = -25.0, 15.0
    starts, ends = (np.clip(np.asarray(values, dtype=np.float64), low, high) for values in (before, after))
    figure, ax = plt.subplots(figsize=(7, 0.36 * n + 1.0), layout="constrained")
    first, last = np.quantile(np.asarray(others, dtype=np.float64), (0.05, 0.95)).tolist()
    region = ax.axvspan(first, last, alpha=0.6, linewidth=0, zorder=0, label="nine in ten of its other members")
    region.set(facecolor="none", edgecolor=plots.NEUTRAL, hatch="////")
    for row, (image, start, end) in enumerate(zip(images, starts, ends)):
        ax.annotate("", (end, row), (start, row), arrowprops={"arrowstyle": "->", "color": "black", "linewidth": 1.2})
        picture = OffsetImage(image, zoom=0.8, cmap="gray_r", clim=(0, 1))
        ax.add_artist(AnnotationBbox(picture, (0, row), (-16, 0), ("axes fraction", "data"), "offset points", frameon=False))
    ax.plot(starts, range(n), "x", color=plots.NON_MEMBER, label="trained without it", clip_on=False)
    ax.plot(ends, range(n), "o", color=plots.MEMBER, label="trained with it", clip_on=False)
    ax.set(xlim=(low, high), ylim=(n - 0.4, -0.6), xlabel="logit confidence φ of the name in training")
    ax.set_yticks(range(n), names)
    ax.tick_params(axis="y", length=0, pad=34)
    ax.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
    return figure


def worth_of_shadows(shadows: pd.DataFrame, gap_attack: float, best: Mapping[str, float]) -> Figure:
    """What each shadow's threshold is worth on the target, a row for each kind of shadow, a panel for each signal.

    Args:
        shadows: a row for each shadow, its kind as index, and for each signal a column "worth, " and its name.
        gap_attack: what the gap attack has without any shadow, a dashed line.
        best: signal -> what the best threshold on the target has, a dotted line.

    A kind "yours" is drawn with stars.
    """
    kinds = list(dict.fromkeys(shadows.index))
    inches = (7, 0.42 * len(kinds) + 1.3)
    figure, axes = plt.subplots(1, len(best), figsize=inches, sharey=True, sharex=True, layout="constrained")
    for ax, (name, highest) in zip(np.atleast_1d(axes), best.items()):
        ax.axvline(gap_attack, color="black", linestyle="--", linewidth=1, label="gap attack, no shadow")
        ax.axvline(highest, color="black", linestyle=":", linewidth=1, label="best threshold")
        for row, kind in enumerate(kinds):
            values = np.sort(np.atleast_1d(shadows.loc[[kind], f"worth, {name}"]))
            heights = row + 0.25 * ((np.arange(len(values)) % 3) - 1) * (len(values) > 1)  # so that equal ones are seen
            mark, size, colour = ("*", 12, "black") if kind == "yours" else ("o", 6, plots.MEMBER)
            ax.plot(values, heights, linestyle="", marker=mark, markersize=size, color=colour, clip_on=False)
        ax.set(title=f"on {name}", xlabel="advantage on the target")
    first = np.atleast_1d(axes)[0]
    first.set(ylim=(len(kinds) - 0.5, -0.5), xlim=(-0.005, None))
    first.set_yticks(range(len(kinds)), kinds)
    figure.legend(*first.get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    return figure


def _spread(confidences: ArrayLike) -> np.ndarray:
    """Where confidences lie on the axis that spreads out sure answers; what is beyond it comes to its ends."""
    return np.clip(logit(np.minimum(np.asarray(confidences, dtype=np.float64), 1 - 1e-12)), *SPREAD)


def _name_places(ax: Axes, label: str, places: Sequence[float] = PLACES) -> None:
    ax.set_xticks([float(logit(p)) for p in places], [f"{p:.6g}" for p in places])
    ax.set_xlabel(label)
