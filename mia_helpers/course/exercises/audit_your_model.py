"""Checks for the exercises of notebook 10."""

from collections.abc import Callable, Sequence
from itertools import combinations
from math import isclose

import numpy as np

from mia_helpers.course import set_ups
from mia_helpers.course.broken_audit import SLIPS, Case, draw_case, figures
from mia_helpers.course.checks import NOT_ATTEMPTED, exercise


def exercise_10_1(some_alarm: Callable[[int, float], float]) -> None:
    """The chance of a false alarm among many slices."""

    def check() -> str | None:
        if some_alarm(20, 0.95) is None:
            return NOT_ATTEMPTED
        for n_slices, level in ((1, 0.95), (20, 0.95), (20, 0.9975), (100, 0.99)):
            one = (1 - level) / 2
            expected, found = 1 - (1 - one) ** n_slices, float(some_alarm(n_slices, level))
            if isclose(found, expected, rel_tol=1e-6):
                continue
            wrong = {
                1 - level**n_slices: "both ends are counted; only an interval that lies above 0.5 raises the alarm",
                (1 - one) ** n_slices: "that is the chance of no alarm at all",
                n_slices * one: "chances of alarms may not be added up: two slices can raise one together",
                one**n_slices: "that is the chance that all slices raise one",
            }
            why = next((why for value, why in wrong.items() if isclose(found, value, rel_tol=1e-6)), "one end alarms")
            return f"some_alarm({n_slices}, {level}) gives {found:.4g}, expected {expected:.4g}; {why}"
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
            found = blind_auc(features, is_member)
            if found < 0.32:
                return f"it gives {found:.2f} for groups that differ in {what}: the other way round; take the second column"
            if not found > 0.68:
                return f"it gives {found:.2f} for groups that differ in {what}; at least 0.68 is within reach"
        return None

    exercise(
        "10.2",
        check,
        "it sees a shift, and a spread (which a logistic regression would miss), and nothing where there is nothing",
    )


def exercise_10_3(my_audit: Callable[[Case], tuple[float, float | None]]) -> None:
    """An audit with five slips, mended: (advantage, ε or None) of a case."""
    right, untouched = figures(draw_case()), figures(draw_case(), SLIPS)

    def check() -> str | None:
        found = my_audit(draw_case())
        if found is None:
            return "it returns None; return the pair (advantage, ε or None)"
        if not isinstance(found, tuple) or len(found) != 2:
            return f"it returns {type(found).__name__}; want the pair (advantage, ε or None)"
        if _same(found, untouched):
            return NOT_ATTEMPTED
        if not _same(found, right):
            return _slips_left(found, draw_case())
        with_coins = draw_case(1, coins=True)
        advantage, epsilon = my_audit(with_coins)
        if epsilon is None:
            return "it never states ε; where each person had a coin (case.coins) the bound holds, so state it there"
        if not _same((advantage, epsilon), figures(with_coins)):
            return f"on a second case, with coins, it gives {advantage:.3f} and ε ≥ {epsilon:.2f}, which is something else"
        return None

    exercise(
        "10.3",
        check,
        f"as found it said {untouched[0]:.2f}, next to nothing; mended, the advantage is {right[0]:.2f}, and no ε is "
        "claimed for members that were not drawn by coins",
    )


def exercise_10_4(signed: Sequence[str] | None, first_thoughts: Sequence[str] | None = None) -> None:
    """Which of `set_ups.REPORTS` can be signed, by number ("1" is the first); and which were signed at first, if any."""
    numbers = [str(number) for number, _ in enumerate(set_ups.REPORTS, start=1)]

    def verdicts(chosen: Sequence[str]) -> list[bool]:
        return [number in map(str, chosen) for number in numbers]

    at_first = ""
    if first_thoughts is not None:
        right = sum(said == report.holds for said, report in zip(verdicts(first_thoughts), set_ups.REPORTS))
        at_first = f" (first thoughts: {right} of {len(numbers)})"

    def check() -> str | None:
        if signed is None:
            return NOT_ATTEMPTED
        odd = [signed] if isinstance(signed, str) else [number for number in signed if str(number) not in numbers]
        if odd:
            return f'want the numbers of the reports that you sign, as ["1", "2"], got {odd[0]!r}'
        problem = _judged(verdicts(signed), set_ups.REPORTS, "eight")
        return problem and f"{problem}{at_first}"

    exercise(
        "10.4",
        check,
        f"all eight{at_first}: a report that can be signed says who was compared, how often one tried, and what was not "
        "looked at",
    )


def exercise_10_5(verdicts: Sequence[bool | None]) -> None:
    """Which of `set_ups.SET_UPS` are as private as they say: True or False for each, in their order."""
    exercise(
        "10.5",
        lambda: _judged(verdicts, set_ups.SET_UPS, "twelve"),
        "all twelve: an ε is a statement about a whole procedure, and about what it counts as one person",
    )


def _judged(verdicts: Sequence[bool | None], lines: Sequence[set_ups.SetUp], number: str) -> str | None:
    """What is wrong with verdicts on lines, True or False for each, with the reasons of two at most."""
    if verdicts is None or (isinstance(verdicts, Sequence) and all(v is None for v in verdicts)):
        return NOT_ATTEMPTED
    truth = [line.holds for line in lines]
    if isinstance(verdicts, str) or len(verdicts) != len(truth):
        return f"{len(verdicts)} verdicts; want {len(truth)}, one for each line, in their order"
    if missing := [str(i) for i, v in enumerate(verdicts, 1) if v is None]:
        return f"no verdict yet on {', '.join(missing)}"
    if odd := [i for i, v in enumerate(verdicts, 1) if not isinstance(v, bool | np.bool_)]:
        return f"the verdict on {odd[0]} is {verdicts[odd[0] - 1]!r}; want True or False"
    if len({bool(v) for v in verdicts}) == 1:
        return f"all {number} the same, {bool(verdicts[0])}; some of these statements hold, and some do not"
    wrong = [i for i, (said, true) in enumerate(zip(verdicts, truth)) if said != true]
    if not wrong:
        return None
    shown = " ".join(f"Number {i + 1}: {lines[i].why}." for i in wrong[:2])
    more = f" {len(wrong) - 2} more are for you to find." if len(wrong) > 2 else ""
    return f"{len(truth) - len(wrong)} of {len(truth)} are right. {shown}{more}"


def _same(found: tuple[float, float | None], expected: tuple[float, float | None]) -> bool:
    """Whether two pairs of advantage and ε agree; no ε is not the same as ε = 0."""
    return len(found) == 2 and all(
        x is None and y is None if x is None or y is None else isclose(x, y, rel_tol=1e-9, abs_tol=1e-9)
        for x, y in zip(found, expected)
    )


def _slips_left(found: tuple[float, float | None], case: Case) -> str:
    """Which slips give these figures, and what each does to them when it is alone."""
    some = (set(slips) for n in range(1, len(SLIPS)) for slips in combinations(SLIPS, n))
    left = next((slips for slips in some if _same(found, figures(case, slips))), None)
    advantage, epsilon = found
    shown = f"it gives an advantage of {advantage:.3f} and {'no ε' if epsilon is None else f'ε ≥ {epsilon:.2f}'}"
    if left is None:
        return f"{shown}; neither the mended audit nor any choice of the five slips gives that. Start again from one slip"
    right = figures(case)[0]
    effects = []
    for slip in SLIPS:
        if slip not in left:
            continue
        alone, stated = figures(case, [slip])
        effect = (
            f"a claim of ε ≥ {stated:.2f}" if slip == "epsilon" else f"an advantage of {alone:.2f} instead of {right:.2f}"
        )
        effects.append(f"{SLIPS[slip]} (alone: {effect})")
    return f"{shown}; {len(left)} of {len(SLIPS)} slips {'is' if len(left) == 1 else 'are'} left: {'; '.join(effects)}"
