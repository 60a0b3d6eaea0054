"""Notebook 11: three sealed targets that may be asked, and a referee who knows the truth and scores what is submitted.

Who was a member follows from a key and is computed when a training or a score needs it; it is in no variable and in no file.
That keeps honest people from seeing it by accident, no more. The key is `MIA_CHALLENGE_KEY` if that is set (a teacher's own
gives other targets and other members), else the course's; `python -m mia_helpers.course.challenge` prints it.
"""

import base64
import contextlib
import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from filelock import FileLock
from matplotlib.axes import Axes
from numpy.typing import ArrayLike
from scipy.special import softmax
from torch import nn

from mia_helpers import attacks, masks, metrics, plots, signals
from mia_helpers.bank import ShadowBank, draw_members
from mia_helpers.cache import atomic_path, cache_dir
from mia_helpers.course import trial
from mia_helpers.course.predictions import nobody
from mia_helpers.course.scores import note
from mia_helpers.data import ImageSet, load_digits
from mia_helpers.shadows import train_shadows
from mia_helpers.training import predict_logits

N_CANDIDATES, N_MEMBERS, FPR = 1500, 500, 0.01  # 1,000 non-members: 1 % of them are the ten people that the rate needs
EPSILON, DELTA = 2.0, trial.DELTA
N_SHADOWS, TOO_GOOD = 24, 0.9
CARDS = {
    "A": "SmallClassifier, trained as `train_shadows(…, epochs=30)` does. Answers with all ten probabilities.",
    "B": "The same training. MemGuard in front of it: `guarded` moves the largest probability to exactly 0.9.",
    "C": f"DP-SGD, ε = {EPSILON:g}, δ = {DELTA:g}: `fit_privately`. Answers with all ten probabilities.",
}


def candidates() -> ImageSet:
    """The 1,500 digits that are asked about; each target was trained on 500 of them, drawn at random."""
    return load_digits("target").split(N_CANDIDATES, 1000, seed=11)[0]


def guarded(logits: ArrayLike) -> np.ndarray:
    """What target B answers, probabilities `[..., N, 10]`, for logits of the same shape."""
    return masks.memguard(logits, threshold=0.9, budget=2.0, seed=0)


def fit_privately(images: np.ndarray, labels: np.ndarray, seed: int) -> nn.Module:
    """The training of target C, as notebook 07 trains its DP CNN: for `train_shadows(…, fit=fit_privately, key=…)`."""
    return trial.train_privately(images, labels, seed, epsilon=EPSILON, kind="tanh", lr=1.0)


def shadows(n: int, *, private: bool = False, seed: int = 0) -> ShadowBank:
    """`n` shadows on random 500 of the candidates, trained as A and B are or, `private`, as C is; logits `[n, 1500, 10]`."""
    return _farm(n, private, seed, progress=True)


def _farm(n: int, private: bool, seed: int, *, keep_models: bool = False, progress: bool = False) -> ShadowBank:
    recipe: dict[str, Any] = {"fit": fit_privately, "key": "challenge: private"} if private else {"epochs": 30}
    if private and keep_models:
        recipe["model"] = partial(trial.private_network, "tanh")
    people = candidates()
    return train_shadows(
        n,
        people.images,
        people.labels,
        n_candidates=N_CANDIDATES,
        n_members=N_MEMBERS,
        seed=seed,
        keep_models=keep_models,
        progress=progress,
        **recipe,
    )


# ----------------------------------------------------------------------------------------------------------- the seal


def _key() -> str:
    return os.environ.get("MIA_CHALLENGE_KEY") or base64.b64decode(b"d2hvIHdhcyBpbiBpdD8=").decode()


def _seed(name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{_key()} {name}".encode()).digest()[:4], "big") // 2


def truth_of(name: str) -> np.ndarray:
    """Who was a member of a target, bool `[1500]`, computed anew each time."""
    return draw_members(1, _seed(name), N_MEMBERS, N_CANDIDATES, N_CANDIDATES)[0]


class SealedTarget:
    """A model that answers and says nothing else.

    Attributes:
        name: A, B or C.
        card: what its owner tells the public.
        n_queries: images that it was asked about so far.
    """

    def __init__(self, name: str, card: str, answer: Callable[[torch.Tensor], np.ndarray]) -> None:
        self.name, self.card, self.n_queries, self._answer = name, card, 0, answer

    def ask(self, images: ArrayLike) -> np.ndarray:
        """Probabilities, float64 `[N, 10]`, for images `[N, 1, 28, 28]` in [0, 1]; each image is one query.

        Raises:
            ValueError: another shape, or pixels that are not numbers in [0, 1].
        """
        images = torch.as_tensor(np.asarray(images), dtype=torch.float32)
        if images.ndim != 4 or images.shape[1:] != (1, 28, 28) or not ((images >= 0) & (images <= 1)).all():
            raise ValueError(f"images must be [N, 1, 28, 28] with pixels in [0, 1], got shape {list(images.shape)}")
        self.n_queries += len(images)
        return self._answer(images)

    def __repr__(self) -> str:
        return f"target {self.name} ({self.n_queries:,} queries so far): {self.card}"


def sealed_targets() -> dict[str, SealedTarget]:
    """The three targets by name; trained at the first call, some seconds each."""
    return {name: _sealed(name) for name in CARDS}


def _sealed(name: str) -> SealedTarget:
    (model,) = cast(list, _farm(1, name == "C", _seed(name), keep_models=True).models)
    service = guarded if name == "B" else plain
    return SealedTarget(name, CARDS[name], lambda images: service(predict_logits(model, images)))


# --------------------------------------------------------------------------------------------------------- the referee


@dataclass(frozen=True)
class Verdict:
    """What the referee says about one submission: AUC and TPR at 1 % FPR with 95 % intervals, and the place among all."""

    target: str
    name: str
    auc: metrics.Estimate
    tpr: metrics.Estimate
    place: int
    n_baselines: int

    def __repr__(self) -> str:
        lines = [
            f"{self.name} on target {self.target}: AUC {self.auc}, TPR at 1 % FPR {self.tpr}",
            f"place {self.place} of {self.n_baselines + 1}, by AUC, you and {self.n_baselines} baselines",
        ]
        if self.auc.high < 0.5:
            lines.append("Below one half by more than luck: is higher more likely a member, and are the rows in order?")
        if self.auc.value > TOO_GOOD:
            lines.append("No answer of these targets gives that much away. How did the truth get into your scores?")
        return "\n".join(lines)


class Referee:
    """Scores submissions, keeps their history, and shows the truth at the end.

    Args:
        truth: `truth(target)` gives who was a member, bool `[N]`; called for each score, never kept.
        baselines: `baselines(target)` gives scores `[N]` by name.
        targets: their names.
        path: file of the history; None: it is not kept.
    """

    def __init__(
        self,
        truth: Callable[[str], np.ndarray],
        baselines: Callable[[str], Mapping[str, np.ndarray]],
        targets: tuple[str, ...],
        path: Path | None = None,
    ) -> None:
        self._truth, self._compute, self._targets, self._path = truth, baselines, targets, path
        self._scores: dict[str, Mapping[str, np.ndarray]] = {}  # of the baselines: every submission, board and figure asks
        self._kept: dict[str, list] = {"submissions": [], "closed": []}

    def submit(self, target: str, scores: ArrayLike, name: str = "mine") -> Verdict:
        """Score one number for each candidate, in the order of `candidates()`; higher means "more likely a member".

        Raises:
            ValueError: an unknown target, one whose truth was shown, another number of scores, or NaN among them.
        """
        self._check(target)
        if target in self._read()["closed"]:
            raise ValueError(f"the truth about target {target} was shown to you; nothing can be submitted any more")
        is_member = self._truth(target)
        scores = np.asarray(scores, dtype=np.float64)
        if scores.shape != is_member.shape:
            raise ValueError(f"one score for each of {len(is_member)} candidates is expected, got {list(scores.shape)}")
        if np.isnan(scores).any():
            raise ValueError(f"{np.isnan(scores).sum()} scores are NaN; say 0, or whatever means that you know nothing")
        report = metrics.attack_report(scores, is_member, fprs=(FPR,))
        rivals = [metrics.auc(other, is_member).value for other in self._baselines(target).values()]
        place = 1 + sum(other > report.auc.value for other in rivals)
        verdict = Verdict(target, name, report.auc, report.tpr_at_fpr[FPR], place, len(rivals))
        entry = {"target": target, "name": name, "auc": str(report.auc), "tpr": str(verdict.tpr), "place": place}
        when = f"{datetime.now():%Y-%m-%d %H:%M}" if self._path else ""  # a history that is not kept needs no dates
        self._add("submissions", entry | {"when": when, "scores": scores.tolist()})
        note(f"challenge {target}", f"AUC {report.auc.value:.3f}, place {place} of {len(rivals) + 1}")
        return verdict

    def reports(self, target: str) -> dict[str, metrics.AttackReport]:
        """What each baseline achieves: AUC and TPR at 1 % FPR, with intervals."""
        self._check(target)
        is_member = self._truth(target)
        return {
            name: metrics.attack_report(scores, is_member, fprs=(FPR,)) for name, scores in self._baselines(target).items()
        }

    def board(self, target: str) -> pd.DataFrame:
        """The baselines with their figures, best AUC first."""
        reports = self.reports(target)
        ordered = sorted(reports, key=lambda name: -reports[name].auc.value)
        rows = {
            name: {"AUC": str(reports[name].auc), "TPR at 1 % FPR": str(reports[name].tpr_at_fpr[FPR])} for name in ordered
        }
        return pd.DataFrame(rows).T

    @property
    def history(self) -> pd.DataFrame:
        """All submissions so far, also those of earlier days, oldest first."""
        columns = {
            "when": "when",
            "target": "target",
            "name": "name",
            "auc": "AUC",
            "tpr": "TPR at 1 % FPR",
            "place": "place",
        }
        return pd.DataFrame(self._read()["submissions"], columns=list(columns)).rename(columns=columns)

    def curves(self, target: str) -> Axes:
        """ROC curves of the baselines, on logarithmic axes."""
        self._check(target)
        return self._draw(target, {})

    def reveal(self, target: str) -> Axes:
        """Close a target for good, and draw your best submission's ROC curve among the baselines'.

        Raises:
            ValueError: nothing was submitted for this target.
        """
        self._check(target)
        mine = [entry for entry in self._read()["submissions"] if entry["target"] == target]
        if not mine:
            raise ValueError(f"nothing was submitted for target {target}; the truth is shown after a try")
        self._add("closed", target)
        is_member = self._truth(target)
        best = max(mine, key=lambda entry: metrics.auc(entry["scores"], is_member).value)
        return self._draw(target, {f"you: {best['name']}": np.array(best["scores"])})

    def _draw(self, target: str, mine: dict[str, np.ndarray]) -> Axes:
        is_member = self._truth(target)
        figure, ax = plt.subplots(figsize=(5.5, 6.4), layout="constrained")
        curves = mine | dict(self._baselines(target))
        points = {name: curves.pop(name) for name, values in list(curves.items()) if len(np.unique(values)) == 2}
        smallest = 10 / metrics.n_non_member_people(is_member)
        plots.roc_axes({n: (v, is_member) for n, v in curves.items()}, ax=ax, log=True, smallest_fpr=smallest)
        for (name, values), mark in zip(points.items(), "DXP*"):  # who says but yes or no has one point, not a curve
            named = values == values.max()
            ax.plot(named[~is_member].mean(), named[is_member].mean(), mark, color="black", ms=7, clip_on=False, label=name)
        ax.set_title(f"target {target}")
        figure.legend(*ax.get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=2, fontsize=9)
        return ax

    def open(self, key: str) -> dict[str, np.ndarray]:
        """For teachers: who was a member of each target, bool `[N]`.

        Raises:
            ValueError: not the key with which these targets were sealed.
        """
        if key != _key():
            raise ValueError("this key does not open these targets")
        return {name: self._truth(name) for name in self._targets}

    def _baselines(self, target: str) -> Mapping[str, np.ndarray]:
        if target not in self._scores:
            self._scores[target] = self._compute(target)
        return self._scores[target]

    def _check(self, target: str) -> None:
        if target not in self._targets:
            raise ValueError(f"there is no target {target!r}; there are {', '.join(self._targets)}")

    def _read(self) -> dict[str, list]:
        if self._path is not None:
            with contextlib.suppress(OSError, ValueError):  # not there yet, or damaged: the history starts anew
                kept = json.loads(self._path.read_text(encoding="utf-8"))
                if isinstance(kept, dict) and set(kept) == set(self._kept):
                    self._kept = kept
        return self._kept

    def _add(self, what: str, entry: object) -> None:
        if self._path is None:
            self._kept[what].append(entry)
            return
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):  # where nothing can be written this session still knows
                self._path.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(FileLock(self._path.with_suffix(".lock")))
            self._read()[what].append(entry)
            with contextlib.suppress(OSError), atomic_path(self._path) as temporary:
                temporary.write_text(json.dumps(self._kept, ensure_ascii=False), encoding="utf-8")


def referee() -> Referee:
    """The referee of the three sealed targets."""
    name = hashlib.sha256(_key().encode()).hexdigest()[:12]
    return Referee(
        truth_of, _baselines, tuple(CARDS), None if nobody() else cache_dir() / "course" / f"challenge-{name}.json"
    )


def as_logits(probabilities: ArrayLike) -> np.ndarray:
    """What an attack takes, float64 `[..., N, 10]`, from answers of that shape; a zero is "too small to show"."""
    return masks.to_logits(probabilities, 1e-300)


def through(service: Callable[[ArrayLike], np.ndarray], bank: ShadowBank) -> ShadowBank:
    """The bank of an adversary who puts the target's own mask, logits to probabilities, in front of the shadows."""
    return replace(bank, logits=as_logits(service(bank.logits)))


def plain(logits: ArrayLike) -> np.ndarray:
    """What targets A and C answer: all probabilities, `[..., N, 10]`."""
    return softmax(np.asarray(logits, dtype=np.float64), axis=-1)


def _baselines(name: str) -> dict[str, np.ndarray]:
    """Scores `[1500]` of the listed attacks on a target, which they ask as anybody can."""
    people = candidates()
    labels = people.labels.numpy()
    answers = as_logits(_sealed(name).ask(people.images))
    with_it = through(guarded if name == "B" else plain, _farm(N_SHADOWS, name == "C", seed=0))
    without = through(plain, _farm(N_SHADOWS, False, seed=0))
    rivals: dict[str, tuple[attacks.Attack, ShadowBank]] = {
        "gap": (attacks.ThresholdAttack(signals.correctness), with_it),
        "loss threshold": (attacks.ThresholdAttack(signals.logit_confidence), with_it),
    }
    if name == "A":
        rivals[f"LiRA offline, {N_SHADOWS} shadows"] = attacks.LiRAAttack(online=False), with_it
        rivals[f"LiRA online, {N_SHADOWS} shadows"] = attacks.LiRAAttack(), with_it
    else:
        rivals["LiRA, shadows without the defence"] = attacks.LiRAAttack(), without
        rivals["LiRA, shadows with the defence"] = attacks.LiRAAttack(), with_it
    return {what: np.nan_to_num(attack.fit(bank).score(answers, labels)) for what, (attack, bank) in rivals.items()}


def swapped() -> tuple[float, float]:
    """ε and δ of target C's promise for a swap: 500 of 1,500 are members, so who is out was exchanged for somebody else.

    DP-SGD's account is about adding or removing one example. A swap is both: 2 ε, and (1 + e^ε) δ.
    """
    return 2 * EPSILON, (1 + math.exp(EPSILON)) * DELTA


def best_possible(fpr: float) -> float:
    """The TPR, expected over trainings, that no attack on target C can exceed at `fpr`, whatever it knows."""
    return float(trial.best_tpr(*swapped(), fpr))


if __name__ == "__main__":
    print(_key())
