"""The score export: off unless asked for, three texts a line, and never in the way of a lesson."""

import json
import re
import warnings

import numpy as np
import pytest

from mia_helpers.course import scores
from mia_helpers.course.challenge import Referee
from mia_helpers.course.checks import NOT_ATTEMPTED, exercise

SECRET = "my secret answer"


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("MIA_SCORES_FILE", str(tmp_path / "scores.jsonl"))
    return tmp_path / "scores.jsonl"


def lines(file) -> list[dict]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def stops():
    raise RuntimeError(SECRET)


def test_verdicts_on_exercises_are_noted_and_nothing_else_is(file):
    for check in (lambda: NOT_ATTEMPTED, lambda: SECRET, stops, lambda: None):
        exercise("4.1", check, SECRET)
    assert [(line["exercise"], line["verdict"]) for line in lines(file)] == [
        ("4.1", "not yet"),
        ("4.1", "not yet"),
        ("4.1", "passed"),
    ]
    assert all(set(line) == {"exercise", "verdict", "time"} for line in lines(file))
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line["time"]) for line in lines(file))
    assert SECRET not in file.read_text("utf-8")


def test_a_submission_is_noted_with_its_figures_and_without_the_name_that_it_was_given(file):
    truth = np.arange(1500) < 500
    referee = Referee(lambda target: truth, lambda target: {"luck": np.arange(1500.0) % 2}, ("A",))
    referee.submit("A", truth.astype(float), SECRET)
    with pytest.raises(ValueError, match="one score for each"):
        referee.submit("A", [1.0])
    (line,) = lines(file)
    assert (line["exercise"], line["verdict"]) == ("challenge A", "AUC 1.000, place 1 of 2")
    assert SECRET not in file.read_text("utf-8")


def test_what_is_printed_is_the_same_with_and_without(file, monkeypatch, capsys):
    exercise("4.1", lambda: None, "well done")
    with_it = capsys.readouterr()
    monkeypatch.delenv("MIA_SCORES_FILE")
    exercise("4.1", lambda: None, "well done")
    assert capsys.readouterr() == with_it == ("✓ exercise 4.1: well done\n", "")
    assert len(lines(file)) == 1


def test_with_nobody_at_work_nothing_is_noted(file, monkeypatch):
    monkeypatch.setenv("MIA_READER", "nobody")
    exercise("4.1", lambda: None, "")
    assert not file.exists()


@pytest.mark.parametrize("name", ["", "no/folder/x.jsonl", "nul\0"], ids=["a folder", "in no folder", "no name"])
def test_a_file_that_cannot_be_written_is_warned_about_once_and_the_lesson_goes_on(tmp_path, monkeypatch, capsys, name):
    monkeypatch.setattr(scores, "_warned", set())
    monkeypatch.setattr(scores.os, "environ", {"MIA_SCORES_FILE": f"{tmp_path}/{name}"})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            exercise("4.1", lambda: None, "well done")
    assert [str(w.message)[:48] for w in caught] == ["scores are not noted: MIA_SCORES_FILE cannot be "]
    assert capsys.readouterr().out == "✓ exercise 4.1: well done\n" * 3
