"""The figures of notebook 09: a score that is not monotonic, two signals against one another, the luck of the draw."""

from collections.abc import Callable, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from mia_helpers import plots


def plot_hump(phi: np.ndarray, members: np.ndarray, score: Callable[[np.ndarray], np.ndarray]) -> Figure:
    """Logit confidence of members and non-members, and the score that an attack gives to each value of it.

    Args:
        phi: of several models, `[S, N]`. members: bool `[S, N]`. score: from values `[N]` to log-odds `[N]`.
    """
    low, high = -10, 35
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    style: dict[str, Any] = {"log": False, "label": "φ, logit confidence", "limits": (low, high), "bins": 30}
    plots.confidence_histograms(phi[members], phi[~members], ax=left, **style)
    left.legend(frameon=False, loc="upper right")
    grid = np.linspace(low, high, phi.shape[1])
    right.plot(grid, score(grid), color="black")
    right.axhline(0, color=plots.NEUTRAL, linestyle=":")
    right.set(xlabel="φ, logit confidence", ylabel="score: log-odds of “member”", xlim=(low, high), ylim=(-6, 1.5))
    return figure


def plot_against(x: np.ndarray, y: np.ndarray, members: np.ndarray, *, labels: tuple[str, str]) -> Figure:
    """One signal against another, `[N]` each, members as small dots and non-members as circles."""
    figure, ax = plt.subplots(figsize=(5.5, 3.6), layout="constrained")
    ax.plot(x[~members], y[~members], "o", ms=6, mfc="none", color=plots.NON_MEMBER, label="non-members")
    ax.plot(x[members], y[members], ".", ms=3, color=plots.MEMBER, label="members")
    ax.set(xlabel=labels[0], ylabel=labels[1])
    ax.legend(frameon=False)
    return figure


def plot_draws(redrawn: Mapping[str, ArrayLike], here: Mapping[str, float]) -> Figure:
    """For each attack the AUCs on the blind models over many draws of members (grey), and that of the draw at hand."""
    figure, axes = plt.subplots(1, len(redrawn), figsize=(9, 2.4), sharex=True, sharey=True, layout="constrained")
    for ax, (name, found) in zip(axes, redrawn.items()):
        ax.hist(found, bins=np.linspace(0.48, 0.52, 41), color=plots.NEUTRAL)
        ax.axvline(here[name], color="black", linestyle="--")
        ax.set(title=name, xlabel="AUC on the blind models")
    return figure
