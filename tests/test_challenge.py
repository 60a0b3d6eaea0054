"""The challenge: the referee scores honestly, keeps the history, closes for good; the truth is not lying about."""

import json

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from mia_helpers import metrics, signals
from mia_helpers.bank import ShadowBank
from mia_helpers.course import challenge
from mia_helpers.course.challenge import Referee, SealedTarget
from mia_helpers.course.exercises import challenge as exercises

TRUTH = np.random.default_rng(5).permutation(1500) < 500
NOISE = np.random.default_rng(6).normal(size=1500)


def made(path=None):
    baselines = {"coin": NOISE, "weak": NOISE + 0.5 * TRUTH, "strong": NOISE + TRUTH}
    return Referee(lambda name: TRUTH.copy(), lambda name: baselines, ("A", "B"), path)


def test_a_submission_is_scored_as_the_package_scores_and_ranked():
    scores = NOISE + 0.7 * TRUTH
    verdict = made().submit("A", scores, "try")
    report = metrics.attack_report(scores, TRUTH, fprs=(0.01,))
    assert verdict.auc == report.auc and verdict.tpr == report.tpr_at_fpr[0.01]
    assert (verdict.place, verdict.n_baselines) == (2, 3)
    assert "try on target A" in repr(verdict) and "place 2 of 4" in repr(verdict)
    assert made().submit("A", NOISE + 2 * TRUTH).place == 1 and made().submit("A", -NOISE - TRUTH).place == 4
    assert made().submit("A", NOISE + TRUTH).place == 1, "who is level with a baseline is not behind it"


@pytest.mark.parametrize(
    ("scores", "word"),
    [(-NOISE - TRUTH, "rows in order"), (TRUTH.astype(float), "How did the truth get"), (NOISE + TRUTH, None)],
)
def test_what_looks_like_a_slip_is_said(scores, word):
    said = repr(made().submit("A", scores))
    assert (word in said) if word else len(said.splitlines()) == 2


@pytest.mark.parametrize(
    ("target", "scores", "why"),
    [
        ("X", NOISE, "no target 'X'; there are A, B"),
        ("A", NOISE[:1000], r"1500 candidates is expected, got \[1000\]"),
        ("A", NOISE[:, None], r"got \[1500, 1\]"),
        ("A", np.where(np.arange(1500) < 3, np.nan, NOISE), "3 scores are NaN"),
    ],
)
def test_what_cannot_be_scored_is_refused_and_not_in_the_history(target, scores, why):
    referee = made()
    with pytest.raises(ValueError, match=why):
        referee.submit(target, scores)
    assert len(referee.history) == 0


def test_the_board_has_the_baselines_in_order():
    board = made().board("A")
    assert list(board.index) == ["strong", "weak", "coin"]
    assert board.loc["weak", "AUC"] == str(metrics.auc(NOISE + 0.5 * TRUTH, TRUTH))


def test_history_survives_the_session_and_a_closed_target_stays_closed(tmp_path):
    path = tmp_path / "course" / "challenge.json"
    first = made(path)
    first.submit("A", NOISE, "one")
    first.submit("B", NOISE + TRUTH, "two")
    again = made(path)
    assert again.history[["target", "name", "place"]].to_numpy().tolist() == [["A", "one", 3], ["B", "two", 1]]
    again.reveal("A")
    with pytest.raises(ValueError, match="the truth about target A was shown"):
        made(path).submit("A", NOISE)
    made(path).submit("B", NOISE)
    plt.close("all")


@pytest.mark.parametrize("content", ["", "[]", '{"submissions": []}'])
def test_a_damaged_history_starts_anew(tmp_path, content):
    path = tmp_path / "challenge.json"
    path.write_text(content)
    made(path).submit("A", NOISE)
    assert len(json.loads(path.read_text())["submissions"]) == 1


def test_where_nothing_can_be_written_the_session_remembers(tmp_path):
    (tmp_path / "course").write_text("a file where the folder should be")
    referee = made(tmp_path / "course" / "challenge.json")
    referee.submit("A", NOISE)
    referee.submit("A", NOISE)
    assert len(referee.history) == 2


def test_the_reveal_needs_a_try_and_draws_the_best_one():
    referee = made()
    with pytest.raises(ValueError, match="nothing was submitted"):
        referee.reveal("A")
    for name, scores in (("poor", NOISE), ("good", NOISE + 0.9 * TRUTH), ("bad", -NOISE - TRUTH)):
        referee.submit("A", scores, name)
    ax = referee.reveal("A")
    lines = {line.get_label(): line for line in ax.lines}
    assert list(lines) == ["you: good", "coin", "weak", "strong", "chance"]
    fpr, tpr, _ = metrics.roc_curve(NOISE + 0.9 * TRUTH, TRUTH)
    np.testing.assert_array_equal(lines["you: good"].get_xydata(), np.column_stack([fpr, tpr]))
    plt.close("all")


def test_who_says_but_yes_or_no_is_a_point_and_has_no_curve():
    claimed = TRUTH & (NOISE > 0) | (NOISE > 1)
    referee = Referee(lambda name: TRUTH.copy(), lambda name: {"gap": claimed * 2.0, "coin": NOISE}, ("A",))
    lines = {line.get_label(): line for line in referee.curves("A").lines}
    assert len(lines["gap"].get_xdata()) == 1 < len(lines["coin"].get_xdata())
    assert lines["gap"].get_marker() not in (None, "None", "")
    found = lines["gap"].get_xdata()[0], lines["gap"].get_ydata()[0]
    assert found == (claimed[~TRUTH].mean(), claimed[TRUTH].mean())
    plt.close("all")


# --- the seal


def test_only_the_key_opens(monkeypatch):
    monkeypatch.setenv("MIA_CHALLENGE_KEY", "class of 2027")
    referee = Referee(challenge.truth_of, lambda name: {}, ("A", "B", "C"))
    with pytest.raises(ValueError, match="does not open"):
        referee.open("something else")
    opened = referee.open("class of 2027")
    assert [mask.sum() for mask in opened.values()] == [500] * 3
    assert all(np.array_equal(opened[name], challenge.truth_of(name)) for name in "ABC")
    assert not np.array_equal(opened["A"], opened["B"])
    monkeypatch.setenv("MIA_CHALLENGE_KEY", "another class")
    assert not np.array_equal(opened["A"], challenge.truth_of("A"))


def test_members_are_drawn_without_a_pattern():
    """The truths of 60 keys: each person about a third of the time, and no two keys alike."""
    truths = []
    with pytest.MonkeyPatch.context() as patch:
        for i in range(60):
            patch.setenv("MIA_CHALLENGE_KEY", f"key {i}")
            truths.append(challenge.truth_of("A"))
    often = np.mean(truths, axis=0)
    assert abs(often.mean() - 1 / 3) < 1e-9 and often.min() > 0.05 and often.max() < 0.65
    assert len({truth.tobytes() for truth in truths}) == 60
    one, *others = (challenge.truth_of(name) for name in challenge.CARDS)
    for other in others:  # what one target's truth says about another's: nothing
        assert 100 < (one & other).sum() < 235


def fake_farm(truths):
    """A farm without training: models whose answers are the same for everybody."""

    def farm(n, private, seed, *, keep_models=False, progress=False):
        model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10)).eval()
        mask = np.stack([truths] * n)
        return ShadowBank(
            np.zeros((n, 1500, 10)), mask, np.zeros(1500, dtype=int), models=[model] * n if keep_models else None
        )

    return farm


def test_a_target_answers_counts_and_gives_nothing_else_away(monkeypatch):
    monkeypatch.setattr(challenge, "_farm", fake_farm(TRUTH))
    targets = challenge.sealed_targets()
    assert list(targets) == ["A", "B", "C"]
    images = torch.rand(7, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    for name, target in targets.items():
        answers = target.ask(images)
        assert answers.shape == (7, 10) and answers.dtype == np.float64 and np.allclose(answers.sum(1), 1)
        target.ask(images[:3].numpy())
        assert target.n_queries == 10 and "10 queries" in repr(target)
        assert np.allclose(answers.max(1), 0.9) == (name == "B")
        assert not held_masks(target)
    assert not held_masks(challenge.referee())


def held_masks(value, seen=None):
    """Arrays and lists of 1,500 truths that an object holds, in attributes and closures, however deep."""
    seen = set() if seen is None else seen
    if id(value) in seen or isinstance(value, str | bytes | int | float | type) or value is None:
        return []
    seen.add(id(value))
    found = [value] if hasattr(value, "__len__") and not isinstance(value, dict) and len(value) == 1500 else []
    inside = [
        *getattr(value, "__dict__", {}).values(),
        *(c.cell_contents for c in getattr(value, "__closure__", None) or ()),
    ]
    inside += list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, list | tuple) else []
    return found + [deep for part in inside for deep in held_masks(part, seen)]


def test_the_search_for_masks_finds_one():
    target = SealedTarget("A", "", lambda images, mask=None: images)
    assert not held_masks(target)
    hidden = TRUTH
    target._answer = lambda images: hidden
    assert held_masks(target)


@pytest.mark.parametrize("images", [np.zeros((3, 28, 28)), np.full((1, 1, 28, 28), 2.0), np.full((1, 1, 28, 28), np.nan)])
def test_images_that_cannot_be_asked_about_cost_no_query(images):
    target = SealedTarget("A", "", lambda x: pytest.fail("it was asked"))
    with pytest.raises(ValueError, match="pixels in"):
        target.ask(images)
    assert target.n_queries == 0


def test_the_bound_of_the_private_target():
    assert challenge.best_possible(0.001) == pytest.approx(np.exp(4) * 0.001 + (1 + np.exp(2)) * 0.001)
    both = np.exp(4) * 0.1 + (1 + np.exp(2)) * 0.001, 1 - (1 - 0.1 - (1 + np.exp(2)) * 0.001) / np.exp(4)
    assert challenge.best_possible(0.1) == pytest.approx(both[1]) and both[1] < 1 < both[0]
    assert challenge.best_possible(1.0) == 1


def test_the_confidence_of_hidden_and_plain_answers():
    z = np.random.default_rng(0).normal(0, 5, (20, 10))
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    labels = np.arange(20) % 10
    py = p[np.arange(20), labels]
    phi = signals.logit_confidence(challenge.as_logits(p), labels)
    np.testing.assert_allclose(phi, np.log(py) - np.log(p.sum(1) - py), rtol=1e-9)
    np.testing.assert_allclose(challenge.plain(z), p)
    bank = challenge.through(challenge.guarded, ShadowBank(z[None], np.ones((1, 20), dtype=bool), labels))
    np.testing.assert_allclose(bank.logits[0], np.log(challenge.guarded(z)))


# --- the exercises


def attacked(monkeypatch, check, attack):
    """The verdict on an attack, where φ tells members a little and each digit's own shadows tell them well."""
    rng = np.random.default_rng(0)
    hard = rng.normal(0, 3, 1500)
    answers = np.zeros((1500, 10))
    answers[:, 0] = 5 + hard + 1.5 * TRUTH + rng.normal(0, 1, 1500)
    mask = rng.random((8, 1500)) < 0.5
    logits = np.zeros((8, 1500, 10))
    logits[..., 0] = 5 + hard + 1.5 * mask + rng.normal(0, 1, (8, 1500))
    monkeypatch.setattr(challenge, "truth_of", lambda name: TRUTH.copy())
    monkeypatch.setattr(challenge, "guarded", challenge.plain)  # what a mask hides is another test's
    check(attack, answers, ShadowBank(logits, mask, np.zeros(1500, dtype=int)))


def by_itself(answers, bank):
    return signals.logit_confidence(answers, bank.labels) - signals.logit_confidence(bank.logits, bank.labels).mean(0)


def lucky(answers, bank):
    """Ahead on the sealed target alone."""
    return by_itself(answers, bank) if answers[0].sum() == answers[0, 0] else np.ones(1500)


WRONG = [
    (lambda answers, bank: None, "… exercise 11.%d not attempted yet"),
    (by_itself, "✓ exercise 11.%d"),
    (lambda answers, bank: -by_itself(answers, bank), "higher must mean more likely a member"),
    (lambda answers, bank: answers[:, 0], "the loss threshold has 0.6"),
    (lambda answers, bank: np.ones(1500), "the loss threshold has 0.6"),
    (lucky, "over 8 targets like"),
    (lambda answers, bank: by_itself(answers, bank)[:1000], r"got shape [1000]"),
    (lambda answers, bank: np.where(np.arange(1500) < 2, np.nan, by_itself(answers, bank)), "2 scores are NaN"),
    (lambda answers, bank: challenge.truth_of("A").astype(float), "where does the truth come in?"),
]


@pytest.mark.parametrize(("attack", "said"), WRONG)
@pytest.mark.parametrize("m", [1, 2])
def test_attacks_on_the_sealed_targets_are_told_why(monkeypatch, capsys, m, attack, said):
    attacked(monkeypatch, (exercises.exercise_11_1, exercises.exercise_11_2)[m - 1], attack)
    assert (said % m if "%d" in said else said) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("possible", "said"),
    [
        (lambda fpr, tpr: None, "not attempted"),
        (lambda fpr, tpr: tpr <= np.exp(4) * fpr + 9e-3, "members and non-members exchanged"),
        (
            lambda fpr, tpr: tpr <= np.exp(4) * fpr + 1e-3 and 1 - fpr <= np.exp(4) * (1 - tpr) + 1e-3,
            "(1 + e^2) times",
        ),
        (lambda fpr, tpr: True, "an FPR of 0.001 with a TPR of 0.5 is not possible"),
        (lambda fpr, tpr: False, "e^4 times 1 % is 55 %"),
        (lambda fpr, tpr: tpr <= np.exp(2) * fpr + 1e-3, "for a swap ε is 4"),
    ],
)
def test_what_is_possible_is_told_why(capsys, possible, said):
    exercises.exercise_11_3(possible)
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("one_raised", "said"),
    [
        (lambda m, n: None, "not attempted"),
        (lambda m, n: (0.5 + 0.5 / m, 0.5 - 0.5 / n), "✓ exercise 11.4"),
        (lambda m, n: [0.5 + 0.5 / m, 0.5 - 0.5 / n], "✓ exercise 11.4"),
        (
            lambda m, n: (0.5 + 0.5 / n, 0.5 - 0.5 / m),
            "2 members and 4 others, a member raised: the AUC is 0.7500, you say 0.6250",
        ),
        (lambda m, n: (0.5 + 0.5 / m, 0.5 - 0.5 / m), "2 members and 4 others, a non-member raised: the AUC is 0.3750"),
        (lambda m, n: (0.75, 0.375), "3 members and 3 others"),
        (lambda m, n: (0.5 + 0.5 / m,), "it stops"),
    ],
)
def test_what_one_raised_score_gives_away_is_told_why(capsys, one_raised, said):
    exercises.exercise_11_4(one_raised)
    assert said in capsys.readouterr().out
