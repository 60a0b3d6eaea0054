"""The models that several notebooks share: the classic target of notebook 02, the shadow of 03, the blind model of 04."""

import os
from dataclasses import dataclass

import joblib
import torch
from torch import nn

from mia_helpers.data import ImageSet, load_digits
from mia_helpers.models import ClassifierModel
from mia_helpers.progress import tqdm
from mia_helpers.seeds import VARIABLE, seed_shift
from mia_helpers.training import load_or_train

CLASSIC = {"epochs": 50, "lr": 1e-4, "batch_size": 64}
N_MEMBERS = N_NON_MEMBERS = 2_000
SEEDS = {"target": 0, "shadow": 1, "blind": 2}
N_BLIND = 3


@dataclass(frozen=True)
class Experiment:
    """A trained model, the digits it was trained on, equally many of the same kind that it has not seen, its history."""

    model: nn.Module
    members: ImageSet
    non_members: ImageSet
    history: dict[str, list[float]]


def experiment(role: str, number: int = 0, progress: bool = True) -> Experiment:
    """Train, or load from the cache, one of the classic CNNs: 2,000 digits, 50 epochs, Adam 1e-4, batches of 64.

    Args:
        role: `"target"` (trained on the target's digits), `"shadow"` (on the adversary's), or `"blind"`: trained like the
            target, on digits that neither the target nor the shadow was trained on. The blind model has seen none of the
            target owner's digits, so what an attack "finds" in it cannot be membership.
        number: which blind model, 0 … 2. From 1 on they are trained on other random parts of the adversary's digits, some of
            which the shadow has seen, too; none has seen a digit of the target's owner.
        progress: show a bar while it trains.

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
    result = load_or_train(
        ClassifierModel(), members, validation=validation, seed=SEEDS[role] + number, progress=progress, **CLASSIC
    )
    return Experiment(result.model, members, non_members, result.history)


def experiments(progress: bool = True) -> tuple[Experiment, Experiment, list[Experiment]]:
    """Target, shadow and all three blind models; those that are not in the cache are trained side by side.

    In processes with one thread each, as many at a time as torch has threads here: side by side they take less time than one
    after the other with all threads.
    """
    roles = [("target", 0), ("shadow", 0), *(("blind", number) for number in range(N_BLIND))]
    tasks = (joblib.delayed(_alone)(role, number, seed_shift()) for role, number in roles)
    made = joblib.Parallel(n_jobs=torch.get_num_threads(), return_as="generator")(tasks)
    target, shadow, *blind = tqdm(made, desc="models", total=len(roles), leave=False, disable=not progress)
    return target, shadow, blind


def _alone(role: str, number: int, shift: int) -> Experiment:
    """One of them, with one thread, and with the caller's `MIA_SEED_SHIFT`, which a worker started earlier has not."""
    if seed_shift() != shift:
        os.environ[VARIABLE] = str(shift)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return experiment(role, number, progress=False)
    finally:
        torch.set_num_threads(threads)
