"""What notebook 10 is built on: canaries, twelve set-ups to judge, and an audit to mend."""

from itertools import combinations

import numpy as np
import pytest
import torch
from torch import nn

from mia_helpers.course import canaries, set_ups
from mia_helpers.course.broken_audit import SLIPS, draw_case, figures
from mia_helpers.course.exercises import audit_your_model
from mia_helpers.data import load_digits
from mia_helpers.metrics import one_run_epsilon

EVERY_CHOICE = [slips for n in range(len(SLIPS) + 1) for slips in combinations(SLIPS, n)]


# ---------------------------------------------------------------------------------------------------------------- canaries


def test_each_canary_has_a_wrong_label_and_a_coin_and_the_training_set_goes_by_the_coins():
    drawn, pool = canaries.draw(300, 200, seed=0), load_digits("target")
    assert len(drawn.asked) == len(drawn.coins) == 300 and len(drawn.training) == drawn.coins.sum() + 200
    assert len(drawn.fresh) == len(pool) - 500
    true_label = {image.tobytes(): label for image, label in zip(pool.images.numpy(), pool.labels.tolist())}
    given = drawn.asked.labels.tolist()
    assert all(true_label[image.tobytes()] != label for image, label in zip(drawn.asked.images.numpy(), given))
    assert all(
        true_label[image.tobytes()] == label
        for part in (drawn.fresh, drawn.training.subset(np.arange(drawn.coins.sum(), len(drawn.training))))
        for image, label in zip(part.images.numpy(), part.labels.tolist())
    )
    inside = {image.tobytes() for image in drawn.training.images.numpy()}
    assert [image.tobytes() in inside for image in drawn.asked.images.numpy()] == drawn.coins.tolist()
    assert not inside & {image.tobytes() for image in drawn.fresh.images.numpy()}
    assert len(set(given)) == 10 and 100 < drawn.coins.sum() < 200


def test_canaries_follow_the_seed_and_its_shift(monkeypatch):
    first, again, other = (canaries.draw(50, 20, seed).coins.tolist() for seed in (0, 0, 1))
    assert first == again != other
    monkeypatch.setenv("MIA_SEED_SHIFT", "1")
    assert canaries.draw(50, 20, seed=0).coins.tolist() == other


def test_a_model_is_scored_by_the_label_that_the_canary_has():
    drawn = canaries.draw(40, 10, seed=0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    with torch.no_grad():
        model[1].weight.zero_()
        model[1].bias.copy_(torch.arange(10.0))
    scores, labels = drawn.scores(model), drawn.asked.labels.numpy()
    assert scores.shape == (40,) and (np.argsort(scores, kind="stable") == np.argsort(labels, kind="stable")).all()
    assert drawn.accuracy(model) == pytest.approx((drawn.fresh.labels.numpy() == 9).mean())


@pytest.mark.parametrize(
    ("numbers", "error", "why"),
    [((0, 10), ValueError, "n_canaries"), ((10, 0), ValueError, "n_always"), ((1.5, 10), TypeError, "n_canaries"),
     ((2500, 2500), ValueError, "leave none")],
)  # fmt: skip
def test_canaries_that_cannot_be_drawn_are_refused(numbers, error, why):
    with pytest.raises(error, match=why):
        canaries.draw(*numbers, seed=0)


def test_the_bound_holds_for_coins_and_not_for_a_half_of_fixed_size():
    with_coins, with_half = (
        [one_run_epsilon(*canaries.noisy_pairs(2000, 1.0, coins=coins, seed=seed), 4000) for seed in range(20)]
        for coins in (True, False)
    )
    assert max(with_coins) < 1 < min(with_half)
    _, inside = canaries.noisy_pairs(2000, 1.0, coins=False, seed=0)
    assert (inside[:2000] != inside[2000:]).all()
    scores, inside = canaries.noisy_pairs(2000, 1.0, coins=True, seed=0)
    assert 900 < (inside[:2000] != inside[2000:]).sum() < 1100 and (scores[:2000] == -scores[2000:]).all()


def test_noisy_pairs_are_private_by_construction():
    """The two distributions of what a pair publishes, one person more or less, are within a factor of e^ε everywhere."""
    scores, inside = canaries.noisy_pairs(400_000, 1.0, coins=True, seed=0)
    published, a, b = scores[:400_000], inside[:400_000], inside[400_000:]
    edges = np.linspace(-3, 3, 13)
    for other in (False, True):
        have, lack = (
            np.histogram(published[(a == there) & (b == other)], edges, density=True)[0] for there in (True, False)
        )
        assert np.abs(np.log(have / lack)).max() < 1.1


@pytest.mark.parametrize(("n", "epsilon"), [(0, 1.0), (5, 0.0), (5, float("nan"))])
def test_pairs_that_cannot_be_drawn_are_refused(n, epsilon):
    with pytest.raises(ValueError, match="n_pairs|epsilon"):
        canaries.noisy_pairs(n, epsilon, coins=True, seed=0)


# ------------------------------------------------------------------------------------------------------- the broken audit


def test_the_case_is_what_it_says():
    for case in (draw_case(), draw_case(1, coins=True)):
        people = np.concatenate([case.members, case.held_out, case.other_clinic])
        assert sorted(people) == list(range(len(case.answers)))
        assert len(case.shadow_answers) == len(case.shadow_is_member)
    assert len(draw_case().members) == len(draw_case().held_out) == 400
    assert len(draw_case(1, coins=True).members) != 400


def test_every_choice_of_slips_gives_figures_of_its_own():
    assert len({figures(draw_case(), slips) for slips in EVERY_CHOICE}) == 2 ** len(SLIPS)


def test_what_the_slips_do():
    """One case is drawn for the lesson; that a slip flatters, hides or invents holds for others, too."""
    cases = [draw_case(seed) for seed in range(30)]
    right = np.mean([figures(case)[0] for case in cases])
    mean = {slip: np.mean([figures(case, [slip])[0] for case in cases]) for slip in SLIPS}
    assert 0.15 < right < 0.25 and mean["clinic"] > right + 0.15 and abs(mean["order"]) < 0.05
    assert mean["inverted"] == pytest.approx(-right) and mean["threshold"] > right + 0.01 and mean["epsilon"] == right
    assert np.mean([figures(case, SLIPS)[0] for case in cases]) < right / 2
    assert all(figures(case)[1] is None and figures(case, ["epsilon"])[1] > 0 for case in cases)
    with pytest.raises(ValueError, match="unknown slips"):
        figures(cases[0], ["spelling"])


@pytest.mark.parametrize("slips", EVERY_CHOICE, ids="+".join)
def test_the_check_names_exactly_the_slips_that_are_left(slips, capsys):
    audit_your_model.exercise_10_3(lambda case: figures(case, slips))
    said = capsys.readouterr().out
    if len(slips) in (0, len(SLIPS)):
        assert said.startswith("✓" if not slips else "… exercise 10.3 not attempted yet")
    else:
        assert f" {len(slips)} of {len(SLIPS)} slips " in said
        assert {slip for slip, words in SLIPS.items() if words in said} == set(slips)


# --------------------------------------------------------------------------------------------------------- twelve set-ups


def verdict_on(verdicts, capsys):
    audit_your_model.exercise_10_5(verdicts)
    return capsys.readouterr().out


def test_the_right_verdicts_pass_in_any_form(capsys):
    truth = [set_up.holds for set_up in set_ups.SET_UPS]
    assert len(truth) == 12 and 3 < sum(truth) < 9
    for verdicts in (truth, tuple(truth), np.array(truth)):
        assert verdict_on(verdicts, capsys).startswith("✓")
    for nothing in (None, [None] * 12, []):
        assert "not attempted yet" in verdict_on(nothing, capsys)


def test_at_most_two_reasons_are_given_and_none_for_what_is_right(capsys):
    truth = np.array([set_up.holds for set_up in set_ups.SET_UPS])
    for seed in range(50):
        verdicts = np.random.default_rng(seed).random(12) < 0.5
        n_right, said = int((verdicts == truth).sum()), verdict_on(verdicts.tolist(), capsys)
        explained = [i for i, set_up in enumerate(set_ups.SET_UPS) if set_up.why in said]
        assert f"{n_right} of 12" in said and all(verdicts[i] != truth[i] for i in explained)
        assert len(explained) == min(2, 12 - n_right)


@pytest.mark.parametrize("length", [1, 11, 13, 24])
@pytest.mark.parametrize("start", [True, False])
def test_a_list_of_the_wrong_length_learns_nothing(length, start, capsys):
    said = verdict_on([start, not start] * (length // 2) + [start] * (length % 2), capsys)
    assert "want 12" in said and "right" not in said and not any(set_up.why in said for set_up in set_ups.SET_UPS)


def test_the_lines_are_shown_without_their_verdicts(capsys):
    set_ups.show()
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 70 and not any(set_up.why in said for set_up in set_ups.SET_UPS)
    shown = " ".join(said.split())
    assert all(f"{n}. {set_up.line}" in shown for n, set_up in enumerate(set_ups.SET_UPS, start=1))


@pytest.mark.parametrize("lines", [set_ups.SET_UPS, set_ups.REPORTS])
def test_the_reasons_say_of_each_line_whether_it_holds_and_why(lines, capsys):
    set_ups.reasons(lines)
    said = " ".join(capsys.readouterr().out.split())
    assert all(f"{n}. {line.holds}: {line.why}." in said for n, line in enumerate(lines, start=1))


def test_the_reports_are_shown_and_judged_alike(capsys):
    truth = [report.holds for report in set_ups.REPORTS]
    assert len(truth) == 8 and 2 < sum(truth) < 6
    set_ups.show(set_ups.REPORTS)
    said = capsys.readouterr().out
    assert len(said.splitlines()) <= 24 and not any(report.why in said for report in set_ups.REPORTS)
    numbers = {str(number) for number, right in enumerate(truth, 1) if right}
    audit_your_model.exercise_10_4(sorted(numbers))
    said = capsys.readouterr().out
    assert said.startswith("✓ exercise 10.4") and "first thoughts" not in said
    for number in range(1, 9):
        audit_your_model.exercise_10_4(sorted(numbers ^ {str(number)}), first_thoughts=["1"])
        said = capsys.readouterr().out
        assert "7 of 8 are right" in said and set_ups.REPORTS[number - 1].why in said
        assert "first thoughts: 4 of 8" in said  # three to be signed that were not, and one that was
