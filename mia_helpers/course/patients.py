"""Made-up patients in two dimensions, for notebook 01: data, drawing and counting only."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from scipy.stats import t as student
from sklearn.base import ClassifierMixin

from mia_helpers.plots import MEMBER, NEUTRAL, NON_MEMBER, chance_line
from mia_helpers.seeds import shifted

CENTRES = np.array([[-0.8, -0.4], [0.8, 0.4]])  # healthy, ill; standard deviation 1 in both directions
EDGE, N_GRID = 3.5, 60  # the maps reach so far (in s.d.), and are drawn on so many points a side
AXIS, LEVELS = np.linspace(-EDGE, EDGE, N_GRID), np.linspace(0, 1, 11)  # where the model is asked; where one colour ends
COLOURS, ALPHA = "PuOr_r", 0.6  # of the maps, on white: violet is healthy, brown is ill
# Who it is about: an outline, so that the map shows through, in no colour that says member or not.
PERSON: dict[str, Any] = {
    "markerfacecolor": "none",
    "markeredgecolor": "black",
    "path_effects": [withStroke(linewidth=4, foreground="white")],
}


def draw_patients(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`n` random patients: two standardised measurements each, float64 `[n, 2]`, and whether they are ill, int64 `[n]`."""
    rng = np.random.default_rng(shifted(seed))
    ill = rng.integers(0, 2, n)
    return CENTRES[ill] + rng.normal(size=(n, 2)), ill


def own_rates(accused: np.ndarray, was_in: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each person's own true- and false-positive rate, `[N]` each.

    Args:
        accused: which of M models (rows) gave an answer that makes person n look like a member, bool `[M, N]`.
        was_in: which of them were trained on person n, bool `[M, N]`.

    Returns:
        Of the models trained with a person, and of those trained without, the share that accuses them; NaN if there is none.
    """
    inside, outside = was_in.sum(0), (~was_in).sum(0)
    caught, wrongly = (accused & was_in).sum(0), (accused & ~was_in).sum(0)
    return (
        np.divide(caught, inside, out=np.full(len(inside), np.nan), where=inside > 0),
        np.divide(wrongly, outside, out=np.full(len(outside), np.nan), where=outside > 0),
    )


def probability_map(model: ClassifierMixin) -> np.ndarray:
    """The model's probability of "ill" over the plane, float `[N_GRID, N_GRID]`; a row for each second measurement."""
    grid = np.stack(np.meshgrid(AXIS, AXIS), axis=-1)
    return model.predict_proba(grid.reshape(-1, 2))[:, 1].reshape(N_GRID, N_GRID)


def plot_regions(
    model: ClassifierMixin,
    points: np.ndarray,
    ill: np.ndarray,
    *,
    ax: Axes | None = None,
    person: tuple[float, float] | None = None,
) -> Axes:
    """The model's probability of "ill" over the plane, the patients it was trained on, and one person as a star."""
    ax = ax or plt.subplots(figsize=(4, 3.6), layout="constrained")[1]
    probability = probability_map(model)
    ax.contourf(AXIS, AXIS, probability, levels=LEVELS, cmap=COLOURS, alpha=ALPHA)
    ax.contour(AXIS, AXIS, probability, levels=[0.5], colors="black", linewidths=1)
    for label, marker in ((0, "o"), (1, "^")):
        x, y = points[ill == label].T
        ax.scatter(x, y, marker=marker, s=18, color="black", alpha=0.6, linewidths=0)
    if person is not None:
        ax.plot(*person, "*", markersize=17, **PERSON)
    ax.set(xlim=(-EDGE, EDGE), ylim=(-EDGE, EDGE), xlabel="first measurement (s.d.)", ylabel="second measurement (s.d.)")
    return ax


def plot_with_and_without(
    with_person: ClassifierMixin,
    without: ClassifierMixin,
    points: np.ndarray,
    ill: np.ndarray,
    person: tuple[float, float],
) -> None:
    """Two maps side by side: trained with the star's record (left) and without it; as the star's widget shows them."""
    figure, axes = plt.subplots(1, 2, figsize=(7, 3.7), sharey=True)
    figure.subplots_adjust(left=0.08, right=0.99, bottom=0.13, top=0.87, wspace=0.06)  # a computed layout takes its time
    for ax, model, name in zip(axes, (with_person, without), ("in training", "not in training")):
        plot_regions(model, points, ill, ax=ax, person=person)
        ax.set_title(f"star {name}:\nill with probability {model.predict_proba([person])[0, 1]:.2f}", fontsize=10)
    axes[1].set_ylabel("")


def plot_card(model: ClassifierMixin, record: np.ndarray, ill: int, *, ax: Axes | None = None, title: str = "") -> Axes:
    """What the adversary sees of one person: the model's map, the person on it (or at its edge), how sure the model is.

    Args:
        model: the target.
        record: two measurements, `[2]`.
        ill: the person's true diagnosis, a triangle for ill and a circle for healthy.
        ax: where to draw; default: a figure of its own.
        title: stands before the diagnosis and its probability.

    A card in a figure of its own is printed, too, for those who play by ear.
    """
    alone = ax is None
    ax = ax or plt.subplots(figsize=(3.9, 3.5), layout="constrained")[1]
    plot_regions(model, np.empty((0, 2)), np.empty(0), ax=ax)
    ax.plot(*np.clip(record, 0.4 - EDGE, EDGE - 0.4), "^" if ill else "o", markersize=11, markeredgewidth=1.5, **PERSON)
    sure = model.predict_proba([record])[0, ill]
    ax.set_title(f"{title}{'ill' if ill else 'healthy'}: {sure:.2f}", fontsize=10)
    if alone:
        print(f"{'Ill' if ill else 'Healthy'}; probability {sure:.2f}.")
    else:
        ax.set(xticks=[], yticks=[], xlabel="", ylabel="")
    return ax


def plot_cards(model: ClassifierMixin, records: np.ndarray, ill: np.ndarray) -> None:
    """Cards of several people, four in a row, numbered from 0; `records` `[n, 2]`, `ill` `[n]`."""
    n_rows = -(-len(ill) // 4)
    _, axes = plt.subplots(n_rows, 4, figsize=(6, 1.7 * n_rows), squeeze=False, layout="constrained")
    for ax in axes.flat:
        ax.set_axis_off()
    for i, (ax, record, diagnosis) in enumerate(zip(axes.flat, records, ill)):
        ax.set_axis_on()
        plot_card(model, record, int(diagnosis), ax=ax, title=f"{i} · ")


def plot_threshold(members: np.ndarray, non_members: np.ndarray, threshold: float) -> None:
    """How sure a target is, with a threshold, and the point on the ROC curve that it makes."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3.1), width_ratios=(1.35, 1), layout="constrained")
    bins = np.linspace(0, 1, 21)
    groups = ((members, MEMBER, "-", "members"), (non_members, NON_MEMBER, "--", "non-members"))
    for values, colour, line, name in groups:
        left.hist(values, bins=bins, histtype="stepfilled", alpha=0.25, color=colour)
        left.hist(values, bins=bins, histtype="step", color=colour, linestyle=line, linewidth=1.8, label=name)
    left.axvline(threshold, color="black", label="threshold")
    left.set(xlabel="probability of the true diagnosis", ylabel="people", xlim=(0, 1))
    left.legend(frameon=False, loc="upper center")
    cuts = np.sort(np.concatenate([members, non_members, [np.inf]]))[::-1]
    tpr, fpr = ((values >= cuts[:, None]).mean(1) for values in (members, non_members))
    right.step(fpr, tpr, where="post", color="black")
    right.plot([0, 1], [0, 1], ":", color=NEUTRAL)
    right.text(0.66, 0.62, "chance", color=NEUTRAL, rotation=45, rotation_mode="anchor", ha="center", va="top")
    point = (non_members >= threshold).mean(), (members >= threshold).mean()
    right.plot(*point, "o", markersize=10, color="black", clip_on=False, zorder=3)
    right.set(xlabel="false-positive rate", ylabel="true-positive rate", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    right.set_title(f"threshold {threshold:.10g}:\nTPR {point[1]:.2f}, FPR {point[0]:.2f}", fontsize=10, pad=10)


def plot_shares(share: np.ndarray) -> None:
    """Share of members in each bin of how sure a shadow is, from low to high; filled where it is more than half."""
    _, ax = plt.subplots(figsize=(6, 2.8), layout="constrained")
    colours = [MEMBER if s > 0.5 else "white" for s in share]
    ax.bar(range(len(share)), share, color=colours, edgecolor="black")
    for i in np.flatnonzero(share == 0):
        ax.annotate("0", (i, 0), (0, 2), textcoords="offset points", ha="center")  # counted, and none found
    chance_line(ax, 0.5, horizontal=True, name="one half")
    ax.lines[-1].set_color("black")  # it runs over the bars
    ax.set(xlabel="probability of the true diagnosis, in ten bins from low to high", ylabel="share of members", ylim=(0, 1))
    ax.set_xticks(range(len(share)), [str(i + 1) for i in range(len(share))])


def plot_sweep(wiggliness: Sequence[float], results: np.ndarray) -> None:
    """Accuracies of the target (left) and the attack's AUC (right), means with 95 % intervals by Student's t.

    Args:
        wiggliness: W settings.
        results: accuracy on members, on non-members, and AUC, `[W, T, 3]` for T targets each.
    """
    _, axes = plt.subplots(1, 2, figsize=(7, 3), layout="constrained")
    n = results.shape[1]
    mean, half = results.mean(1), student.ppf(0.975, n - 1) * results.std(1, ddof=1) / np.sqrt(n)
    styles = ((axes[0], MEMBER, "o-"), (axes[0], NON_MEMBER, "s--"), (axes[1], "black", "o-"))
    for column, ((ax, colour, style), name) in enumerate(zip(styles, ("members", "non-members", "attack"))):
        ax.errorbar(wiggliness, mean[:, column], half[:, column], fmt=style, color=colour, capsize=3, label=name)
    for ax, quantity in zip(axes, ("accuracy of the target", "AUC of the attack")):
        ax.set(xlabel="wiggliness (log scale)", ylabel=quantity, xscale="log")
        ax.set_xticks(wiggliness, [f"{w:g}" for w in wiggliness])
        ax.set_xticks([], minor=True)
    axes[1].set_ylim(0.45, 1.02)
    axes[0].legend(frameon=False)
    chance_line(axes[1], 0.5, horizontal=True)


def plot_own_rates(records: np.ndarray, ill: np.ndarray, own_fpr: np.ndarray) -> None:
    """How often each person is accused by models without them: over all people (left), and where they stand (right).

    Who stands beyond the map is drawn at its edge.

    Args:
        records: two measurements each, `[N, 2]`. ill: diagnoses, `[N]`. own_fpr: shares of models, `[N]`.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3.2), width_ratios=(1, 1.2), layout="constrained")
    left.hist(own_fpr, bins=np.linspace(0, 1, 21), color=NEUTRAL, alpha=0.6)
    left.axvline(own_fpr.mean(), color="black")
    left.annotate("mean", (own_fpr.mean(), 1), (-4, -12), ("data", "axes fraction"), "offset points", ha="right")
    left.set(xlabel="own false-positive rate", ylabel="people", xlim=(0, 1))
    for label, marker in ((0, "o"), (1, "^")):
        x, y = np.clip(records[ill == label], 0.1 - EDGE, EDGE - 0.1).T
        style = {"cmap": "viridis", "vmin": 0, "vmax": 1, "edgecolors": "black", "linewidths": 0.3}
        dots = right.scatter(x, y, c=own_fpr[ill == label], marker=marker, s=22, **style)
    figure.colorbar(dots, ax=right, label="own false-positive rate")
    right.set(xlim=(-EDGE, EDGE), ylim=(-EDGE, EDGE))
    right.set(xlabel="first measurement (s.d.)", ylabel="second measurement (s.d.)")
