"""The report's pictures: figures in, a matplotlib figure out, and its numbers again in words. Imports matplotlib.

No pyplot figure is ever opened, and the reader's settings (style, LaTeX) are left out. Readable without colour: what counts
is also said by a filled marker, a line style or a word.
"""

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, wraps
from textwrap import fill

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from mia_helpers.audit.page import ATTACKS_, CONTROLS, EXPOSED, SLICES, printable, shown_slices
from mia_helpers.audit.report import AuditReport, percent, rounded_up, shown
from mia_helpers.metrics import Estimate, roc_curve, true_positives_at_fpr
from mia_helpers.plots import MEMBER, NEUTRAL, SERIES, chance_line

WIDTH = 5.0  # inches; a page shows it 460 pixels wide, so that it is still legible on a telephone
FONT = "DejaVu Sans"  # comes with matplotlib
MAX_NAME, MAX_POINTS = 26, 600
STYLE = {
    "font.family": FONT,
    "font.size": 9,
    "text.parse_math": False,  # a group's name may hold $
    "axes.spines.top": False,
    "axes.spines.right": False,
}
Row = tuple[str, Estimate, bool]  # name as it can be shown, what to draw, whether with a filled marker


@dataclass(frozen=True)
class Picture:
    """A figure as a data URI, and its content in words."""

    uri: str
    alt: str


def _styled(make: Callable) -> Callable:
    @wraps(make)
    def inside(*arguments: object, **named: object) -> object:
        with matplotlib.style.context(["default", STYLE]):
            return make(*arguments, **named)

    return inside


@_styled
def drawn(report: AuditReport) -> dict[str, list[Picture]]:
    """The title of a section -> its pictures. What has nothing to show is not drawn."""
    found = {ATTACKS_: [Picture(_png(attacks(report)), attacks_in_words(report))]}
    if report.material is not None:
        found[ATTACKS_].append(Picture(_png(roc(report)), roc_in_words(report)))
    if report.controls:
        found[CONTROLS] = [Picture(_png(controls(report)), controls_in_words(report))]
    if shown_slices(report):
        found[SLICES] = [Picture(_png(slices(report)), slices_in_words(report))]
    if report.images is not None:
        found[EXPOSED] = [Picture(_png(exposed(report)), exposed_in_words(report))]
    return found


# ---------------------------------------------------------------------------------------------------------------- the dots


@_styled
def attacks(report: AuditReport) -> Figure:
    """AUC and TPR at `at_fpr` of every attack, in the order of the table; the strongest has the filled markers."""
    figure = _figure(0.27 * len(report.attacks) + 1.1)
    left, right = figure.subplots(1, 2, sharey=True)
    of = report.attacks
    _dots(left, [(name, r.auc, name == report.strongest) for name, r in of.items()], 0.5, "AUC")
    rates = [(name, r.tpr_at_fpr[report.at_fpr], name == report.strongest) for name, r in of.items()]
    _dots(right, rates, report.at_fpr, f"TPR at {percent(report.at_fpr)} FPR")
    right.set_xlim(left=-0.03 * right.get_xlim()[1])  # so that a dot at 0 is whole
    right.tick_params(left=False)
    return figure


def attacks_in_words(report: AuditReport) -> str:
    """What `attacks` shows."""
    each = (
        f"{name}: AUC {shown(r.auc)}, TPR {shown(r.tpr_at_fpr[report.at_fpr], report.at_fpr)}"
        for name, r in report.attacks.items()
    )
    return (
        f"Dots with intervals: AUC, and TPR at {percent(report.at_fpr)} FPR, of each attack. {'; '.join(each)}. Chance: AUC "
        f"0.5, TPR {report.at_fpr:.3g}. The strongest, {report.strongest}, has filled dots."
    )


@_styled
def slices(report: AuditReport) -> Figure:
    """The AUC of the best attack on each slice of the table; filled where the interval lies above chance."""
    rows = [(short(f"{s.column} {s.value}"), s.auc, bool(s.above_chance)) for s in shown_slices(report) if s.auc is not None]
    figure = _figure(0.27 * len(rows) + 1.0)
    _dots(figure.subplots(), rows, 0.5, "AUC of the best attack (filled: above chance)")
    return figure


def slices_in_words(report: AuditReport) -> str:
    """What `slices` shows."""
    each = (
        f"{s.column} {s.value}: {shown(s.auc)}, {'above' if s.above_chance else 'not above'} chance"
        for s in shown_slices(report)
        if s.auc is not None
    )
    return printable(f"Dots with intervals: AUC of the best attack on each class or group. {'; '.join(each)}. Chance: 0.5.")


@_styled
def controls(report: AuditReport) -> Figure:
    """The AUC of each control, which should be at chance; a filled cross and the word where one failed."""
    rows = [(fill(c.name, MAX_NAME), c.auc, not c.passed) for c in report.controls]
    figure = _figure(0.4 * len(rows) + 1.0)
    ax = figure.subplots()
    _dots(ax, rows, 0.5, "AUC (should be at chance)", filled="X")
    for y, control in enumerate(report.controls):
        text, weight = ("passed", "normal") if control.passed else ("FAILED", "bold")
        ax.annotate(text, (1.02, y), xycoords=("axes fraction", "data"), va="center", fontsize=8, weight=weight)
    return figure


def controls_in_words(report: AuditReport) -> str:
    """What `controls` shows."""
    each = (f"{c.name}: {shown(c.auc)}, {'passed' if c.passed else 'failed'}" for c in report.controls)
    return f"Dots with intervals: AUC of each control. {'; '.join(each)}. Chance: 0.5."


def _dots(ax: Axes, rows: list[Row], chance: float, label: str, filled: str = "o") -> None:
    for y, (_, estimate, strong) in enumerate(rows):
        ax.plot([estimate.low, estimate.high], [y, y], color=MEMBER, linewidth=1.6)
        face, marker = (MEMBER, filled) if strong else ("white", "o")
        ax.plot(estimate.value, y, marker, color=MEMBER, markerfacecolor=face, markersize=6)
    chance_line(ax, chance, fontsize=8)
    ax.set(xlabel=label, ylim=(len(rows) - 0.5, -0.5))
    ax.set_yticks(range(len(rows)), [name for name, *_ in rows])
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    for tick, (_, _, strong) in zip(ax.get_yticklabels(), rows):
        tick.set_fontweight("bold" if strong else "normal")


# ------------------------------------------------------------------------------------------------------------------ curves


def curves(report: AuditReport) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Name -> scores and memberships: the strongest attack, the loss, and what has nothing to find.

    The last is the strongest attack on a blind model, or, without one, against memberships drawn by lot.
    """
    kept = report.material
    if kept is None:
        return {}
    is_member = kept.examples.people.is_member
    scores = {name: kept.examples.by_person(kept.scores[name]) for name in dict.fromkeys((report.strongest, "loss"))}
    found = {name: (values, is_member) for name, values in scores.items()}
    if kept.blind is not None:
        return found | {f"blind model, {report.strongest}": (kept.blind, is_member)}
    return found | {f"permuted memberships, {report.strongest}": (scores[report.strongest], kept.by_lot)}


@_styled
def roc(report: AuditReport) -> Figure:
    """ROC curves on logarithmic axes, with the diagonal, and grey where too few non-members are left to say anything."""
    figure = _figure(4.2)
    ax = figure.subplots()
    colours, styles = (SERIES[0], SERIES[2], SERIES[3]), ("-", "--", "-.")
    for i, (name, (scores, is_member)) in enumerate(curves(report).items()):
        fpr, tpr = thinned(*roc_curve(scores, is_member)[:2])
        width = 2.2 if i == 0 else 1.5
        ax.step(fpr, tpr, where="post", label=name, color=colours[i], linestyle=styles[i], linewidth=width)
    smallest, lowest = 10 / report.n_non_members, 1 / max(report.n_members, report.n_non_members)
    ax.plot([lowest, 1], [lowest, 1], color=NEUTRAL, linestyle=":", linewidth=1.2, label="chance (diagonal)")
    luck = f"below {rounded_up(smallest)}: fewer than 10 non-members, luck"
    ax.axvspan(lowest, smallest, color=NEUTRAL, alpha=0.15, linewidth=0, label=luck)
    ax.axvline(smallest, color=NEUTRAL, linewidth=1)
    ax.set(xscale="log", yscale="log", xlim=(lowest, 1), ylim=(lowest, 1.15))
    ax.set(xlabel="false-positive rate", ylabel="true-positive rate")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(numticks=8))
        axis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.set_minor_formatter(NullFormatter())
    figure.legend(loc="outside lower center", frameon=False, fontsize=8, handlelength=3.5)
    return figure


def thinned(fpr: np.ndarray, tpr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points of a ROC curve, at most some hundreds, as many in each decade of the FPR.

    Each is one of the curve's own: at equal FPR the highest, and the last one up to each of the rates that are looked at.
    """
    top = np.flatnonzero(np.append(fpr[1:] > fpr[:-1], True))
    if len(top) <= MAX_POINTS:
        return fpr[top], tpr[top]
    rates = np.geomspace(fpr[top][fpr[top] > 0][0], 1, MAX_POINTS - 2)
    kept = np.unique(np.concatenate([[0], np.searchsorted(fpr[top], rates, side="right") - 1, [len(top) - 1]]))
    return fpr[top[kept]], tpr[top[kept]]


def roc_in_words(report: AuditReport) -> str:
    """What `roc` shows, at the rates of the table."""
    parts = []
    for name, (scores, is_member) in curves(report).items():
        rates = (
            f"{shown(true_positives_at_fpr(scores, is_member, fpr) / is_member.sum(), fpr)} at {percent(fpr)}"
            for fpr in sorted(report.attacks[report.strongest].tpr_at_fpr, reverse=True)
        )
        parts.append(f"{name}: {', '.join(rates)}")
    return (
        f"ROC curves on logarithmic axes. True-positive rates at false-positive rates: {'; '.join(parts)}. The diagonal is "
        f"chance. The smallest false-positive rate supported, {rounded_up(1000 / report.n_non_members)} %, is marked."
    )


# ------------------------------------------------------------------------------------------------------------------ images


@_styled
def exposed(report: AuditReport) -> Figure:
    """The most exposed members, images of the report, each with its label and how many non-members score as high."""
    images = report.images if report.images is not None else np.empty((0, 8, 8))
    rows = max(1, -(-len(images) // 5))
    figure = _figure(1.45 * rows)
    axes = figure.subplots(rows, 5, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, image, example in zip(axes.flat, images, report.exposed):
        ax.imshow(image, cmap="gray", vmin=0, vmax=1)
        ax.set_title(f"label {example.label}\n{report.as_high(example)}", fontsize=7.5)
    return figure


def exposed_in_words(report: AuditReport) -> str:
    """What `exposed` shows."""
    each = (f"position {x.index}, label {x.label}: {report.as_high(x)}" for x in report.exposed)
    return f"Images of the most exposed members, and how many non-members score as high. {'; '.join(each)}."


# ------------------------------------------------------------------------------------------------------------------- files


def short(name: str) -> str:
    """A name that a picture can show: one line, not too long, and nothing that the font lacks."""
    text = "".join(c if ord(c) in _glyphs() else "\N{REPLACEMENT CHARACTER}" for c in printable(name))
    return text if len(text) <= MAX_NAME else text[: MAX_NAME - 1] + "…"


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont(FONT)).get_charmap())


def _figure(height: float) -> Figure:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Figure) -> str:
    """A PNG with a palette, as a data URI."""
    from PIL import Image

    buffer, small = io.BytesIO(), io.BytesIO()
    figure.savefig(buffer, format="png", dpi=180, facecolor="white")
    Image.open(buffer).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(small.getvalue()).decode("ascii")
