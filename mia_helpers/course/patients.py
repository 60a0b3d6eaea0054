"""Made-up patients in two dimensions, for notebook 01: data and drawing only."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from sklearn.base import ClassifierMixin

from mia_helpers.plots import MEMBER, NEUTRAL, NON_MEMBER
from mia_helpers.seeds import shifted

CENTRES = np.array([[-0.8, -0.4], [0.8, 0.4]])  # healthy, ill; standard deviation 1 in both directions


def draw_patients(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`n` random patients: two standardised measurements each, float64 `[n, 2]`, and whether they are ill, int64 `[n]`."""
    rng = np.random.default_rng(shifted(seed))
    ill = rng.integers(0, 2, n)
    return CENTRES[ill] + rng.normal(size=(n, 2)), ill


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
    axis = np.linspace(-3.5, 3.5, 120)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1)
    probability = model.predict_proba(grid.reshape(-1, 2))[:, 1].reshape(grid.shape[:2])
    ax.contourf(axis, axis, probability, levels=np.linspace(0, 1, 11), cmap="PuOr_r", alpha=0.6)
    ax.contour(axis, axis, probability, levels=[0.5], colors="black", linewidths=1)
    for label, marker in ((0, "o"), (1, "^")):
        x, y = points[ill == label].T
        ax.scatter(x, y, marker=marker, s=18, color="black", alpha=0.6, linewidths=0)
    if person is not None:
        ax.plot(*person, "*", markersize=16, color=NON_MEMBER, markeredgecolor="white")
    ax.set(xlim=(-3.5, 3.5), ylim=(-3.5, 3.5), xlabel="first measurement (s.d.)", ylabel="second measurement (s.d.)")
    return ax


def plot_threshold(members: np.ndarray, non_members: np.ndarray, threshold: float) -> None:
    """Confidence histograms with a threshold, and the point on the ROC curve that it makes."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), width_ratios=(1.6, 1), layout="constrained")
    bins = np.linspace(0, 1, 21)
    for values, colour, name in ((members, MEMBER, "members"), (non_members, NON_MEMBER, "non-members")):
        left.hist(values, bins=bins, histtype="stepfilled", alpha=0.25, color=colour)
        left.hist(values, bins=bins, histtype="step", color=colour, linewidth=1.8, label=name)
    left.axvline(threshold, color="black")
    left.set(xlabel="confidence in the true diagnosis", ylabel="people", xlim=(0, 1))
    left.legend(frameon=False, loc="upper left")
    cuts = np.sort(np.concatenate([members, non_members, [np.inf]]))[::-1]
    tpr, fpr = ((values >= cuts[:, None]).mean(1) for values in (members, non_members))
    right.step(fpr, tpr, where="post", color="black")
    right.plot([0, 1], [0, 1], ":", color=NEUTRAL)
    point = (non_members >= threshold).mean(), (members >= threshold).mean()
    right.plot(*point, "o", markersize=10, color=MEMBER)
    right.set(
        xlabel="false-positive rate",
        ylabel="true-positive rate",
        xlim=(0, 1),
        ylim=(0, 1),
        aspect="equal",
        title=f"threshold {threshold:.2f}: TPR {point[1]:.2f}, FPR {point[0]:.2f}",
    )
