"""What stands behind notebook 07: a farm for each defence, the attackers, and the intervals.

A **recipe** is a dictionary of knobs for `train_one` or, with an "epsilon" in it, for `train_privately`; the empty one is
training without defence. A reader's own defence is a function instead, `fit(images, labels, seed)`.
"""

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

from mia_helpers import attacks, defences, metrics, signals
from mia_helpers.bank import ShadowBank
from mia_helpers.data import ImageSet, load_digits
from mia_helpers.models import SmallClassifier
from mia_helpers.private import PrivateTraining, train_private
from mia_helpers.shadows import module_logits, train_shadows
from mia_helpers.training import fit

Fit = Callable[[np.ndarray, np.ndarray, int], object]

N_MODELS = 16
N_MEMBERS = 500
DELTA = 0.001
NEAR = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))  # shifts, down and right, under which every model is asked


# -------------------------------------------------------------------------------------------------------------- the farm


@functools.cache
def pool() -> tuple[ImageSet, ImageSet, ImageSet]:
    """The owner's digits: 1,000 candidates, 250 that no model is trained on, 250 that only early stopping uses."""
    candidates, rest = load_digits("target").split(2 * N_MEMBERS, 500, seed=0)
    unseen, spare = rest.split(250, 250, seed=0)
    return candidates, unseen, spare


def train_one(
    images: np.ndarray,
    labels: np.ndarray,
    seed: int,
    *,
    dropout: float = 0.0,
    shift: int = 0,
    smoothing: float = 0.0,
    alpha: float | None = None,
    patience: int | None = None,
    **settings: Any,
) -> nn.Module:
    """The small network, trained for 20 epochs with whatever defences are switched on.

    Args:
        images: `[N, 1, 28, 28]`. labels: `[N]`. seed: of weights and order.
        dropout: share of hidden units switched off. shift: augmentation by so many pixels. smoothing: of the labels.
        alpha: RelaxLoss near this loss, instead of cross-entropy. patience: early stopping on the 250 spare digits.
        settings: of the training loop: epochs, lr, batch_size, weight_decay.
    """
    network: nn.Module = SmallClassifier(dropout=dropout)
    if shift:
        network = nn.Sequential(defences.RandomShift(shift), network)
    loss = defences.relaxloss(alpha) if alpha else partial(nn.functional.cross_entropy, label_smoothing=smoothing)
    settings = {"epochs": 20, "lr": 3e-3, "progress": False} | settings
    if patience is not None:
        spare = pool()[2]
        settings |= {"patience": patience, "validation": (spare.images, spare.labels)}
    return fit(network, torch.tensor(images), torch.tensor(labels), loss, seed=seed, **settings).model


def private_network(kind: str) -> nn.Module:
    """The networks tried with DP-SGD: "relu" is the small one, "tanh" the same with tanh, "linear" has no hidden layer.

    Raises:
        ValueError: another kind.
    """
    if kind not in ("relu", "tanh", "linear"):
        raise ValueError(f"kind must be 'relu', 'tanh' or 'linear', got {kind!r}")
    if kind == "linear":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    network = SmallClassifier()
    for layers in (network.features, network.classifier):
        for i, layer in enumerate(layers):
            if kind == "tanh" and isinstance(layer, nn.ReLU):
                layers[i] = nn.Tanh()
    return network


def train_privately(
    images: np.ndarray,
    labels: np.ndarray,
    seed: int,
    *,
    epsilon: float,
    kind: str,
    lr: float,
    batch_size: int = 100,
) -> nn.Module:
    """DP-SGD at δ = 0.001: 10 epochs, clipping norm 1; ε = inf: clipping only. Arguments as in `train_one`."""
    return private_training(images, labels, seed, epsilon=epsilon, kind=kind, lr=lr, batch_size=batch_size).model


def private_training(
    images: ArrayLike, labels: ArrayLike, seed: int, *, epsilon: float, kind: str, lr: float, batch_size: int = 100
) -> PrivateTraining:
    """What `train_privately` trains, with its account."""
    data = ImageSet(torch.tensor(np.asarray(images)), torch.tensor(np.asarray(labels)), "members")
    settings: dict[str, Any] = {"epochs": 10, "lr": lr, "batch_size": batch_size, "seed": seed, "progress": False}
    return train_private(private_network(kind), data, epsilon, DELTA, **settings)


def ask_shifted(model: Any, images: np.ndarray, shifts: Sequence[tuple[int, int]] = NEAR) -> np.ndarray:
    """Logits about each image and its shifted copies, `[N, len(shifts) · 10]`."""
    copies = [np.roll(images, shift, axis=(2, 3)) for shift in shifts]
    return np.concatenate([module_logits(model, copy) for copy in copies], axis=1)


@dataclass(frozen=True)
class Case:
    """What the models of one defence answer, about 1,000 candidates and 250 digits that none of them has seen.

    Attributes:
        mask: bool `[S, 1000]`, which candidates each model was trained on.
        logits: float32 `[S, 1000, 10]`, answers about the candidates. labels: `[1000]`.
        phi: logit confidence `[S, 1000, K]`, right: is the label right, bool `[S, 1000, K]`; K copies, the first unshifted.
        read: is the label right, bool `[S, 1250]`, the unseen included. trained_on: bool `[S, 1250]`.
    """

    mask: np.ndarray
    logits: np.ndarray
    labels: np.ndarray
    phi: np.ndarray
    right: np.ndarray
    read: np.ndarray
    trained_on: np.ndarray

    @classmethod
    def of(cls, bank: ShadowBank) -> "Case":
        """Cut a bank with logits `[S, N, K · 10]` into handy pieces."""
        n = bank.settings["n_candidates"]
        logits = np.asarray(bank.logits).reshape(*bank.member_mask.shape, -1, 10)
        right = logits.argmax(-1) == bank.labels[:, None]
        copies = np.moveaxis(logits[:, :n], 2, 0)
        phi = np.stack([signals.logit_confidence(copy, bank.labels[:n]) for copy in copies], axis=-1)
        mask = bank.member_mask
        return cls(mask[:, :n], logits[:, :n, 0], bank.labels[:n], phi, right[:, :n], right[..., 0], mask)


def fit_of(recipe: Mapping[str, Any] | Fit) -> Fit:
    """The training function of a recipe; a function is one already."""
    if callable(recipe):
        return recipe
    return partial(train_privately if "epsilon" in recipe else train_one, **recipe)


def copies_for(recipe: Mapping[str, Any] | Fit) -> tuple[tuple[int, int], ...]:
    """The shifts under which a model is asked: by a pixel; if it was trained on shifted digits, also as far as there."""
    furthest = 0 if callable(recipe) else recipe.get("shift", 0)
    if not furthest:
        return NEAR
    steps = sorted({-furthest, -1, 0, 1, furthest})
    return NEAR + tuple(shift for shift in itertools.product(steps, steps) if shift not in NEAR)


def farm(recipe: Mapping[str, Any] | Fit, n_models: int = N_MODELS, shifts: Sequence[tuple[int, int]] | None = None) -> Case:
    """Models with one defence, each trained on its own random 500 of the candidates, and all their answers.

    Memberships and seeds do not depend on the recipe, so that two defences can be compared model by model.

    Args:
        recipe: knobs, or a function `fit(images, labels, seed)`.
        shifts: (down, right) of the copies that each model is asked about, the first (0, 0); default `copies_for(recipe)`.
    """
    candidates, unseen, _ = pool()
    name = recipe.__name__ if callable(recipe) else dict(recipe)
    bank = train_shadows(
        n_models,
        torch.cat([candidates.images, unseen.images]),
        torch.cat([candidates.labels, unseen.labels]).numpy(),
        fit=fit_of(recipe),
        answer=partial(ask_shifted, shifts=copies_for(recipe) if shifts is None else tuple(shifts)),
        key=f"notebook 07: {name}",
        n_members=N_MEMBERS,
        n_candidates=2 * N_MEMBERS,
    )
    return Case.of(bank)


def tried(recipe: Mapping[str, Any] | Fit) -> float:
    """Accuracy of one training with the recipe, on digits of the other owner, who is nobody's target."""
    other = load_digits("shadow").split(1000, 1000, seed=0)[0]
    key = f"notebook 07, tuning: {recipe.__name__ if callable(recipe) else dict(recipe)}"
    bank = train_shadows(1, other.images, other.labels, fit=fit_of(recipe), n_members=N_MEMBERS, key=key)
    return float((bank.logits.argmax(-1) == bank.labels)[~bank.member_mask].mean())


def blind_phi() -> np.ndarray:
    """φ of the candidates, `[4, 1000]`, from four undefended models trained on other digits, of another owner."""
    candidates = pool()[0]
    bank = train_shadows(
        4, candidates.images, candidates.labels, fit=_train_blind, answer=ask_shifted, key="notebook 07: blind", seed=1
    )
    return np.stack([signals.logit_confidence(z[:, :10], candidates.labels.numpy()) for z in bank.logits])


def _train_blind(images: np.ndarray, labels: np.ndarray, seed: int) -> nn.Module:
    other = load_digits("shadow").split(N_MEMBERS, N_MEMBERS, seed=seed % 2**32)[0]
    return train_one(other.images.numpy(), other.labels.numpy(), seed)


# ---------------------------------------------------------------------------------------------------------- the attackers


def lira(values: np.ndarray, mask: np.ndarray, shadow_values: np.ndarray | None = None) -> np.ndarray:
    """LiRA with each model as the target once and the others as its shadows: scores `[S, N]`, 0 where nothing is known.

    Args:
        values: `[S, N]`, what normal distributions are fitted to, such as φ, as the target shows it.
        mask: bool `[S, N]`, who was a member.
        shadow_values: the same as the adversary's shadows show it, if that is something else.
    """
    shadow_values = values if shadow_values is None else shadow_values
    bank = ShadowBank(shadow_values[..., None], mask, np.zeros(mask.shape[1], dtype=int))
    attack = attacks.LiRAAttack(signal=_first)
    return np.nan_to_num(attacks.leave_one_out(attack, bank, answers=values[..., None]))


def _first(values: ArrayLike, labels: ArrayLike) -> np.ndarray:
    return np.asarray(values)[..., 0]


def advantage(values: np.ndarray, mask: np.ndarray, shadow_values: np.ndarray) -> metrics.Estimate:
    """TPR − FPR of a threshold that is best on the other models' `shadow_values`, mean over models; `[S, N]` each."""
    found = []
    for t, (own, member) in enumerate(zip(values, mask)):
        others = np.arange(len(mask)) != t
        claimed = own >= metrics.best_threshold(shadow_values[others].ravel(), mask[others].ravel())
        found.append(claimed[member].mean() - claimed[~member].mean())
    return metrics.mean_over_models(found)


def exposure(case: Case) -> np.ndarray:
    """How much surer the *other* models are of each candidate if they had it: mean φ in minus out, `[S, N]`."""
    phi, found = case.phi[..., 0], []
    for t in range(len(phi)):
        others, had = np.delete(phi, t, 0), np.delete(case.mask, t, 0)
        inside, outside = ((others * kind).sum(0) / np.maximum(kind.sum(0), 1) for kind in (had, ~had))
        found.append(inside - outside)
    return np.array(found)


def most_exposed(case: Case, share: float = 0.05) -> np.ndarray:
    """Whom to attack, by the shadows alone: the share of candidates with the largest exposure, bool `[S, N]`."""
    values = exposure(case)
    return values >= np.quantile(values, 1 - share, axis=1, keepdims=True)


# -------------------------------------------------------------------------------------------------------------- the judge


@dataclass(frozen=True)
class Verdict:
    """One defence, judged; all but `scores` as draws of a bootstrap over models and digits (`metrics.Draws`).

    Attributes:
        accuracy: on non-members. gap: on members minus on non-members.
        scores: attack -> `[S, 1000]`. auc, tpr: attack -> draws; the TPR at an FPR of 1 %.
    """

    accuracy: np.ndarray
    gap: np.ndarray
    scores: dict[str, np.ndarray]
    auc: dict[str, np.ndarray]
    tpr: dict[str, np.ndarray]

    @property
    def strongest(self) -> str:
        """The attack with the largest AUC."""
        return max(self.auc, key=lambda name: self.auc[name][0])


def judge(case: Case) -> Verdict:
    """Four attackers who know the defence, since their shadows are the other models of the same farm."""
    scores = {
        "loss threshold": case.phi[..., 0],
        "LiRA": lira(case.phi[..., 0], case.mask),
        "LiRA, shifted copies": lira(case.phi.mean(-1), case.mask),
        "label-only": lira(case.right.mean(-1), case.mask),
    }
    members, non_members = (rate(case.read, kind) for kind in (case.trained_on, ~case.trained_on))
    return Verdict(
        non_members,
        members - non_members,
        scores,
        {name: auc(s, case.mask) for name, s in scores.items()},
        {name: metrics.Draws(*s.shape).tpr_at_fpr(s, case.mask, 0.01) for name, s in scores.items()},
    )


def auc(scores: np.ndarray, mask: np.ndarray, group: np.ndarray | None = None) -> np.ndarray:
    """Draws of the AUC, `[200]`, the first the value itself; always the same draws, so that differences are paired."""
    return metrics.Draws(*scores.shape).auc(scores, mask, group)


def rate(event: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Draws of the mean over models of the share of `group` with `event`; bool `[S, N]` each."""
    return metrics.Draws(*event.shape).rate(event, group)


def best_tpr(epsilon: float, delta: float, fpr: ArrayLike) -> np.ndarray:
    """The largest TPR that any attack on an (ε, δ)-differentially private model can have at `fpr`, of the same shape.

    Both bounds: TPR ≤ e^ε FPR + δ, and the same with members and non-members exchanged (Kairouz et al. 2015,
    arXiv 1311.0776).
    """
    fpr, grow = np.asarray(fpr, dtype=np.float64), np.exp(epsilon)
    return np.minimum(1, np.minimum(grow * fpr + delta, 1 - (1 - fpr - delta) / grow))


def shown_epsilon(scores: np.ndarray, mask: np.ndarray) -> float:
    """The ε at δ = 0.001 below which no training would have let these scores `[S, N]` be so good.

    Every other digit chooses the threshold, the rest are counted.
    """
    halves = [(scores[:, part::2].ravel(), mask[:, part::2].ravel()) for part in (0, 1)]
    return metrics.epsilon_lower_bound(*halves[0], *halves[1], delta=DELTA)


def agreement(ranking: Sequence[str], leaks: Mapping[str, np.ndarray]) -> tuple[int, int, int]:
    """Pairs of a ranking, best first: (as the trial says, the other way round, too close for the trial to tell).

    Args:
        ranking: names. leaks: name -> draws of its leakage, the same draws for all.

    Raises:
        ValueError: a name without leakage.
    """
    if unknown := [name for name in ranking if name not in leaks]:
        raise ValueError(f"nothing is known about {unknown[0]!r}; known are {', '.join(leaks)}")
    right = wrong = close = 0
    for better, worse in itertools.combinations(ranking, 2):
        difference = metrics.Draws.estimate(leaks[worse] - leaks[better])
        right += difference.low > 0
        wrong += difference.high < 0
        close += difference.low <= 0 <= difference.high
    return right, wrong, close


def own(fit: Fit, n_models: int = N_MODELS) -> Case | None:
    """The farm of a reader's own defence; None, with a sentence, if there is none yet, or none that trains."""
    candidates = pool()[0].subset(range(N_MEMBERS))
    try:
        model = fit(candidates.images.numpy().copy(), candidates.labels.numpy().copy(), 0)
    except Exception as error:  # noqa: BLE001 (whatever the reader's code raises; the exercise has said so, too)
        print(f"Your defence stops with {type(error).__name__}: {error}")
        return None
    if not isinstance(model, nn.Module):
        print("No defence of your own yet: the picture stays as it is.")
        return None
    return farm(fit, n_models, copies_for({"shift": 3}))  # it may have been trained on shifted digits
