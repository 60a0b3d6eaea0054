"""A ledger of many attacks on the same targets: what each found, what its control found, what it cost; and figures of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from mia_helpers import metrics
from mia_helpers.attacks import covered
from mia_helpers.course.widgets import Fold
from mia_helpers.metrics import Estimate, attack_report, auc_difference
from mia_helpers.plots import MEMBER, NEUTRAL, chance_line, estimates

FPR, AUC, TPR = 0.01, "AUC", "TPR at 1 % FPR"
KIND_STYLES = ((NEUTRAL, "s", "white"), ("black", "^", "black"), (MEMBER, "o", MEMBER))  # colour, mark, inside of the mark
BLIND: dict[str, Any] = {
    "marker": "|",
    "color": NEUTRAL,
    "markersize": 9,
    "linestyle": "none",
    "label": "on the blind models",
}
CHANCE = {AUC: 0.5, TPR: FPR}


class Ledger:
    """Scores of attacks on T targets and on as many blind models, and the numbers that come of them.

    Args:
        member_mask: bool `[T, N]`, who was a member of which target.

    Attributes:
        rows: name -> column -> Estimate (AUC, TPR at 1 % FPR, AUC on the blind models) or number (queries, models trained).
        on_targets, on_blind: name -> scores `[T, N]`.
    """

    def __init__(self, member_mask: ArrayLike):
        self.member_mask = np.asarray(member_mask)
        self.rows: dict[str, dict] = {}
        self.on_targets: dict[str, np.ndarray] = {}
        self.on_blind: dict[str, np.ndarray] = {}

    def enter(
        self, name: str, answers: ArrayLike, blind: ArrayLike, queries: float, trained: int = 0, *, quiet: bool = False
    ) -> None:
        """Take down scores `[T, N]` on the targets and on the blind models, judged by the same members, and print both AUCs.

        Args:
            queries: to the target for each example. trained: models that the adversary trained at home.
            quiet: print nothing.

        Raises:
            ValueError: scores of another shape than the member mask, or not finite.
        """
        self.on_targets[name], self.on_blind[name] = np.array(answers, dtype=float), np.array(blind, dtype=float)
        report, control = (
            attack_report(scores, self.member_mask, fprs=(FPR,)) for scores in (self.on_targets[name], self.on_blind[name])
        )
        self.rows[name] = {
            AUC: report.auc,
            TPR: report.tpr_at_fpr[FPR],
            "blind": control.auc,
            "queries": queries,
            "models trained": trained,
        }
        if not quiet:
            print(f"{name}: AUC {report.auc}, on the blind models {control.auc}")

    def enter_lira(
        self,
        name: str,
        attack: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
        signal: Mapping[str, Sequence[ArrayLike] | np.ndarray],
        shadows: tuple[ArrayLike, ArrayLike],
        *,
        queries: float = 1,
        quiet: bool = False,
    ) -> None:
        """Take down an attack that compares each example with itself in shadows; the median where nothing is known of it.

        Args:
            attack: from a target's signal `[N]`, the shadows' `[S, N]` and who had whom `[S, N]` to scores `[N]`.
            signal: what the attack looks at, on "targets" and "blind" `[T, N]`.
            shadows: their signal and who had whom, `[S, N]` each.
        """
        shadow, had = (np.asarray(part) for part in shadows)
        known = covered(had, ("in", "out"))

        def score(one: np.ndarray) -> np.ndarray:
            scores = np.full(had.shape[1], np.nan)
            scores[known] = attack(one[known], shadow[:, known], had[:, known])
            return metrics.known(scores)

        targets, blind = (np.stack([score(np.asarray(one)) for one in signal[group]]) for group in ("targets", "blind"))
        self.enter(name, targets, blind, queries, len(had), quiet=quiet)

    def difference(self, one: str, other: str, *, blind: bool = False) -> Estimate:
        """AUC of `one` minus that of `other`, on the targets or on the blind models; paired bootstrap over examples."""
        scores = self.on_blind if blind else self.on_targets
        return auc_difference(scores[one], scores[other], self.member_mask)

    def table(self) -> pd.DataFrame:
        """All rows as text, in the order in which they were entered."""
        return pd.DataFrame(self.rows).T.astype(str)

    def folded(self, summary: str) -> Fold:
        """The table behind a line that unfolds it."""
        table = self.table()
        return Fold(summary, table.to_html(), table.to_string())


def plot_series(rows: Mapping[str, Mapping], series: Mapping[str, Sequence[str]], labels: Sequence[str]) -> Figure:
    """AUC and TPR of attacks, a row for each label and a mark for each series, side by side, with the chance line.

    Args:
        rows: as in `Ledger`; a name that is not in it is left out. series: series -> names, one for each of the `labels`.
    """
    figure, axes = plt.subplots(1, 2, figsize=(7, 4), sharey=True, layout="constrained")
    for ax, column in zip(axes, (AUC, TPR)):
        found = {
            label: {what: rows[names[i]][column] for what, names in series.items() if names[i] in rows}
            for i, label in enumerate(labels)
        }
        estimates(found, label=column, chance=CHANCE[column], ax=ax)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def plot_blocks(
    rows: Mapping[str, Mapping], blocks: Mapping[str, Mapping[str, Sequence[str]]], kinds: Sequence[str]
) -> Figure:
    """AUC and TPR of attacks in blocks, a mark for each of three kinds, the control's AUC as a thin grey stroke.

    Args:
        rows: as in `Ledger`. blocks: block -> kind -> names. kinds: the kinds, in the order of their marks.
    """
    listed = [(block, kind, name) for block, of in blocks.items() for kind, names in of.items() for name in names]
    styles = dict(zip(kinds, KIND_STYLES))
    figure, axes = plt.subplots(1, 2, figsize=(7, 6.4), sharey=True, layout="constrained")
    for ax, column in zip(axes, (AUC, TPR)):
        for y, (block, kind, name) in enumerate(listed):
            e, (colour, mark, inside) = rows[name][column], styles[kind]
            ax.plot([e.low, e.high], [y, y], color=colour)
            ax.plot(e.value, y, mark, color=colour, mfc=inside)
            if y and block != listed[y - 1][0]:
                ax.axhline(y - 0.5, color="black", linewidth=0.8)
        chance_line(ax, CHANCE[column])
        ax.set(xlabel=column, ylim=(len(listed) - 0.5, -0.5))
    axes[0].plot([rows[name]["blind"].value for *_, name in listed], range(len(listed)), **BLIND)
    axes[0].set_yticks(range(len(listed)), [name for *_, name in listed])
    for block in blocks:
        middle = float(np.mean([i for i, row in enumerate(listed) if row[0] == block]))
        axes[1].text(1.02, middle, block, transform=axes[1].get_yaxis_transform(), rotation=270, va="center")
    handles = [plt.Line2D([], [], color=c, marker=m, mfc=inside, label=kind) for kind, (c, m, inside) in styles.items()]
    handles.append(plt.Line2D([], [], **BLIND))
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return figure
