"""Twelve set-ups of a private training and eight reports of audits; not all keep what they say (notebook 10)."""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class SetUp:
    """One line, whether what it states holds, and why; of the set-ups, each departs from a sound one in one thing."""

    line: str
    holds: bool
    why: str


SET_UPS = (
    SetUp(
        "Thirty learning rates were tried on the members. The best model is published, with the ε of its own training.",
        False,
        "the choice looked at the members thirty times, and which rate won can depend on one person; all thirty trainings "
        "count, or a private way of choosing (Papernot & Steinke 2021)",
    ),
    SetUp(
        "The weights after every epoch are published, not only the last ones. The stated ε is that of the whole training.",
        True,
        "the accountant counts every noisy step as if it were seen, so what lies between start and end costs nothing more",
    ),
    SetUp(
        "The mean gradient of each batch is clipped to norm 1; the noise is what the accountant wants for clipped examples.",
        False,
        "one person with a huge gradient can turn the whole batch's mean round; only examples clipped one by one bound "
        "what one of them adds, and the noise is made for that",
    ),
    SetUp(
        "The network has batch normalisation. Each example's gradient is clipped.",
        False,
        "an example changes the mean and spread by which the others are normalised, and so all gradients; clipping each "
        "does not bound one person's influence. The running means are published without noise, too",
    ),
    SetUp(
        "Afterwards the private model is fine-tuned on public images, and its answers are rounded. ε is stated as before.",
        True,
        "whatever is done to a private result without looking at the private data again (post-processing) costs nothing",
    ),
    SetUp(
        "Pixels are normalised with the exact mean and standard deviation of the members, which are published as a part of "
        "the model.",
        False,
        "these two numbers are computed from everybody without noise; use constants, those of public data, or pay for them",
    ),
    SetUp(
        "The seed of the starting weights is published. Batches and noise come from a secure generator whose state nobody "
        "has kept.",
        True,
        "the starting weights do not depend on anybody's data, and the proof lets the adversary know them; only the lots "
        "of batches and noise must stay unknown",
    ),
    SetUp(
        "The list is shuffled once and cut into batches of 100. The accountant assumes that each person enters each batch "
        "by a coin.",
        False,
        "the accountant's gain from sampling is proved for such coins and not for a shuffled list, where the true ε can be "
        "larger; draw the batches as the accountant assumes",
    ),
    SetUp(
        "The accountant was asked for δ = 0.001, since ε is smaller then. The statement says (4, 0.001).",
        False,
        "with 10,000 people, publishing each one's record with a chance of 1 in 1,000 would satisfy that, and gives ten "
        "people away; δ must lie below 1/n",
    ),
    SetUp(
        "After each epoch, the accuracy on 1,000 other people's records decides whether to stop. The statement covers "
        "everybody whose record was used.",
        False,
        "when training stops depends on those 1,000 records without any noise, so for these people there is no guarantee; "
        "stop by public data, or pay for looking",
    ),
    SetUp(
        "A year later a second model is trained on the same people, again with (4, 0.00001). The new statement for both "
        "together is (8, 0.00002).",
        True,
        "ε and δ of releases about the same people add up (composition), and that is what was stated",
    ),
    SetUp(
        "The accountant's ε = 4 is for adding or removing one person. The statement says: to exchange one person's record "
        "for another changes no probability by more than the factor e⁴, up to δ.",
        False,
        "exchanging is removing and adding, two steps; from ε = 4 for one step follows 8 for both, and a larger δ",
    ),
)

REPORTS = (
    SetUp(
        "200 members and 200 others, drawn by lot. No attack was above chance. The model gives nobody away.",
        False,
        "so few people let a clear leak pass unseen, and no audit shows that nothing leaks; the upper end of the AUC's "
        "interval is what can be said",
    ),
    SetUp(
        "5,000 members and 5,000 others set aside by lot. The strongest of 8 attacks names 2 % of the members [1 %, 3 %, "
        "for all 8 at once] at 1 % false positives. Attacks with reference models were not run.",
        True,
        "who was compared, how many attacks, an interval that allows for picking the strongest, and what was not tried: "
        "that is all it claims",
    ),
    SetUp(
        "The members are customers of last year, the others joined this year. AUC 0.83: the model leaks badly.",
        False,
        "the two groups differ in time, and an attack may see just that; first see what a classifier finds that never asks "
        "the model",
    ),
    SetUp(
        "We tried 20 attacks and report the best: AUC 0.54, plain 95 % interval [0.51, 0.57], so there is a leak.",
        False,
        "of 20 attacks on a model without a leak one easily has a plain interval above 0.5; it must hold for all 20 at once",
    ),
    SetUp(
        "With 300 non-members, the attack names 12 % of the members at 0.1 % false positives.",
        False,
        "one would expect a third of a false alarm among 300, so nobody can say what the rate is; 10 are asked for",
    ),
    SetUp(
        "Members and others by lot. A blind classifier has an AUC of 0.47 [0.42, 0.52], the attack 0.60 [0.56, 0.64]. "
        "Evidence of a leak, from the attacks that were run.",
        True,
        "a blind classifier somewhat below 0.5 is an artefact of cross-validation, and the attack's interval lies above 0.5",
    ),
    SetUp(
        "Our gate stands at 5 %. The first two runs named 6 %; with a third seed it was 4.7 %, and the gate opened.",
        False,
        "the best of three tries is no measurement, and there would have been a fourth; the number of runs belongs fixed "
        "with the limit",
    ),
    SetUp(
        "300 members and 300 others set aside by lot. No attack of 13, those with reference models among them, was above "
        "chance. A leak with an AUC of up to 0.61 is not excluded.",
        True,
        "it says what was run, and how large a leak could have gone unseen; it does not say that there is none",
    ),
)


def show(lines: Sequence[SetUp] = SET_UPS) -> None:
    """Print the lines, numbered from 1."""
    _numbered(set_up.line for set_up in lines)


def reasons(lines: Sequence[SetUp] = SET_UPS) -> None:
    """Print of each line whether it holds, and why: what a solution shows."""
    _numbered(f"{set_up.holds}: {set_up.why}." for set_up in lines)


def _numbered(texts: Iterable[str]) -> None:
    for number, text in enumerate(texts, start=1):
        print(textwrap.fill(text, 70, initial_indent=f"{number:2d}. ", subsequent_indent="    "))
