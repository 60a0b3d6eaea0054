"""What stands behind notebook 09: an attack network on any features, and two of its figures."""

from collections.abc import Callable, Iterable, Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mia_helpers import plots
from mia_helpers.attack_network import AttackNetwork


def attack_network(features: ArrayLike, is_member: np.ndarray) -> Callable[[Iterable[np.ndarray]], list[np.ndarray]]:
    """The attack network of notebook 04, on standardised features, learnt from S shadows at once.

    Args:
        features: `[S, N]` or `[S, N, F]`. is_member: bool `[S, N]`.

    Returns:
        From the features of some models, `[N]` or `[N, F]` each, to their scores, log-odds `[N]` each.
    """
    n = is_member.shape[1]
    network = make_pipeline(StandardScaler(), AttackNetwork(seed=0, epochs=5, lr=1e-3, batch_size=256, progress=False))
    network.fit(np.reshape(features, (is_member.size, -1)), is_member.ravel())
    return lambda models: [network.decision_function(np.reshape(one, (n, -1))) for one in models]


def plot_against(
    x: np.ndarray, y: np.ndarray, members: np.ndarray, *, labels: tuple[str, str], ax: Axes | None = None
) -> Axes:
    """One signal against another, `[N]` each, members as small dots, others as circles; default a figure of its own."""
    if ax is None:
        _, ax = plt.subplots(figsize=(5.5, 3.6), layout="constrained")
    ax.plot(x[~members], y[~members], "o", ms=6, mfc="none", color=plots.NON_MEMBER, label="non-members")
    ax.plot(x[members], y[members], ".", ms=3, color=plots.MEMBER, label="members")
    ax.set(xlabel=labels[0], ylabel=labels[1])
    ax.legend(frameon=False)
    return ax


def plot_draws(redrawn: Mapping[str, ArrayLike], here: Mapping[str, float]) -> Figure:
    """For each attack the AUCs on the blind models over many draws of members (grey), and that of the draw at hand."""
    figure, axes = plt.subplots(1, len(redrawn), figsize=(9, 2.4), sharex=True, sharey=True, layout="constrained")
    for ax, (name, found) in zip(axes, redrawn.items()):
        ax.hist(found, bins=np.linspace(0.48, 0.52, 41), color=plots.NEUTRAL)
        ax.axvline(here[name], color="black", linestyle="--")
        ax.set(title=name, xlabel="AUC on the blind models")
    return figure
