"""The ranking of notebook 08: families of models by what attacks find in them."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from mia_helpers import plots
from mia_helpers.metrics import Estimate

WEAKER = {"gap": ("|", 0.0), "loss threshold": ("s", -0.24), "shadow classifier": ("^", 0.24)}  # mark, shift


def plot_ranking(aucs: Mapping[str, Mapping[str, Estimate]], gaps: Mapping[str, Estimate], title: str) -> Figure:
    """Families from the leakiest down by LiRA, with the weaker attacks as grey marks; beside them the generalisation gaps.

    Args:
        aucs: attack -> family -> AUC; among the attacks are LiRA and those of `WEAKER`. gaps: family -> gap.
    """
    ranked = sorted(gaps, key=lambda family: -aucs["LiRA"][family].value)
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 4.6), sharey=True, width_ratios=(1.3, 1), layout="constrained")
    plots.estimates({family: aucs["LiRA"][family] for family in ranked}, ax=left, label="attack AUC")
    left.plot([], [], "o-", color=plots.MEMBER, label="LiRA")
    for attack, (mark, shift) in WEAKER.items():
        found = [aucs[attack][family].value for family in ranked]
        style: dict[str, Any] = {"ms": 9 if mark == "|" else 5, "color": plots.NEUTRAL, "mfc": "none"}
        left.plot(found, np.arange(len(ranked)) + shift, mark, label=attack, **style)
    left.axvline(0.5, color=plots.NEUTRAL, linestyle=":")
    figure.legend(loc="outside lower left", ncols=4, frameon=False)
    plots.estimates({family: gaps[family] for family in ranked}, ax=right, label="generalisation gap")
    figure.suptitle(title)
    return figure
