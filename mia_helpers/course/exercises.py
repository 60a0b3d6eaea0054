"""Checks for the notebooks' exercises: `exercise_N_M(answer)` prints not attempted / not yet: why / ✓."""

from collections.abc import Callable
from math import e, isclose, log

import numpy as np
import torch
from scipy.stats import ttest_rel
from sklearn.base import ClassifierMixin
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import cohen_kappa_score
from torch import Tensor

from mia_helpers import signals
from mia_helpers.course.checks import NOT_ATTEMPTED, exercise
from mia_helpers.metrics import auc


def exercise_1_1(accuracy: Callable[[float, float, float], float]) -> None:
    """Accuracy of an attack at any prior."""

    def check() -> str | None:
        if accuracy(0.6, 0.4, 0.5) is None:
            return NOT_ATTEMPTED
        for arguments, expected in (((0.6, 0.4, 0.5), 0.6), ((1.0, 0.01, 0.001), 0.99001), ((0.0, 0.0, 0.001), 0.999)):
            if not isclose(accuracy(*arguments), expected, rel_tol=1e-9):
                return f"accuracy{arguments} gives {accuracy(*arguments):.4g}, and {expected} is right"
        return None

    exercise("1.1", check, "at a prior of 1 in 1,000 the lazy adversary wins: 0.999 against 0.990 at best")


def exercise_1_2(area: Callable[[np.ndarray, np.ndarray], float]) -> None:
    """AUC from its definition, with ties."""

    def check() -> str | None:
        rng = np.random.default_rng(0)
        for decimals in (8, 1):  # without ties and with many
            members, non_members = rng.normal(0.3, 1, 40).round(decimals), rng.normal(0, 1, 30).round(decimals)
            if (found := area(members, non_members)) is None:
                return NOT_ATTEMPTED
            expected = auc(np.concatenate([members, non_members]), np.arange(70) < 40).value
            if not isclose(found, expected, rel_tol=1e-9):
                ties = " (do ties count half?)" if decimals == 1 else ""
                return f"the area is {found:.4f} where {expected:.4f} is expected{ties}"
        return None

    exercise("1.2", check, "the area under the ROC curve is the share of pairs in the right order")


def exercise_2_1(floor: Callable[[int], float]) -> None:
    """The lowest loss of a double softmax, for any number of classes."""

    def check() -> str | None:
        if floor(10) is None:
            return NOT_ATTEMPTED
        for n_classes in (2, 10, 100):
            expected = log(e + n_classes - 1) - 1
            if not isclose(floor(n_classes), expected, rel_tol=1e-3):
                return f"floor({n_classes}) gives {floor(n_classes):.4g}, which is not the loss at probability 1"
        return None

    exercise("2.1", check, "the floor is 1.461 for 10 classes and rises with their number")


def exercise_2_2(gap_of: Callable[[int], float]) -> None:
    """The generalisation gap as a function of the number of members."""

    def check() -> str | None:
        few = gap_of(250)
        if few is None:
            return NOT_ATTEMPTED
        many = gap_of(1000)
        if not 0.05 < few < 0.3:
            return f"gap_of(250) is {few:.3f}; members should be read better than non-members by 0.05 to 0.3"
        return None if many < few else f"gap_of(1000) is {many:.3f}, not smaller than gap_of(250), {few:.3f}"

    exercise("2.2", check, "the gap grows as members get fewer")


def exercise_3_1(kappa: Callable[[np.ndarray, np.ndarray], float]) -> None:
    """Cohen's kappa, against scikit-learn's."""

    def check() -> str | None:
        rng = np.random.default_rng(0)
        for noise in (0.0, 0.1, 0.7):
            a = rng.integers(0, 10, 500)
            b = np.where(rng.random(500) < noise, rng.integers(0, 10, 500), a)
            if (found := kappa(a, b)) is None:
                return NOT_ATTEMPTED
            if not isclose(found, cohen_kappa_score(a, b), abs_tol=1e-6):
                return f"kappa is {found:.3f} where {cohen_kappa_score(a, b):.3f} is expected; is e computed as in the text?"
        return None

    exercise("3.1", check, "kappa counts only the agreement beyond chance")


def exercise_3_2(upright: Callable[[Tensor], Tensor]) -> None:
    """Transposed images turned back."""

    def check() -> str | None:
        image = torch.zeros(1, 1, 28, 28)
        image[0, 0, 2, 20] = 1
        found = upright(image.transpose(2, 3))
        if found is None:
            return NOT_ATTEMPTED
        row, column = divmod(int(found.argmax()), 28)
        return None if (row, column) == (2, 20) else f"a pixel from row 2, column 20 comes back at {row}, {column}"

    exercise("3.2", check, "transposing twice gives the image back; a rotation would not")


def exercise_4_1(precision: Callable[[float, float, float], float]) -> None:
    """Precision of an attack at any prior."""

    def check() -> str | None:
        if precision(0.6, 0.4, 0.5) is None:
            return NOT_ATTEMPTED
        # Counted in people: (members accused, all accused) of 1,000,000.
        for arguments, accused_members, accused in (
            ((0.6, 0.4, 0.5), 300_000, 500_000),
            ((0.6, 0.4, 0.001), 600, 400_200),
            ((0.1, 0.0, 0.01), 1_000, 1_000),
        ):
            if not isclose(precision(*arguments), accused_members / accused, rel_tol=1e-6):
                return (
                    f"precision{arguments} gives {precision(*arguments):.4g}; of a million people {accused:,} are "
                    f"accused, {accused_members:,} of them members"
                )
        return None

    exercise(
        "4.1",
        check,
        "at a prior of 1 in 1,000, an attack that is right 60 % of the time accuses 666 innocents for each member",
    )


def exercise_4_2(beyond_blind: Callable[[Callable], float]) -> None:
    """What is left of the max-confidence AUC against letters after the blind model's is taken off."""

    def check() -> str | None:
        left = beyond_blind(signals.max_confidence)
        if left is None:
            return NOT_ATTEMPTED
        noise = beyond_blind(lambda logits, labels: np.zeros(len(labels)))
        if abs(noise) > 1e-9:
            return f"a constant signal should leave 0, not {noise:.3f}; is it the same pool for both models?"
        if not -0.05 <= left <= 0.12:
            return f"it leaves {left:.3f}; is it target minus blind, against letters on both?"
        return None

    exercise("4.2", check, "of the AUC above chance, most is there on the blind model too")


def exercise_5_1(paired_interval: Callable[[list[float], list[float]], tuple[float, float]]) -> None:
    """The interval of a mean paired difference, against scipy's."""

    def check() -> str | None:
        rng = np.random.default_rng(0)
        for n in (4, 7):
            old = rng.normal(0.55, 0.02, n)
            new = old - 0.01 + rng.normal(0, 0.004, n)
            found = paired_interval(list(new), list(old))
            if found is None:
                return NOT_ATTEMPTED
            expected = ttest_rel(new, old).confidence_interval(0.95)
            if not np.allclose(found, (expected.low, expected.high), atol=1e-6):
                return (
                    f"of {n} pairs it gives {np.round(found, 4).tolist()}, expected "
                    f"{np.round((expected.low, expected.high), 4).tolist()}; is it new minus old, pair by pair?"
                )
        return None

    exercise("5.1", check, "what the pairs have in common drops out, and the interval gets narrower")


def exercise_5_2(aim: Callable[[float, int], float]) -> None:
    """The logit confidence at which the label-smoothed loss is lowest."""

    def check() -> str | None:
        if aim(0.2, 10) is None:
            return NOT_ATTEMPTED
        for epsilon, n_classes in ((0.2, 10), (0.1, 100), (0.5, 2)):
            right, others = 1 - epsilon + epsilon / n_classes, epsilon * (n_classes - 1) / n_classes
            if not isclose(aim(epsilon, n_classes), log(right / others), rel_tol=1e-6):
                return f"aim({epsilon}, {n_classes}) gives {aim(epsilon, n_classes):.4g}, expected {log(right / others):.4g}"
        return None

    exercise("5.2", check, "smoothing puts a target where there was none, and members are pulled to it")


def exercise_5_3(best_tpr: Callable[[float, float, float], float]) -> None:
    """The most that any attack can catch in a differentially private model."""

    def check() -> str | None:
        if best_tpr(1.0, 0.0, 0.01) is None:
            return NOT_ATTEMPTED
        for arguments, expected in (
            ((1.0, 0.001, 0.01), 0.01 * e + 0.001),
            ((8.0, 0.0, 0.01), 1 - 0.99 * e**-8),
            ((1.0, 0.0, 0.9), 1 - 0.1 / e),
            ((0.0, 0.0, 0.3), 0.3),
            ((2.0, 0.5, 0.9), 1.0),
        ):
            if not isclose(found := best_tpr(*arguments), expected, rel_tol=1e-9):
                return f"best_tpr{arguments} gives {found:.4g}, expected {expected:.4g}; the smaller of both limits counts"
        return None

    exercise("5.3", check, "at ε = 1 and an FPR of 1 % nobody catches more than 3 % of the members; at ε = 8 almost all")


def exercise_6_1(sigmas: Callable[[np.ndarray, np.ndarray], tuple[float, float]]) -> None:
    """LiRA's shared standard deviations, from the residuals of the in-shadows and of the out-shadows."""

    def check() -> str | None:
        rng = np.random.default_rng(0)
        mask = rng.random((12, 4000)) < 0.5
        mask[:4] = [[True], [True], [False], [False]]  # two of each kind at least
        phi = rng.normal(0, 5, 4000) + np.where(mask, 3, 1) * rng.normal(size=mask.shape)  # σ_in = 3, σ_out = 1
        if (found := sigmas(phi, mask)) is None:
            return NOT_ATTEMPTED
        sigma_in, sigma_out = (float(value) for value in found)
        if sigma_in > 4:
            return f"σ_in is {sigma_in:.2f} where 3 is expected; are the examples' own means taken off?"
        if sigma_out > 2:
            return f"σ_out is {sigma_out:.2f} where 1 is expected; does it come from the out-shadows?"
        if not (isclose(sigma_in, 3, rel_tol=0.02) and isclose(sigma_out, 1, rel_tol=0.02)):
            return f"σ_in and σ_out are {sigma_in:.3f} and {sigma_out:.3f}, not 3 and 1; is one taken off for each mean?"
        return None

    exercise("6.1", check, "each σ comes from its own shadows, and the differences between digits are not in it")


def exercise_6_2(rmia_by_pairs: Callable[[np.ndarray, np.ndarray, float], np.ndarray]) -> None:
    """RMIA's score from all pairs, ties included."""

    def check() -> str | None:
        rng = np.random.default_rng(0)
        for gamma in (1.0, 2.0):
            ratio, population = (rng.integers(1, 9, n) / 4 for n in (30, 50))
            if (found := rmia_by_pairs(ratio, population, gamma)) is None:
                return NOT_ATTEMPTED
            expected = [sum(r / z >= gamma for z in population) / 50 for r in ratio]
            if np.shape(found) != (30,):
                return f"one score for each of 30 candidates is expected, got shape {list(np.shape(found))}"
            if not np.allclose(found, expected):
                return f"with gamma = {gamma:g} the first scores are {found[:3]}, not {expected[:3]}"
        return None

    exercise("6.2", check, "the score is a share of the population, between 0 and 1")


def exercise_8_1(auc_of_gap: Callable[[float, float], float]) -> None:
    """The AUC of the gap attack from the two accuracies, against counted pairs."""

    def check() -> str | None:
        if auc_of_gap(1.0, 0.9) is None:
            return NOT_ATTEMPTED
        for on_members, on_unseen in ((1.0, 0.9), (0.7, 0.7), (0.9, 0.25)):
            right = np.arange(200) % 100 < np.repeat([100 * on_members, 100 * on_unseen], 100).round()
            expected = auc(right.astype(float), np.arange(200) < 100).value
            if not isclose(found := auc_of_gap(on_members, on_unseen), expected, rel_tol=1e-9):
                return f"auc_of_gap({on_members}, {on_unseen}) gives {found:.4g}, and counting pairs gives {expected:.4g}"
        return None

    exercise("8.1", check, "one half plus half of the gap; 0.55 for the tree of the question")


def exercise_8_2(factory: Callable[[int], ClassifierMixin]) -> None:
    """An estimator that classifies well and gives away every member to the loss threshold, on medical records."""

    def check() -> str | None:
        records, labels = load_breast_cancer(return_X_y=True)
        if factory(0) is None:
            return NOT_ATTEMPTED
        for seed in range(3):
            is_member = np.random.default_rng(seed).permutation(len(labels)) < 200
            model = factory(seed).fit(records[is_member], labels[is_member])
            probabilities = np.asarray(model.predict_proba(records))
            accuracy = (probabilities.argmax(1) == labels)[~is_member].mean()
            leak = auc(probabilities[np.arange(len(labels)), labels], is_member).value
            if accuracy < 0.85:
                return f"only {accuracy:.0%} of the unseen patients are classified rightly; 85 % are wanted"
            if leak < 0.99:
                return f"the loss threshold has an AUC of {leak:.3f}; at least 0.99 is wanted"
        return None

    exercise("8.2", check, "a useful model that gives away every member; being certain of members alone is not enough")


def exercise_9_1(last_layer_norm: Callable[[np.ndarray, int, np.ndarray], float]) -> None:
    """The gradient norm of a last linear layer, weights and biases, against autograd's."""

    def check() -> str | None:
        generator = torch.Generator().manual_seed(0)
        for n_units, n_classes in ((3, 2), (128, 10)):
            layer = torch.nn.Linear(n_units, n_classes, dtype=torch.float64)
            units = torch.randn(n_units, generator=generator, dtype=torch.float64)
            logits = layer(units)
            loss = torch.nn.functional.cross_entropy(logits[None], torch.tensor([1]))
            gradients = torch.autograd.grad(loss, list(layer.parameters()))
            found = last_layer_norm(logits.detach().softmax(0).numpy(), 1, units.numpy())
            if found is None:
                return NOT_ATTEMPTED
            expected = float(torch.cat([part.ravel() for part in gradients]).norm())
            if not isclose(found, expected, rel_tol=1e-6):
                return (
                    f"with {n_units} units and {n_classes} classes it gives {found:.4g}, and autograd {expected:.4g}; "
                    "are the biases in it?"
                )
        return None

    exercise("9.1", check, "how wrong the answer is, times how strongly the hidden units fire")


def exercise_9_2(order_free: Callable[[np.ndarray], np.ndarray]) -> None:
    """Features of hidden units `[N, D]` that do not change with the order of the units, and keep all their values."""

    def check() -> str | None:
        rng = np.random.default_rng(0)
        units = rng.normal(size=(20, 7))
        if (found := order_free(units)) is None:
            return NOT_ATTEMPTED
        if not np.allclose(order_free(units[:, rng.permutation(7)]), found):
            return "with the hidden units in another order it gives other features"
        if np.shape(found) != (20, 7) or not np.allclose(np.sort(found, axis=1), np.sort(units, axis=1)):
            return "each row must keep its 7 values, in an order that does not depend on the units'"
        return None

    exercise("9.2", check, "two networks that differ only in the order of their units look alike")


def exercise_10_1(some_alarm: Callable[[int, float], float]) -> None:
    """The chance of a false alarm among many slices."""

    def check() -> str | None:
        if some_alarm(20, 0.95) is None:
            return NOT_ATTEMPTED
        for n_slices, level in ((1, 0.95), (20, 0.95), (20, 0.9975), (100, 0.99)):
            expected = 1 - ((1 + level) / 2) ** n_slices
            if not isclose(found := some_alarm(n_slices, level), expected, rel_tol=1e-6):
                return f"some_alarm({n_slices}, {level}) gives {found:.4g}, expected {expected:.4g}; one end alarms"
        return None

    exercise("10.1", check, "with 20 slices at 95 % four audits in ten raise an alarm by luck; at 99.75 % one in forty")


def exercise_10_2(blind_auc: Callable[[np.ndarray, np.ndarray], float]) -> None:
    """A cross-validated classifier that tells members from non-members without the model."""

    def check() -> str | None:
        rng = np.random.default_rng(0)
        is_member, noise = rng.permutation(np.arange(600) < 300), rng.normal(size=(600, 3))
        alike = blind_auc(noise, is_member)
        if alike is None:
            return NOT_ATTEMPTED
        if not 0.38 < alike < 0.62:
            return f"on groups that are alike it gives {alike:.2f}; is it scored on examples that it did not learn from?"
        shifted, spread = noise.copy(), noise.copy()
        shifted[is_member, 0] += 1.5
        spread[is_member, 0] *= 5
        for what, features in (("the mean", shifted), ("the spread", spread)):
            if not (found := blind_auc(features, is_member)) > 0.68:
                return f"it gives {found:.2f} for groups that differ in {what}; at least 0.68 is within reach"
        return None

    exercise(
        "9.2",
        check,
        "it sees a shift, and a spread (which a logistic regression would miss), and nothing where there is nothing",
    )
