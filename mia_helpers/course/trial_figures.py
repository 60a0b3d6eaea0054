"""What notebook 07 draws: leak and use of the defences, whom they leave exposed, and what a promise leaves to attacks."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from mia_helpers import metrics, plots
from mia_helpers.course import trial

OFFSETS = {  # of the labels, in points
    "none": (-60, 6),
    "dropout": (9, 4),
    "label smoothing": (-8, 4),
    "labels only": (38, 4),
    "rounded confidences": (36, -16),
    "early stopping": (38, 10),
    "weight decay": (52, -42),
    "DP CNN, ε = 1": (6, -16),
    "DP CNN, ε = 4": (-8, 6),
    "DP CNN, ε = 8": (-60, 8),
    "DP linear, ε = 1": (20, -13),
    "DP linear, ε = 4": (-6, 6),
    "DP linear, ε = 8": (-6, 6),
    "RelaxLoss": (8, -8),
    "augmentation": (9, -6),
}
ASIDE = {"rounded confidences": -0.006, "labels only": -0.012}  # as accurate as "none": else their bars would lie on its own


def trade_off(picture: Mapping[str, tuple[metrics.Estimate, metrics.Estimate]]) -> Axes:
    """Accuracy against leakage of the defences: name -> (accuracy, AUC); masks that keep all labels stand a little aside."""
    moved = {}
    for name, (accuracy, leak) in picture.items():
        e, by = accuracy, ASIDE.get(name, 0.0)
        moved[name] = metrics.Estimate(e.value + by, e.low + by, e.high + by), leak
    ax = plt.subplots(figsize=(7, 5.6), layout="constrained")[1]
    labels = "accuracy on non-members (utility)", "AUC of the strongest attack (leakage)"
    plots.tradeoff(moved, labels=labels, chance=0.5, offsets=OFFSETS, ax=ax)
    least = min(accuracy.value for accuracy, _ in moved.values())
    limits, ticks = ((0.47, 1.12), np.arange(5, 11) / 10) if least < 0.8 else ((0.81, 1.0), np.arange(82, 100, 4) / 100)
    ax.set(xlim=limits, xticks=ticks)  # with room for labels
    return ax


def on_average_and_exposed(rows: Mapping[str, tuple[metrics.Estimate, metrics.Estimate]]) -> Axes:
    """What an attack has on everybody and on the few most exposed, a row for each defence, the most exposed first.

    Args:
        rows: name -> AUC on average (a ring) and on those most exposed without defence (a dot), with their intervals.
    """
    ax = plt.subplots(figsize=(7, 0.32 * len(rows) + 1.1), layout="constrained")[1]
    order = sorted(rows, key=lambda name: -rows[name][1].value)
    labels = "on average", "most exposed"
    for row, name in enumerate(order):
        average, exposed = rows[name]
        ax.plot([average.value, exposed.value], [row, row], color=plots.NEUTRAL, linewidth=0.6, zorder=0)
        for e, face, colour, what in ((average, "none", plots.NEUTRAL, labels[0]), (exposed, None, plots.MEMBER, labels[1])):
            ax.plot([e.low, e.high], [row, row], color=colour, linewidth=2)
            ax.plot(e.value, row, "o", color=colour, markerfacecolor=face, markersize=7, label="" if row else what)
    plots.chance_line(ax, 0.5)
    ax.set(xlabel="LiRA's AUC", xlim=(0.43, 1.01), ylim=(len(rows) - 0.5, -0.5))
    ax.set_yticks(range(len(rows)), order)
    ax.figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    return ax


def left_by_promise(epsilon: float, delta: float) -> Axes:
    """Where the ROC curve of an attack may run against a model that is (ε, δ)-differentially private: `trial.best_tpr`."""
    fpr = np.linspace(0, 1, 2001)
    highest = trial.best_tpr(epsilon, delta, fpr)
    lowest = 1 - highest[::-1]  # an attack that is worse than chance, turned round, is better
    ax = plt.subplots(figsize=(3.6, 3.6), layout="constrained")[1]
    for limit, end in ((highest, 1), (lowest, 0)):
        ax.fill_between(fpr, limit, end, facecolor="0.85", edgecolor=plots.NEUTRAL, hatch="///", linewidth=0)
    ax.plot([0, 1], [0, 1], color="black", linestyle=":", linewidth=1)
    at = float(trial.best_tpr(epsilon, delta, 0.01))
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="false-positive rate", ylabel="true-positive rate", aspect="equal")
    ax.set_title(f"ε = {epsilon:g}: at an FPR of 1 % at most {at:.1%}", fontsize="medium")
    return ax
