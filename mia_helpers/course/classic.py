"""The models that several notebooks share: the classic target of notebook 02, the shadow of 03, the blind model of 04."""

from dataclasses import dataclass

from torch import nn

from mia_helpers.data import ImageSet, load_digits
from mia_helpers.models import ClassifierModel
from mia_helpers.training import load_or_train

CLASSIC = {"epochs": 50, "lr": 1e-4, "batch_size": 64}
N_MEMBERS = N_NON_MEMBERS = 2_000
SEEDS = {"target": 0, "shadow": 1, "blind": 2}
N_BLIND = 4


@dataclass(frozen=True)
class Experiment:
    """A trained model, the digits it was trained on, equally many of the same kind that it has not seen, its history."""

    model: nn.Module
    members: ImageSet
    non_members: ImageSet
    history: dict[str, list[float]]


def experiment(role: str, number: int = 0) -> Experiment:
    """Train, or load from the cache, one of the classic CNNs: 2,000 digits, 50 epochs, Adam 1e-4, batches of 64.

    Args:
        role: `"target"` (trained on the target's digits), `"shadow"` (on the adversary's), or `"blind"`: trained like the
            target, on digits that neither the target nor the shadow was trained on. The blind model has seen none of the
            target owner's digits, so what an attack "finds" in it cannot be membership.
        number: which blind model, 0 … 3. From 1 on they are trained on other random parts of the adversary's digits, some of
            which the shadow has seen, too; none has seen a digit of the target's owner.

    Only the target's learning curve is looked at, so only its history has the side of the non-members, too.

    Raises:
        ValueError: unknown role, or a number that there is not.
    """
    if role not in SEEDS:
        raise ValueError(f"unknown role {role!r}; choose one of {', '.join(SEEDS)}")
    if not 0 <= number < (N_BLIND if role == "blind" else 1):
        raise ValueError(f"there is no {role} number {number}; there are {N_BLIND} blind models, one target and one shadow")
    digits = load_digits("target" if role == "target" else "shadow")
    members, non_members = digits.split(N_MEMBERS, N_NON_MEMBERS, seed=number)
    if role == "blind":
        members, non_members = non_members, members
    validation = non_members if role == "target" else None
    result = load_or_train(ClassifierModel(), members, validation=validation, seed=SEEDS[role] + number, **CLASSIC)
    return Experiment(result.model, members, non_members, result.history)
