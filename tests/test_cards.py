"""Cards of the membership game on images, and the blind models that the game is checked against."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from mia_helpers.course import classic
from mia_helpers.course.cards import SMALLEST, draw_card
from mia_helpers.plots import NEUTRAL


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_a_card_shows_the_image_and_a_bar_for_each_class(capsys):
    image = torch.rand(1, 28, 28)
    left, right = draw_card(image, [3.0, 0, -50], label=1).axes
    assert np.array_equal(left.images[0].get_array(), image[0])
    heights = [bar.get_height() for bar in right.patches]
    p = np.exp([3, 0, -50]) / np.exp([3, 0, -50]).sum()
    assert np.allclose(heights, np.maximum(p, SMALLEST))
    assert [to_hex(bar.get_facecolor()) == NEUTRAL for bar in right.patches] == [True, False, True]
    assert [bar.get_hatch() is None for bar in right.patches] == [True, False, True], "not by colour alone"
    assert "says 0" in right.get_title() and "0.953" in right.get_title()
    assert capsys.readouterr().out == "True class: 1; the target says 0, probability 0.953.\n", "for those who play by ear"


@pytest.mark.parametrize(("logit", "shown"), [(2.0, "0.88"), (7.0, "0.99909"), (12.0, "0.9999939"), (400.0, "1.000000000")])
def test_it_tells_near_certainty_from_certainty(logit, shown):
    title = draw_card(np.zeros((28, 28)), [logit, 0.0], label=0).axes[1].get_title()
    assert title.endswith(f"probability {shown}")


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_that_is_no_class_is_refused(label):
    with pytest.raises(ValueError, match="one of 2 classes"):
        draw_card(np.zeros((28, 28)), [0.0, 1.0], label)


def test_all_models_are_made_each_with_one_thread_and_the_same_seeds(monkeypatch):
    asked = []

    def noted(role, number, progress):
        asked.append((role, number, progress, torch.get_num_threads(), classic.seed_shift()))
        return role, number

    monkeypatch.setattr(classic, "experiment", noted)
    monkeypatch.setenv("MIA_SEED_SHIFT", "7")
    monkeypatch.setattr(classic.torch, "get_num_threads", lambda: 1)  # in this process, so that `noted` is what is called
    blind = [("blind", number) for number in range(3)]
    assert classic.experiments(progress=False) == (("target", 0), ("shadow", 0), blind)
    assert asked == [(*made, False, 1, 7) for made in (("target", 0), ("shadow", 0), *blind)]


def test_a_worker_takes_over_the_seeds_of_its_caller_and_gives_the_threads_back(monkeypatch):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    monkeypatch.setenv("MIA_SEED_SHIFT", "0")
    monkeypatch.setattr(classic, "experiment", lambda *_, progress: (torch.get_num_threads(), classic.seed_shift()))
    try:
        assert classic._alone("blind", 0, shift=3) == (1, 3)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
