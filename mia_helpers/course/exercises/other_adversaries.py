"""Checks for the exercises of notebook 09."""

from collections.abc import Callable
from math import isclose

import numpy as np
import torch

from mia_helpers.course.checks import NOT_ATTEMPTED, exercise
from mia_helpers.course.exercises import slips


def exercise_9_1(pinball: Callable[[float, np.ndarray, float], float]) -> None:
    """The loss of one guess for many values that is smallest at their quantile, against sums by hand."""

    def check() -> str | None:
        values = np.array([0.0, 1.0, 2.0, 10.0])
        for guess, level in ((1.0, 0.95), (4.0, 0.2), (2.0, 0.5)):
            if (found := pinball(guess, values, level)) is None:
                return NOT_ATTEMPTED
            if np.ndim(found):
                return f"one number is wanted, the mean over the values, got shape {list(np.shape(found))}"
            expected, turned = (
                sum(share * (v - guess) if v > guess else (1 - share) * (guess - v) for v in values) / len(values)
                for share in (level, 1 - level)
            )
            if isclose(found, expected, rel_tol=1e-6):
                continue
            here = f"pinball({guess:g}, [0, 1, 2, 10], {level:g}) gives {found:.4g}, expected {expected:.4g}"
            if isclose(found, turned, rel_tol=1e-6):
                return f"{here}; a value above the guess costs level, one below it 1 − level"
            if isclose(found, -expected, rel_tol=1e-6):
                return f"{here}; the sign is turned: a loss is never below 0"
            if isclose(found, len(values) * expected, rel_tol=1e-6):
                return f"{here}; it is the mean over the values, not the sum"
            return here
        return None

    exercise("9.1", check, "smallest where a share `level` of the values lies below; at ½, half the absolute error")


def exercise_9_2(last_layer_norm: Callable[[np.ndarray, int, np.ndarray], float]) -> None:
    """The gradient norm of a last linear layer, weights and biases, against autograd's."""

    def check() -> str | None:
        generator = torch.Generator().manual_seed(0)
        for n_units, n_classes, y in ((3, 2, 1), (128, 10, 7)):
            layer = torch.nn.Linear(n_units, n_classes, dtype=torch.float64)
            units = torch.randn(n_units, generator=generator, dtype=torch.float64)
            logits = layer(units)
            loss = torch.nn.functional.cross_entropy(logits[None], torch.tensor([y]))
            gradients = torch.autograd.grad(loss, list(layer.parameters()))
            found = last_layer_norm(logits.detach().softmax(0).numpy(), y, units.numpy())
            if found is None:
                return NOT_ATTEMPTED
            expected = float(torch.cat([part.ravel() for part in gradients]).norm())
            if isclose(found, expected, rel_tol=1e-6):
                continue
            bias, weight = float(gradients[1].norm()), float(gradients[0].norm())
            told = {
                weight: "are the biases in it?",
                bias: "that is the biases' part alone; each weight's is that times the unit it comes from",
                bias + weight: "the norms of the two parts may not be added; their squares may",
                expected**2: "that is its square; take the root",
            }
            why = slips.known(found, told, rel_tol=1e-6)
            return f"with {n_units} units and {n_classes} classes it gives {found:.4g}, and autograd {expected:.4g}{why}"
        return None

    exercise("9.2", check, "how wrong the answer is, times how strongly the hidden units fire")


def exercise_9_3(order_free: Callable[[np.ndarray], np.ndarray]) -> None:
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

    exercise("9.3", check, "two networks that differ only in the order of their units look alike")
