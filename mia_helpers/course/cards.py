"""Cards of the membership game on images: what the adversary sees, and nothing that gives the truth away."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from scipy.special import log_softmax

from mia_helpers.plots import NEUTRAL, SERIES

SMALLEST = 1e-12  # probability with a bar of its own; half of the digits are answered surer than 1 − 2e-6


def draw_card(image: ArrayLike, logits: ArrayLike, label: int) -> Figure:
    """An image and what the target answers: a bar for each class, on a logarithmic axis.

    Args:
        image: `[1, 28, 28]` or `[28, 28]`, ink is 1.
        logits: the target's, `[C]`. label: the true class, whose bar is hatched and has another colour.

    Raises:
        ValueError: a label that is no class.
    """
    log_p = log_softmax(np.asarray(logits, dtype=np.float64))
    if not 0 <= label < len(log_p):
        raise ValueError(f"label must be one of {len(log_p)} classes, got {label}")
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.3), width_ratios=(1, 2.2), layout="constrained")
    left.imshow(np.asarray(image).reshape(28, 28), cmap="gray_r", vmin=0, vmax=1)
    left.set_axis_off()
    left.set_title(f"true class: {label}", fontsize=10)
    colours = [SERIES[2] if c == label else NEUTRAL for c in range(len(log_p))]
    heights = np.exp(np.maximum(log_p, np.log(SMALLEST)))
    bars = right.bar(range(len(log_p)), heights, color=colours)
    bars[label].set(hatch="///", edgecolor="black")
    right.set(
        yscale="log",
        ylim=(SMALLEST, 1),
        xticks=range(len(log_p)),
        xlabel="class",
        ylabel="probability",
    )
    right.set_title(f"the target says {log_p.argmax()}, probability {_with_enough_digits(log_p)}", fontsize=10)
    return figure


def _with_enough_digits(log_p: np.ndarray) -> str:
    """The largest probability, with as many digits as tell it from 1, up to nine."""
    rest = max(-np.expm1(log_p.max()), 1e-8)
    return f"{np.exp(log_p.max()):.{max(2, int(np.ceil(-np.log10(rest))) + 1)}f}"
