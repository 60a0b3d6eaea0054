"""Eight models for each recipe: each is a target once, and once the shadow of the one before it.

What notebook 05 keeps out of sight: whose digits a model is trained on, the knobs of a training, and who attacks whom. Even
models belong to the owner's half of the digits, odd ones to the adversary's, so that target and shadow share no digit.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn
from torch.nn.functional import cross_entropy

from mia_helpers import plots, signals
from mia_helpers.attacks import Attack
from mia_helpers.bank import ShadowBank
from mia_helpers.data import ImageSet, load_digits
from mia_helpers.inputs import whole_number
from mia_helpers.metrics import Estimate, auc, roc_curve
from mia_helpers.models import SmallClassifier
from mia_helpers.shadows import train_shadows
from mia_helpers.training import fit

N_MODELS, N_SPARE = 8, 250
# Where the names of the picture's dots go, and the one that stands for two dots on one another.
OFFSETS = {
    "no defence": (-8, 8),
    "early stopping": (-6, 14),
    "weight decay": (8, -6),
    "dropout": (8, -6),
    "label smoothing": (-8, 6),
    "labels only": (10, -6),
}
TEXTS = {"no defence": "no defence and\nrounded confidences", "rounded confidences": ""}
KNOBS = {"epochs", "width", "dropout", "weight_decay", "label_smoothing", "patience"}


@dataclass(frozen=True, eq=False)
class Models:
    """T models of one recipe, each with its own members, and what it answers about the N digits of its half.

    Attributes:
        logits: float64 `[T, N, 10]`.
        member_mask: bool `[T, N]`.
        labels: int `[T, N]`, as they stand in the owner's records (some are wrong if the recipe says so).
        truth: int `[T, N]`, what the digits really are.
    """

    logits: np.ndarray
    member_mask: np.ndarray
    labels: np.ndarray
    truth: np.ndarray

    def __len__(self) -> int:
        return len(self.logits)

    def pairs(self) -> Iterator[tuple[ShadowBank, ShadowBank]]:
        """(target, shadow), T times: the shadow of each is the next one, that of the last is the first."""
        banks = [ShadowBank.single(*of_one) for of_one in zip(self.logits, self.labels, self.member_mask)]
        yield from zip(banks, banks[1:] + banks[:1])

    @cached_property
    def accuracy(self) -> np.ndarray:
        """The share of the digits it has not seen that each model reads correctly, `[T]`."""
        return self._right(~self.member_mask, self.truth)

    @cached_property
    def gap(self) -> np.ndarray:
        """Accuracy on members minus accuracy on the others, by the labels in the records, `[T]`."""
        return self._right(self.member_mask, self.labels) - self._right(~self.member_mask, self.labels)

    def _right(self, group: np.ndarray, labels: np.ndarray) -> np.ndarray:
        right = self.logits.argmax(-1) == labels
        return (right & group).sum(1) / group.sum(1)


def train(*, n_models: int = N_MODELS, n_members: int = 500, wrong_labels: float = 0.0, **knobs: Any) -> Models:
    """Train `n_models` models by one recipe, or read them from the cache.

    The same call gives the same members and the same random numbers whatever the knobs, so that recipes can be compared
    model by model.

    Args:
        n_models: an even number. n_members: of each model, drawn at random from its half.
        wrong_labels: share of all records, members or not, that carry a wrong label.
        knobs: `epochs` (20), `width` (1), `dropout` (0), `weight_decay` (0), `label_smoothing` (0), `patience` (None).
            With `patience`, 250 digits of the same half that no model sees are the validation set.

    Raises:
        ValueError: an odd number of models, a share outside [0, 1), or a knob out of range. TypeError: an unknown knob.
    """
    if whole_number("n_models", n_models, 2) % 2:
        raise ValueError(f"n_models must be even, half for each owner of digits, got {n_models}")
    if unknown := set(knobs) - KNOBS:
        raise TypeError(f"unknown knob {min(unknown)}; there are {', '.join(sorted(KNOBS))}, n_members and wrong_labels")
    if not 0 <= wrong_labels < 1:
        raise ValueError(f"wrong_labels must lie in [0, 1), got {wrong_labels}")
    banks, truths = [], []
    for owner in ("target", "shadow"):
        digits = load_digits(owner)
        pool, spare = digits.subset(range(len(digits) - N_SPARE)), digits.subset(range(len(digits) - N_SPARE, len(digits)))
        truth = pool.labels.numpy()
        bank = train_shadows(
            n_models // 2,
            pool.images,
            with_wrong_labels(truth, wrong_labels),
            fit=partial(_fit, spare=spare if "patience" in knobs else None, **knobs),
            key="eight models",
            n_members=n_members,
            progress=False,
        )
        banks.append(bank)
        truths.append(truth)
    n = n_models // 2

    def alternating(arrays: list[np.ndarray]) -> np.ndarray:  # two [n, …] to [2 n, …]
        return np.stack(arrays, axis=1).reshape(-1, *arrays[0].shape[1:])

    return Models(
        alternating([np.asarray(bank.logits, dtype=np.float64) for bank in banks]),
        alternating([bank.member_mask for bank in banks]),
        alternating([np.tile(bank.labels, (n, 1)) for bank in banks]),
        alternating([np.tile(truth, (n, 1)) for truth in truths]),
    )


def attacked(models: Models, attack: Attack, shadows: Models | None = None) -> dict[str, np.ndarray]:
    """Let `attack` learn from each target's shadow and judge the target: "AUC" and "advantage" of each, `[T]`.

    Args:
        attack: one of `mia_helpers.attacks`; it is fitted anew for each target.
        shadows: an adversary's own models, T of them, instead of the targets' neighbours: another recipe, another mask.
    """
    found: dict[str, list[float]] = {"AUC": [], "advantage": []}
    for (target, _), (_, shadow) in zip(models.pairs(), (shadows or models).pairs(), strict=True):
        scores = attack.fit(shadow).score(target.logits[0], target.labels)
        claimed, is_member = scores >= attack.threshold, target.member_mask[0]
        found["AUC"].append(auc(scores, is_member).value)
        found["advantage"].append(claimed[is_member].mean() - claimed[~is_member].mean())
    return {name: np.array(values) for name, values in found.items()}


def own(recipe: Callable[[], Mapping[str, Any] | None]) -> Models | None:
    """The models of a reader's own recipe; None, with a sentence, if there is none yet, or none that trains."""
    try:
        knobs = recipe()
        if knobs is not None:
            return train(**knobs)
    except Exception as error:  # noqa: BLE001 (whatever the reader's code raises; the exercise has said so, too)
        print(f"Your recipe stops with {type(error).__name__}: {error}")
        return None
    print("No recipe of your own yet: the picture stays as it is.")
    return None


def lead(models: Models, n_points: int = 101) -> np.ndarray:
    """TPR minus FPR of the loss threshold at every FPR, `[T, n_points]` for FPRs from 0 to 1 (straight between two).

    The highest point is the largest advantage that a threshold can have, the mean the AUC minus one half.
    """
    grid, found = np.linspace(0, 1, n_points), []
    for logits, labels, is_member in zip(models.logits, models.labels, models.member_mask):
        fpr, tpr, _ = roc_curve(signals.negative_loss(logits, labels), is_member)
        found.append(np.interp(grid, fpr, tpr) - grid)
    return np.array(found)


def with_wrong_labels(labels: np.ndarray, share: float) -> np.ndarray:
    """Labels `[N]`, of which `share` (at random, the same ones for a smaller share, too) are replaced by another digit."""
    rng = np.random.default_rng(0)
    chance, step = rng.random(len(labels)), rng.integers(1, 10, len(labels))
    return (labels + np.where(chance < share, step, 0)) % 10


def _fit(
    images: np.ndarray,
    labels: np.ndarray,
    seed: int,
    *,
    spare: ImageSet | None,
    epochs: int = 20,
    width: float = 1.0,
    dropout: float = 0.0,
    weight_decay: float = 0.0,
    label_smoothing: float = 0.0,
    patience: int | None = None,
) -> nn.Module:
    """One training, as `train_shadows` calls it."""
    return fit(
        SmallClassifier(width=width, dropout=dropout),
        torch.tensor(images),
        torch.tensor(labels),
        partial(cross_entropy, label_smoothing=label_smoothing),
        epochs=epochs,
        lr=3e-3,
        seed=seed,
        weight_decay=weight_decay,
        validation=None if spare is None else (spare.images, spare.labels),
        patience=patience,
        progress=False,
    ).model


def plot_knobs(
    panels: Mapping[str, Mapping[str, Mapping[float, Estimate]]], *, label: str, chance: float, linear: Collection[str] = ()
) -> Figure:
    """One panel a knob, two in a row: what a setting does to a measured quantity, with intervals.

    Args:
        panels: knob -> name of a line -> setting -> estimate, up to three lines. The axes are logarithmic, and say so,
            but for those in `linear`.
        label: of the vertical axis.
    """
    n_rows = -(-len(panels) // 2)
    figure, axes = plt.subplots(
        n_rows, 2, figsize=(6.5, 0.4 + 2.3 * n_rows), sharey=True, layout="constrained", squeeze=False
    )
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    for ax, (knob, lines) in zip(axes.flat, panels.items()):
        logarithmic = knob not in linear
        if logarithmic:
            ax.set_xscale("log")
        for i, (name, points) in enumerate(lines.items()):
            x = np.array(list(points), dtype=float)
            if logarithmic:  # on both sides of the tick, or lines that share a setting hide each other's intervals
                x *= 1.06 ** (i - (len(lines) - 1) / 2)
            low, value, high = np.transpose([(e.low, e.value, e.high) for e in points.values()])
            style = {"fmt": ("o-", "s--", "^-.")[i], "color": plots.SERIES[i], "capsize": 3, "label": name}
            ax.errorbar(x, value, [value - low, high - value], **style)
        settings = sorted({x for points in lines.values() for x in points})
        ax.set_xticks(settings, [f"{x:,g}" for x in settings])
        ax.set_xticks([], minor=True)
        ax.set_xlabel(f"{knob}, log scale" if logarithmic else knob)
        if len(lines) > 1:
            ax.legend(frameon=False)
        last = ax in axes[:, -1] or ax is axes.flat[len(panels) - 1]
        plots.chance_line(ax, chance, horizontal=True, name="chance" if last else "")
    for ax in axes[:, 0]:
        ax.set_ylabel(label)
    return figure


def plot_leads(leads: Mapping[str, np.ndarray]) -> Axes:
    """The mean of each group of curves that `lead` gives, by name, up to three."""
    _, ax = plt.subplots(figsize=(6.5, 3), layout="constrained")
    for (name, curves), style, colour in zip(leads.items(), ("-", "--", "-."), plots.SERIES):
        ax.plot(np.linspace(0, 1, curves.shape[1]), curves.mean(0), style, color=colour, label=name)
    ax.set(xlabel="false-positive rate of the threshold", ylabel="TPR minus FPR", xlim=(0, 1))
    plots.chance_line(ax, 0, horizontal=True)
    ax.legend(frameon=False, loc="upper left")
    return ax


def plot_bargains(picture: Mapping[str, tuple[Estimate, Estimate]], least: float) -> Axes:
    """Utility against leakage of notebook 05's defences; what is less accurate than `least` is shaded, and cannot be had.

    Args:
        picture: defence -> (accuracy, leakage), as in `plots.tradeoff`.
    """
    _, ax = plt.subplots(figsize=(7, 4), layout="constrained")
    labels = ("accuracy on unseen digits (utility)", "leakage (AUC)")
    texts = TEXTS if "rounded confidences" in picture else {}
    plots.tradeoff(picture, labels=labels, chance=0.5, offsets=OFFSETS, texts=texts, ax=ax)
    left, right = ax.get_xlim()
    ax.axvspan(left, max(left, least), color=plots.NEUTRAL, alpha=0.2, linewidth=0)
    ax.set_xlim(left, right)
    return ax
