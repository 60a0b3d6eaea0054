"""Checks for the exercises of notebook 06."""

from collections.abc import Callable, Mapping

import numpy as np
from scipy.special import expit
from scipy.stats import norm, spearmanr

from mia_helpers import attacks
from mia_helpers.course.checks import NOT_ATTEMPTED, exercise

Attack = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def exercise_6_1(lira_offline: Attack) -> None:
    """LiRA offline: one-sided, out-shadows only, one σ from the residuals."""

    def check() -> str | None:
        target, phi, inside = _answers()
        out = ~inside
        mean, sigma = _mean(phi, out), _sigma(phi, out)
        z = (target - mean) / sigma
        in_z = (target - _mean(phi, inside)) / _sigma(phi, inside)
        per_example = np.sqrt((_residuals(phi, out) ** 2).sum(0) / (out.sum(0) - 1))
        slips = {
            TWO_SIDED: [-norm.logpdf(z), -norm.logpdf(target, mean, sigma), np.abs(z), z**2, -np.log(2 * norm.sf(abs(z)))],
            "this is high for ordinary answers; a member's answer is surer than the out-shadows': take log Φ": [
                norm.logpdf(z),
                norm.logpdf(target, mean, sigma),
            ],
            EXCHANGED_OFFLINE: [norm.logcdf(in_z), norm.logcdf((target - _mean(phi, inside)) / sigma)],
            "μ and σ come from all shadows; offline, only those that had not the candidate count": [
                norm.logcdf((target - phi.mean(0)) / s) for s in ((phi - phi.mean(0)).std(), phi.std())
            ],
            RAW_SIGMA: [norm.logcdf((target - mean) / s) for s in _raw_sigmas(phi, out)],
            FREEDOM: [norm.logcdf((target - mean) / _sigma(phi, out, freedom=False))],
            ZEROS: [
                *(norm.logcdf((target - mean) / s) for s in _zero_sigmas(phi, out)),
                norm.logcdf((target - np.where(out, phi, 0).mean(0)) / sigma),
            ],
            PER_EXAMPLE: [norm.logcdf((target - mean) / per_example)],
            ONE_MEAN: [norm.logcdf((target - phi[out].mean()) / s) for s in (1, sigma, *_raw_sigmas(phi, out))],
            UNSCALED: [norm.logcdf(target - mean)],
            VARIANCE: [norm.logcdf((target - mean) / sigma**2)],
            PROBABILITIES: [attacks.lira_offline(expit(target), expit(phi), inside, "global")],
            "Φ is turned round: being surer must raise the score": [norm.logsf(z)],
            "these are the distances (φ − μ)/σ: the right order; now take log Φ of them": [z],
            "this is Φ itself, the right order until it rounds to 1; norm.logcdf takes the logarithm": [norm.cdf(z)],
        }
        return _verdict(lira_offline, (target, phi, inside), attacks.lira_offline(target, phi, inside, "global"), slips)

    exercise("6.1", check, "surer than models without the candidate scores high, unsure scores low")


def exercise_6_2(lira_online: Attack) -> None:
    """LiRA online: log-ratio of two normal densities, each σ from its own shadows' residuals."""

    def check() -> str | None:
        target, phi, inside = _answers()
        rows = inside, ~inside
        means = [_mean(phi, kind) for kind in rows]
        s_in, s_out = (_sigma(phi, kind) for kind in rows)

        def ratio(s_in: float, s_out: float) -> np.ndarray:
            return norm.logpdf(target, means[0], s_in) - norm.logpdf(target, means[1], s_out)

        right, both = ratio(s_in, s_out), np.sqrt((s_in**2 + s_out**2) / 2)
        raw = list(zip(*(_raw_sigmas(phi, kind) for kind in rows)))
        zero = list(zip(*(_zero_sigmas(phi, kind) for kind in rows)))
        per_example = [np.sqrt((_residuals(phi, k) ** 2).sum(0) / np.maximum(k.sum(0) - 1, 1)) for k in rows]
        z_in, z_out = ((target - mean) / s for mean, s in zip(means, (s_in, s_out)))
        slips = {
            "in and out are exchanged: it is the log-density under in minus that under out": [-right, ratio(s_out, s_in)],
            "these are ratios of densities: take their logarithm (norm.logpdf, and a difference)": [np.exp(right)],
            "this compares distribution functions; the ratio is one of densities (norm.logpdf)": [
                norm.logcdf(z_in) - norm.logcdf(z_out)
            ],
            "only one of the two densities is in it; subtract the log-density under out from that under in": [
                norm.logpdf(target, means[0], s_in),
                -norm.logpdf(target, means[1], s_out),
            ],
            "σ_out comes from the in-shadows, too; each group has its own": [ratio(s_in, s_in)],
            "the in- and the out-shadows scatter differently here; each group has its own σ": [
                ratio(s_out, s_out),
                ratio(both, both),
            ],
            RAW_SIGMA: [ratio(*pair) for pair in raw] + [ratio(a, a) for a, _ in raw],
            FREEDOM: [ratio(*(_sigma(phi, kind, freedom=False) for kind in rows))],
            ZEROS: [ratio(*pair) for pair in zero],
            PER_EXAMPLE: [ratio(*per_example)],
            UNSCALED: [ratio(1, 1)],
            VARIANCE: [ratio(s_in**2, s_out**2)],
            "this is a difference of densities: take the logarithm of each first (norm.logpdf)": [
                norm.pdf(target, means[0], s_in) - norm.pdf(target, means[1], s_out)
            ],
            PROBABILITIES: [attacks.lira_online(expit(target), expit(phi), inside, "global")],
        }
        return _verdict(lira_online, (target, phi, inside), attacks.lira_online(target, phi, inside, "global"), slips)

    exercise("6.2", check, "above 0 the in-shadows explain the answer better, below 0 the out-shadows")


def exercise_6_3(rmia_share: Callable[[np.ndarray, np.ndarray, float], np.ndarray]) -> None:
    """RMIA's score from all pairs, ties included."""

    def check() -> str | None:
        rng = np.random.default_rng(0)
        for gamma in (2.0, 1.0):
            ratio, population = (rng.integers(1, 9, n) / 4 for n in (30, 50))
            x, u = ratio[:, None], population[None]
            slips = {
                "a tie counts: r(x)/r(u) ≥ γ, not >": [(x / u > gamma).mean(1)],
                "it is turned round: r(u)/r(x) instead of r(x)/r(u)": [(u / x >= gamma).mean(1), (x / u <= gamma).mean(1)],
                "γ stands on the wrong side: r(x) must be γ times r(u)": [(x * gamma >= u).mean(1)],
                "γ is not in it": [(x >= u).mean(1)],
                "these are numbers of digits; the score is their share of the population": [(x / u >= gamma).sum(1)],
                "this averages the ratios; count the pairs that reach γ": [(x / u).mean(1)],
            }
            slips = {why: [wrong for wrong in found if gamma != 1 or why[:3] != "γ"] for why, found in slips.items()}
            wrong = _verdict(rmia_share, (ratio, population, gamma), (x / u >= gamma).mean(1), slips)
            if wrong is not None:
                return wrong if wrong is NOT_ATTEMPTED else f"with gamma = {gamma:g}: {wrong}"
        return None

    exercise("6.3", check, "the score is a share of the population, between 0 and 1")


TWO_SIDED = "this is two-sided: an answer far below the out-shadows' scores as high as one far above; only surer counts"
EXCHANGED_OFFLINE = "these are the in-shadows, which the offline attack has not got; use the rows of ~inside"
RAW_SIGMA = "σ is taken over the raw φ, so the differences between digits are in it; take each digit's own mean off first"
FREEDOM = "almost: each mean uses up one value, so divide the sum of squares by (n − 1) summed over the candidates"
ZEROS = "the zeros that stand for the other shadows are counted, too; divide by the number of shadows of this kind"
PER_EXAMPLE = "each candidate has a σ of its own here; from so few values that is noise, so let all share one"
ONE_MEAN = "one mean for all digits; each candidate has its own, over the models (rows) alone"
UNSCALED = "σ is not in it: how far is the answer off, counted in standard deviations?"
VARIANCE = "this takes the variance σ² for σ; take the root"
PROBABILITIES = "this is computed on probabilities, which crowd at 1; use φ as it comes"


def _answers() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A target's φ `[400]`, those of 12 shadows `[12, 400]` and who had whom; σ_in = 2, σ_out = 1."""
    rng = np.random.default_rng(0)
    inside = rng.random((12, 400)) < 0.5
    inside[:4] = [[True], [True], [False], [False]]  # two of each kind at least
    digit, mine = rng.normal(2, 4, 400), rng.random(400) < 0.5

    def answer(kind: np.ndarray) -> np.ndarray:
        return digit + np.where(kind, rng.normal(1.5, 2, kind.shape), rng.normal(0, 1, kind.shape))

    return answer(mine), answer(inside), inside


def _mean(phi: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.where(rows, phi, 0).sum(0) / rows.sum(0)


def _residuals(phi: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.where(rows, phi - _mean(phi, rows), 0)


def _sigma(phi: np.ndarray, rows: np.ndarray, freedom: bool = True) -> float:
    return float(np.sqrt((_residuals(phi, rows) ** 2).sum() / (rows.sum(0) - freedom).sum()))


def _raw_sigmas(phi: np.ndarray, rows: np.ndarray) -> tuple[float, ...]:
    """Of all values of a kind; also with the other kind's as zeros, and of the means."""
    return float(phi[rows].std()), float(np.where(rows, phi, 0).std()), float(phi[rows].std(ddof=1))


def _zero_sigmas(phi: np.ndarray, rows: np.ndarray) -> tuple[float, ...]:
    """Of the residuals, with zeros for the other kind."""
    return float(_residuals(phi, rows).std()), float(_residuals(phi, rows).std(ddof=1))


def _verdict(
    function: Callable, given: tuple, expected: np.ndarray, slips: Mapping[str, list[np.ndarray]], same: float = 1e-6
) -> str | None:
    """None if `function(*given)` is as expected, else a sentence: of `slips`, whose scores these are, or a general one."""
    found = function(*given)
    if found is None:
        return NOT_ATTEMPTED
    values = np.asarray(found, dtype=np.float64)
    if values.shape != expected.shape:
        return f"one score for each of {len(expected)} candidates is expected, got shape {list(values.shape)}"
    if np.allclose(values, expected, rtol=same):
        return None
    for why, wrong in slips.items():
        if any(np.allclose(values, one, rtol=same) for one in wrong):
            return why
    if not np.isfinite(values).all():
        return f"{int((~np.isfinite(values)).sum())} scores are NaN or infinite"
    if spearmanr(values, expected).statistic < -0.9:
        return "the order is turned round: who is likelier a member must score higher"
    return f"the first scores are {values[:3].round(3).tolist()}, expected {expected[:3].round(3).tolist()}"
