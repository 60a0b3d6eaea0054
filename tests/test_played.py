"""What the reader plays with: predictions that are kept, rankings that are signed, the membership game."""

import json
import re

import matplotlib

matplotlib.use("Agg")

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mia_helpers.course import predictions, widgets
from mia_helpers.course.game import YOU, MembershipGame
from mia_helpers.metrics import Estimate


@pytest.fixture(autouse=True)
def own_answers(monkeypatch, tmp_path):
    monkeypatch.setenv("MIA_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("MIA_READER", raising=False)
    monkeypatch.setattr(predictions, "_in_memory", {})
    monkeypatch.setattr(plt, "show", lambda: None)
    yield
    plt.close("all")


@pytest.fixture
def shown(monkeypatch):
    """Widgets that were displayed, with the text that stands for them in print."""
    found = []
    monkeypatch.setattr(
        widgets,
        "display",
        lambda bundle, raw: found.append((by_model_id(bundle), bundle["text/plain"], bundle["text/html"])),
    )
    return found


def by_model_id(bundle):
    return ipywidgets.widgets.widget._instances[bundle["application/vnd.jupyter.widget-view+json"]["model_id"]]


def all_of(widget, kind):
    found = [widget] if isinstance(widget, kind) else []
    return found + [deep for child in getattr(widget, "children", ()) for deep in all_of(child, kind)]


def button(widget, text):
    return next(b for b in all_of(widget, ipywidgets.Button) if b.description == text)


# --- predictions


def test_a_prediction_is_kept_and_taken_up_again(shown, capsys, tmp_path, monkeypatch):
    predictions.predict("02.sure", "How many?", ("half", "all"))
    ((widget, text, html),) = shown
    assert text == "How many?\n○ half\n○ all" and "○ half" in html
    (choice,) = all_of(widget, ipywidgets.ToggleButtons)
    assert choice.value is None
    predictions.reveal("02.sure", "all", "They are easy.")
    choice.value = "half"
    predictions.reveal("02.sure", "all", "They are easy.")
    choice.value = "all"
    predictions.reveal("02.sure", "all")
    assert capsys.readouterr().out.splitlines() == [
        "It is: all. They are easy.",
        "You said: half. It is: all. They are easy.",
        "You said: all. So it is.",
    ]
    monkeypatch.setattr(predictions, "_in_memory", {})  # another notebook
    assert predictions.recall("02.sure") == "all"
    predictions.predict("02.sure", "How many?", ("half", "all"))
    assert all_of(shown[-1][0], ipywidgets.ToggleButtons)[0].value == "all"
    predictions.predict("02.sure", "Asked otherwise?", ("few", "many"))
    assert all_of(shown[-1][0], ipywidgets.ToggleButtons)[0].value is None


def test_without_widgets_the_answer_is_an_argument(shown):
    predictions.predict("a", "Which?", ("x", "y"), answer="y")
    assert predictions.recall("a") == "y" and predictions.recall("b") is None
    with pytest.raises(ValueError, match="'z' is none of the options: x, y"):
        predictions.predict("a", "Which?", ("x", "y"), answer="z")


@pytest.mark.parametrize("options", [("one",), ("a", "a"), "ab"])
def test_a_question_without_a_choice_is_refused(options):
    for ask in (predictions.predict, predictions.rank, predictions.tick):
        with pytest.raises(ValueError, match="two or more different options"):
            ask("a", "Which?", options)


def test_ticks_are_kept_when_they_are_signed_and_only_then(shown):
    predictions.tick("10.first", "Which?", ("1", "2", "3"), before=["3"])
    widget = shown[-1][0]
    boxes = {box.description: box for box in all_of(widget, ipywidgets.Checkbox)}
    assert [box.value for box in boxes.values()] == [False, False, True]
    boxes["1"].value, boxes["3"].value = True, False
    assert predictions.recall("10.first") is None and "1 ticked" in all_of(widget, ipywidgets.HTML)[-1].value
    button(widget, "sign").click()
    assert predictions.recall("10.first") == ["1"] and "Signed: 1." in all_of(widget, ipywidgets.HTML)[-1].value
    boxes["1"].value = False
    button(widget, "sign").click()
    assert predictions.recall("10.first") == [] and "Signed: nothing." in all_of(widget, ipywidgets.HTML)[-1].value
    predictions.tick("10.first", "Which?", ("1", "2", "3"), before=["3"])  # nothing was signed, and that is an answer
    assert not any(box.value for box in all_of(shown[-1][0], ipywidgets.Checkbox))
    predictions.tick("10.first", "Which?", ("a", "b"), answer=["b"])
    predictions.tick("10.first", "Which?", ("1", "2", "3"), before=["3"])  # answers to another question do not count
    assert [box.value for box in all_of(shown[-1][0], ipywidgets.Checkbox)] == [False, False, True]
    with pytest.raises(ValueError, match="'c' is none of the options: a, b"):
        predictions.tick("10.first", "Which?", ("a", "b"), answer=["c"])


def test_a_ranking_is_taken_up_with_the_places_that_it_gave(shown, capsys):
    found = {"b": Estimate(0.5, 0.45, 0.55), "a": Estimate(0.9, 0.8, 1.0), "c": Estimate(0.5, 0.4, 0.6)}
    predictions.reveal_ranking("08.order", found)
    said = capsys.readouterr().out
    assert [line.split()[1] for line in said.splitlines()] == ["a", "b", "c"] and "your" not in said
    predictions.rank("08.order", "Most first?", ("a", "b", "c"), answer=["b", "a", "c"])
    capsys.readouterr()
    predictions.reveal_ranking("08.order", found)
    said = capsys.readouterr().out
    assert [line.split()[-1] for line in said.splitlines()[:3]] == ["2", "1", "3"]
    assert "1 are as found, 1 the other way round, 1 too close" in said
    predictions.reveal_ranking("08.order", {"a": found["a"], "b": found["b"]})  # another question than was signed
    assert "your" not in capsys.readouterr().out
    with pytest.raises(ValueError, match="nothing to rank"):
        predictions.reveal_ranking("08.order", {})


def test_a_ranking_is_kept_when_it_is_signed_and_only_then(shown):
    predictions.rank("05", "Best first?", ("a", "b", "c"))
    ((widget, *_),) = shown
    assert button(widget, "sign").disabled
    for item in ("c", "a"):
        button(widget, item).click()
        assert button(widget, item).disabled
    assert button(widget, "sign").disabled
    button(widget, "b").click()
    assert predictions.recall("05") is None and not button(widget, "sign").disabled
    button(widget, "sign").click()
    assert predictions.recall("05") == ["c", "a", "b"]
    assert "Signed: 1. c, 2. a, 3. b" in all_of(widget, ipywidgets.HTML)[-1].value
    button(widget, "start again").click()
    assert predictions.recall("05") == ["c", "a", "b"] and not button(widget, "a").disabled
    predictions.rank("05", "Best first?", ("a", "b", "c"))
    assert "Signed: 1. c" in all_of(shown[-1][0], ipywidgets.HTML)[-1].value
    with pytest.raises(ValueError, match="each of the 3 items once"):
        predictions.rank("05", "Best first?", ("a", "b", "c"), answer=["a", "b", "b"])


def test_nobody_is_asked_in_tests_and_refreshed_notebooks(shown, monkeypatch, tmp_path):
    predictions.predict("a", "Which?", ("x", "y"), answer="y")
    monkeypatch.setenv("MIA_READER", "nobody")
    assert predictions.recall("a") is None
    predictions.predict("a", "Which?", ("x", "y"), answer="x")
    monkeypatch.delenv("MIA_READER")
    assert predictions.recall("a") == "y"


@pytest.mark.parametrize("content", ["", "[1]", "{", '"text"'])
def test_a_damaged_file_of_answers_is_written_anew(shown, tmp_path, content):
    path = tmp_path / "course" / "answers.json"
    path.parent.mkdir()
    path.write_text(content)
    assert predictions.recall("a") is None
    predictions.predict("a", "Which?", ("x", "y"), answer="y")
    assert json.loads(path.read_text()) == {"a": "y"}


def test_where_nothing_can_be_written_the_notebook_remembers(shown, tmp_path, monkeypatch):
    (tmp_path / "course").write_text("a file where the folder should be")
    predictions.predict("a", "Which?", ("x", "y"), answer="y")
    assert predictions.recall("a") == "y"


# --- the game


def game(n=40, **options):
    truth = np.arange(n) % 4 == 0
    drawn = []
    rivals = {"oracle": truth, "always member": np.ones(n, dtype=bool)}
    return MembershipGame(drawn.append, truth, rivals, **options), truth, drawn


@settings(max_examples=50, deadline=None)
@given(bets=st.lists(st.tuples(st.booleans(), st.sampled_from([1, 2, 3])), min_size=8, max_size=8), seed=st.integers(0, 99))
def test_scores_are_the_stakes_won_minus_the_stakes_lost(bets, seed):
    play, truth, drawn = game(n_rounds=8, seed=seed)
    expected = dict.fromkeys(play.scores, 0)
    for member, stake in bets:
        play.card()
        card = drawn[-1]
        said = play.bet(member, stake)
        assert f"It was {'a member' if truth[card] else 'not a member'}." in said
        for name, its_bet in ((YOU, member), ("oracle", truth[card]), ("always member", True)):
            expected[name] += stake * (1 if its_bet == truth[card] else -1)
            assert (name in re.search(r"Right: ([^.]*)", said)[1].split(", ")) == (its_bet == truth[card])
    assert play.scores == expected and len(set(drawn)) == 8 and play.over
    for call in (play.card, lambda: play.bet(True)):
        with pytest.raises(ValueError, match="the game is over"):
            call()


def test_cards_are_members_by_a_coin_and_other_cards_each_time():
    play, truth, drawn = game(400, n_rounds=50)
    hands = []
    for _ in range(20):
        for _ in range(50):
            play.card()
            play.bet(True)
        hands.append(drawn[-50:])
        play.fresh()
        assert play.round == 0 and set(play.scores.values()) == {0}
    n_members = [truth[hand].sum() for hand in hands]
    assert 440 < sum(n_members) < 560 and len(set(n_members)) > 3  # of 1,000, though a quarter of the cards are members
    assert len({tuple(hand) for hand in hands}) == 20
    alike = np.concatenate([truth[hand][1:] == truth[hand][:-1] for hand in hands])
    assert 0.42 < alike.mean() < 0.58, "what came last must not tell what comes next"
    again, _, drawn_again = game(400, n_rounds=50)
    again.card()
    assert drawn_again[0] == drawn[0]


def test_a_small_deck_is_dealt_to_the_end():
    play, _, drawn = game(4, n_rounds=4)
    while not play.over:
        play.card()
        play.bet(False)
    assert sorted(drawn) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("truth", "rivals", "n_rounds", "why"),
    [
        ([True] * 4, {}, 2, "members and non-members among them"),
        ([True, False], {"rule": [True]}, 1, "'rule' needs one bet for each of 2 cards"),
        ([True, False], {}, 3, "3 rounds need as many cards"),
    ],
)
def test_a_game_that_cannot_be_played_is_refused(truth, rivals, n_rounds, why):
    with pytest.raises(ValueError, match=why):
        MembershipGame(print, truth, rivals, n_rounds=n_rounds)


def test_the_buttons_bet_and_the_score_is_read_aloud(shown):
    play, _, drawn = game(n_rounds=3)
    play.play()
    ((widget, text, _),) = shown
    assert text == "The membership game: 3 cards, you against oracle and always member." and len(drawn) == 1
    (stake,) = all_of(widget, ipywidgets.ToggleButtons)
    stake.value = 3
    button(widget, "was a member").click()
    status = all_of(widget, ipywidgets.HTML)[0]
    assert 'aria-live="polite"' in status.value and "After 1 of 3 cards" in status.value
    assert abs(play.scores[YOU]) == 3 and len(drawn) == 2
    button(widget, "was not a member").click()
    button(widget, "was not a member").click()
    assert play.over and button(widget, "was a member").disabled
    assert status.value.endswith("The game is over.</div>") and len(drawn) == 3  # the last card stays
    button(widget, "fresh cards").click()
    assert not play.over and not button(widget, "was a member").disabled and "Card 1 of 3" in status.value


def test_an_error_in_drawing_a_card_is_seen(shown):
    torn = []

    def draw(i):
        assert not torn, "the card is torn"
        plt.title(f"card {i}")

    play = MembershipGame(draw, [True, False, True, False], {}, n_rounds=3)
    play.play()
    ((widget, *_),) = shown
    (picture,) = all_of(widget, widgets.Drawing)
    assert re.fullmatch(r"card \d", picture.alts[0]) and len(picture.pictures) == 1
    torn.append(True)
    button(widget, "was a member").click()
    assert "the card is torn" in picture.error and not picture.pictures
    with pytest.raises(AssertionError, match="the card is torn"):
        play.play()
    torn.clear()
    for _ in range(2):
        button(widget, "was a member").click()
    assert play.over and len(picture.pictures) == 1 and not picture.error
