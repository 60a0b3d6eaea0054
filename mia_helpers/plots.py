"""Figures: data in, a matplotlib figure out. One palette for the whole course, safe for colour-blind readers."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from mia_helpers.metrics import Estimate, n_non_member_people, roc_curve

MEMBER, NON_MEMBER, NEUTRAL = "#0072B2", "#D55E00", "#666666"  # blue, vermilion, grey (Okabe & Ito)
# Vermilion and its neighbour orange mean non-members, nothing else, so no series has them.
SERIES = ("#0072B2", "#882255", "#009E73", "#CC79A7", "#000000", "#56B4E9")
# What several kinds of points in one figure look like: told apart without colour, too.
KINDS = (("o", MEMBER), ("s", NEUTRAL), ("^", SERIES[2]), ("D", "black"))


def confidence_histograms(
    members: ArrayLike,
    non_members: ArrayLike,
    *,
    ax: Axes | None = None,
    bins: int = 25,
    label: str = "confidence",
    limits: tuple[float, float] = (0.0, 1.0),
    log: bool = True,
    names: tuple[str, str] = ("members", "non-members"),
    colours: tuple[str, str] = (MEMBER, NON_MEMBER),
) -> Axes:
    """Two histograms as outlines, the second dashed; values `[N]` each, heights in per cent of each group (log scale)."""
    ax = ax or plt.subplots(figsize=(6, 3.2), layout="constrained")[1]
    edges = np.linspace(*limits, bins + 1).tolist()
    for values, colour, line, name in zip((members, non_members), colours, ("-", "--"), names):
        values = np.clip(np.asarray(values), *limits)
        ax.hist(
            values,
            bins=edges,
            weights=np.full(len(values), 100 / len(values)),
            histtype="stepfilled",
            alpha=0.25,
            color=colour,
        )
        ax.hist(
            values,
            bins=edges,
            weights=np.full(len(values), 100 / len(values)),
            histtype="step",
            linewidth=1.8,
            linestyle=line,
            color=colour,
            label=name,
        )
    ax.set(xlabel=label, ylabel="share of the group (%)", xlim=limits)
    if log:
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.legend(frameon=False, loc="upper left")
    return ax


def roc(scores: Mapping[str, tuple[ArrayLike, ArrayLike]], *, smallest_fpr: float | None = None) -> Figure:
    """ROC curves, linear and log-log side by side, with the chance line; arguments as in `roc_axes`."""
    height = 3.5 + 0.2 * -(-(len(scores) + 1) // 2)  # of the panels, and a row of the legend for two names
    figure, (linear, loglog) = plt.subplots(1, 2, figsize=(7, height), layout="constrained")
    roc_axes(scores, ax=linear)
    roc_axes(scores, ax=loglog, log=True, smallest_fpr=smallest_fpr)
    figure.legend(*linear.get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=2)
    return figure


def roc_axes(
    scores: Mapping[str, tuple[ArrayLike, ArrayLike]], *, ax: Axes, log: bool = False, smallest_fpr: float | None = None
) -> Axes:
    """ROC curves with the chance line.

    Args:
        scores: name -> (scores `[N]`, is_member bool `[N]`), or `[T, N]` each: T targets pooled.
        log: logarithmic axes, from `smallest_fpr` on; default: the smallest that the data support (10 false positives).
    """
    for i, (name, (values, is_member)) in enumerate(scores.items()):
        colour, style = SERIES[i % len(SERIES)], ("-", "--", "-.")[(i + i // len(SERIES)) % 3]  # no two alike up to 18
        fpr, tpr, _ = roc_curve(np.ravel(values), np.ravel(is_member))
        # Steps, not slopes: between two real thresholds there is nothing to be had.
        ax.step(fpr, tpr, where="post", color=colour, linestyle=style, linewidth=1.6, label=name)
    ax.plot([0, 1], [0, 1], color=NEUTRAL, linestyle=":", linewidth=1.2, label="chance")
    ax.set(xlabel="false-positive rate", ylabel="true-positive rate", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    if log:
        smallest_fpr = smallest_fpr or 10 / min(n_non_member_people(is_member) for _, is_member in scores.values())
        ax.set(xscale="log", yscale="log", xlim=(smallest_fpr, 1), ylim=(smallest_fpr, 1))
    return ax


def learning_curves(
    history: Mapping[str, Sequence[float]], *, names: tuple[str, str] = ("members", "non-members")
) -> Figure:
    """Loss (nats) and accuracy against epochs, both sides, the second dashed; `history` as in `TrainingResult`."""
    figure, axes = plt.subplots(1, 2, figsize=(7, 3), layout="constrained")
    for ax, quantity, label in zip(axes, ("loss", "accuracy"), ("cross-entropy (nats)", "accuracy")):
        epochs = np.arange(1, len(history[quantity]) + 1)
        ax.plot(epochs, history[quantity], color=MEMBER, label=names[0])
        ax.plot(epochs, history[f"validation_{quantity}"], color=NON_MEMBER, linestyle="--", label=names[1])
        ax.set(xlabel="epoch", ylabel=label, xlim=(1, None))
    axes[0].set_ylim(bottom=0)
    axes[0].legend(frameon=False)
    return figure


def image_grid(
    images: ArrayLike,
    titles: Sequence[str] = (),
    *,
    columns: int = 10,
    scale: float = 0.7,
    fontsize: float = 10,
    rows: Sequence[str] = (),
) -> Figure:
    """Images `[N, 1, 28, 28]` (or `[N, 28, 28]`), ink on paper, with an optional title each.

    Args:
        columns, scale: how many stand in a row, and inches for each. fontsize: of all text.
        rows: names of the rows, to the left of each.
    """
    images = np.asarray(images).reshape(-1, 28, 28)
    n_rows = -(-len(images) // columns)
    size = columns * scale + (0.3 if len(rows) else 0), n_rows * (scale + (0.024 * fontsize if len(titles) else 0))
    figure, axes = plt.subplots(n_rows, columns, figsize=size, squeeze=False, layout="constrained")
    for ax in axes.flat:
        ax.set_axis_off()
    for i, (ax, image) in enumerate(zip(axes.flat, images)):
        ax.imshow(image, cmap="gray_r", vmin=0, vmax=1)
        if len(titles):
            ax.set_title(titles[i], fontsize=fontsize)
    for ax, name in zip(axes[:, 0], rows):
        place = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "right", "va": "center"}
        ax.annotate(name, (0, 0.5), (-4, 0), rotation=90, fontsize=fontsize, **place)
    return figure


def estimates(
    rows: Mapping[str, Estimate] | Mapping[str, Mapping[str, Estimate]],
    *,
    label: str,
    chance: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """One point with its interval for each named estimate, from top to bottom, with an optional chance line.

    Args:
        rows: name -> estimate; or name -> kind -> estimate, each kind with a mark of its own (for `ax.legend()`). A row may
            lack a kind. label: of the axis.

    Raises:
        ValueError: more kinds than there are marks, four.
    """
    of = {name: row if isinstance(row, Mapping) else {"": row} for name, row in rows.items()}
    kinds = list(dict.fromkeys(kind for row in of.values() for kind in row))
    if len(kinds) > len(KINDS):
        raise ValueError(f"there are marks for {len(KINDS)} kinds, got {len(kinds)}: {', '.join(kinds)}")
    ax = ax or plt.subplots(figsize=(7 if kinds[1:] else 6.5, 0.45 * len(of) + 0.9), layout="constrained")[1]
    for kind, (mark, colour), shift in zip(kinds, KINDS, np.linspace(-0.2, 0.2, len(kinds)) if kinds[1:] else [0.0]):
        shown = {y + shift: row[kind] for y, row in enumerate(of.values()) if kind in row}
        for y, estimate in shown.items():
            ax.plot([estimate.low, estimate.high], [y, y], color=colour, linewidth=2 if len(kinds) == 1 else 1.5)
        ax.plot([e.value for e in shown.values()], list(shown), mark, color=colour, label=kind or None)
    if chance is not None:
        chance_line(ax, chance)
    ax.set(yticks=range(len(of)), yticklabels=list(of), xlabel=label, ylim=(len(of) - 0.5, -0.5))
    return ax


def chance_line(
    ax: Axes, chance: float, fontsize: float | str = 9, *, horizontal: bool = False, name: str = "chance"
) -> None:
    """A dotted line where chance is, upright with its name above it, or level with its name to the right of it."""
    (ax.axhline if horizontal else ax.axvline)(chance, color=NEUTRAL, linestyle=":", linewidth=1.2)
    ax.annotate(
        name,
        (1, chance) if horizontal else (chance, 1),
        xycoords=("axes fraction", "data") if horizontal else ("data", "axes fraction"),
        xytext=(3, 0) if horizontal else (3, 2),
        textcoords="offset points",
        va="center" if horizontal else "baseline",
        color=NEUTRAL,
        fontsize=fontsize,
    )


def pareto(utility: ArrayLike, leakage: ArrayLike) -> np.ndarray:
    """Positions of those that no other beats, by rising utility; `[N]` each.

    None has more utility with no more leakage, or less leakage with no less utility.
    """
    utility, leakage = np.asarray(utility), np.asarray(leakage)
    best = [
        i
        for i in range(len(utility))
        if not any(
            utility[j] >= utility[i] and leakage[j] <= leakage[i] and (utility[j] > utility[i] or leakage[j] < leakage[i])
            for j in range(len(utility))
        )
    ]
    return np.array(sorted(best, key=lambda i: utility[i]), dtype=int)


def tradeoff(
    rows: Mapping[str, tuple[Estimate, Estimate]],
    *,
    labels: tuple[str, str],
    chance: float | None = None,
    offsets: Mapping[str, tuple[float, float]] | None = None,
    texts: Mapping[str, str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Utility (right is better) against leakage (down is better), an interval on both axes.

    Who is on the Pareto frontier has a filled dot, and a black line joins these; the others have a larger, hollow ring.

    Args:
        rows: name -> (utility, leakage). labels: of the two axes. chance: leakage of a blind guess, a dotted line.
        offsets: name -> where its label goes, in points from the dot; default to the upper right. Beyond 30 points a line
            leads to it.
        texts: name -> what its label says instead, nothing if empty: where one label does for two dots on one another.
    """
    ax = ax or plt.subplots(figsize=(7, 4.8), layout="constrained")[1]
    frontier = pareto([u.value for u, _ in rows.values()], [leak.value for _, leak in rows.values()])
    for i, (name, (u, leak)) in enumerate(rows.items()):
        colour = MEMBER if i in frontier else NEUTRAL
        ax.plot([u.low, u.high], [leak.value] * 2, color=colour, linewidth=1.2)
        ax.plot([u.value] * 2, [leak.low, leak.high], color=colour, linewidth=1.2)
        mark = {"markersize": 6} if i in frontier else {"markersize": 9, "markerfacecolor": "none"}
        ax.plot(u.value, leak.value, "o", color=colour, **mark)
        dx, dy = (offsets or {}).get(name, (5, 5))
        far = {"arrowstyle": "-", "color": colour, "linewidth": 0.6} if max(abs(dx), abs(dy)) > 30 else None
        ax.annotate(
            (texts or {}).get(name, name),
            (u.value, leak.value),
            xytext=(dx, dy),
            textcoords="offset points",
            color=colour,
            arrowprops=far,
            fontsize=9,
            ha="left" if dx >= 0 else "right",
            va="bottom" if dy >= 0 else "top",
        )
    best = [list(rows.values())[i] for i in frontier]
    ax.plot([u.value for u, _ in best], [leak.value for _, leak in best], color="black", linewidth=1, zorder=0)
    if chance is not None:
        chance_line(ax, chance, horizontal=True)
    ax.set(xlabel=labels[0], ylabel=labels[1])
    return ax
