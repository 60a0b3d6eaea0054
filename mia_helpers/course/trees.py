"""The path of one record through a decision tree, for notebook 08."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from sklearn.tree import DecisionTreeClassifier

from mia_helpers.plots import SERIES


@dataclass(frozen=True)
class Step:
    """One node on a record's way down a tree.

    Attributes:
        feature, threshold: the question asked here is "is record[feature] ≤ threshold?"; None in the leaf.
        at_most: the record's answer; None in the leaf.
        members: how many training records of each class have come to this node, int `[C]`.
    """

    feature: int | None
    threshold: float | None
    at_most: bool | None
    members: np.ndarray


def path(tree: DecisionTreeClassifier, record: ArrayLike) -> list[Step]:
    """The way of one record, `[F]`, from the root of a fitted tree to its leaf.

    Raises:
        ValueError: the record has another number of features than the tree was fitted on.
    """
    record = np.asarray(record, dtype=np.float64)
    if record.shape != (tree.n_features_in_,):
        raise ValueError(f"expected one record [{tree.n_features_in_}], got shape {list(record.shape)}")
    inner, node = tree.tree_, 0
    steps: list[Step] = []
    while True:
        shares = inner.value[node, 0] / inner.value[node, 0].sum()
        members = np.round(shares * inner.n_node_samples[node]).astype(int)
        if inner.children_left[node] == -1:
            return [*steps, Step(None, None, None, members)]
        feature, threshold = int(inner.feature[node]), float(inner.threshold[node])
        at_most = bool(np.float32(record[feature]) <= threshold)  # the tree itself compares in float32
        steps.append(Step(feature, threshold, at_most, members))
        node = inner.children_left[node] if at_most else inner.children_right[node]


def plot_path(
    tree: DecisionTreeClassifier, record: ArrayLike, *, feature_names: Sequence[str], class_names: Sequence[str], ax: Axes
) -> Axes:
    """The members left after each answer, from top (all) to bottom (the leaf), for a tree of two classes; no legend.

    The first class is hatched.

    Raises:
        ValueError: not two classes, or a record that does not fit the tree.
    """
    if len(class_names) != 2 or len(tree.classes_) != 2:
        raise ValueError(f"expected two classes, got {len(class_names)} names and {len(tree.classes_)} classes in the tree")
    steps = path(tree, record)
    answers = [
        f"{feature_names[step.feature]} {'≤' if step.at_most else '>'} {step.threshold:.3g}"
        for step in steps
        if step.feature is not None
    ]
    names = ["all members", *answers]
    for y, step in enumerate(steps):
        first, second = step.members  # neither members nor non-members, hence other colours
        parts = zip(class_names, (0, first), (first, second), (SERIES[3], SERIES[2]), ("////", ""))
        for name, left, count, colour, hatch in parts:  # the edge makes a bar of one person visible
            ax.barh(
                y,
                count,
                left=left,
                color=colour,
                hatch=hatch,
                edgecolor="black" if count else "none",
                linewidth=0.8,
                label=name if y == 0 else None,
            )
        ax.text(first + second, y, f" {first} + {second}", va="center", fontsize=9)
    ax.set(
        yticks=range(len(steps)),
        yticklabels=names,
        ylim=(len(steps) - 0.4, -0.6),
        xlabel="members left",
        xlim=(0, 1.45 * steps[0].members.sum()),
    )
    return ax


def plot_both(
    with_it: DecisionTreeClassifier,
    without_it: DecisionTreeClassifier,
    record: ArrayLike,
    title: str,
    *,
    feature_names: Sequence[str],
    class_names: Sequence[str],
) -> Figure:
    """The way of one record down two trees: one trained with it (above), and one without it."""
    steps = [len(path(tree, record)) for tree in (with_it, without_it)]
    size = (7, 0.32 * sum(steps) + 1.9)
    figure, axes = plt.subplots(2, 1, figsize=size, sharex=True, height_ratios=steps, layout="constrained")
    figure.suptitle(title)
    for ax, tree, how in zip(axes, (with_it, without_it), ("with", "without")):
        plot_path(tree, record, ax=ax, feature_names=feature_names, class_names=class_names)
        ax.set_title(f"trained {how} this patient", fontsize=10)
    axes[0].set_xlabel("")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure
