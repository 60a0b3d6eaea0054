"""The report laid out: as text for a terminal, as Markdown, as HTML for a notebook, and as a page of its own.

All forms but the first go through `sections`, so they say the same. Whatever the caller named (groups above all) is escaped.
"""

import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

from mia_helpers.audit.report import MIN_IN_SLICE, AuditReport, Slice, percent, rounded_up, shown
from mia_helpers.audit.schema import CALIBRATION_HALF
from mia_helpers.audit.words import ATTACKS, NO_BOUND, TERMS

TITLE = "Membership leakage audit"
ATTACKS_, CONTROLS, SLICES, EXPOSED = "Attacks", "Controls", "Classes and groups", "Most exposed members"  # with pictures
EPSILON = "Empirical ε"
N_SLICES_SHOWN = 12
LONG = 40  # characters: a cell with more may be broken into lines
WIDTH = 76  # characters of a line: a terminal has 80, a printed cell some 76


@dataclass(frozen=True)
class Section:
    """A title, and below it a list, a table (header and rows) and a note, each of which may be empty."""

    title: str
    items: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    note: str = ""
    ordered: bool = False


def sections(report: AuditReport) -> list[Section]:
    """All that comes below the verdict, in order; without what is empty."""
    run = [*report.attacks, *report.not_run]
    found = [
        Section("What now", tuple(report.advice), ordered=True),
        Section("It finds nothing: is it me?", tuple(report.checklist)),
        _attacks(report),
        _epsilon(report),
        Section(
            CONTROLS,
            header=("control", "AUC", "verdict", "what it says"),
            rows=tuple((c.name, shown(c.auc), "passed" if c.passed else "FAILED", c.meaning) for c in report.controls),
        ),
        _slices(report),
        Section(
            EXPOSED,
            header=("position (from 0)", "label", "score", "non-members that score as high"),
            rows=tuple((f"{x.index}", f"{x.label}", f"{x.score:.4g}", report.as_high(x)) for x in report.exposed),
            note="These are records of the training data: show them only to those who may see that.",
        ),
        Section("Not run", header=("attack", "what it would need"), rows=tuple(report.not_run.items())),
        Section("The attacks", header=("attack", "what it does"), rows=tuple((n, ATTACKS[n]) for n in run if n in ATTACKS)),
        Section("The words", header=("word", "meaning"), rows=tuple(TERMS.items())),
        Section("Assumptions", tuple(report.assumptions)),
    ]
    return [section for section in found if section.items or section.rows]


def _epsilon(report: AuditReport) -> Section:
    """The bound on ε, or why there is none."""
    if not report.epsilon_holds:
        return Section(EPSILON, (NO_BOUND,))
    return Section(
        EPSILON,
        header=("lower bound (nats)", "δ", "attack"),
        rows=((f"{report.epsilon:.2f}", f"{report.delta:g}", report.epsilon_attack),),
        note="Attack and number of guesses chosen on one half of the examples, counted on the other. 0: nothing shown. "
        f"Method: {report.epsilon_method}.",
    )


def _attacks(report: AuditReport) -> Section:
    fprs = sorted(report.attacks[report.strongest].tpr_at_fpr, reverse=True)
    rows = []
    for name, r in report.attacks.items():
        rates = (shown(r.tpr_at_fpr[fpr], fpr) for fpr in fprs)
        advantage = "" if r.advantage is None else shown(r.advantage)
        rows.append((name, *rates, shown(r.auc), advantage, report.threshold_from[name]))
    return Section(
        ATTACKS_,
        header=("attack", *(f"TPR at {percent(fpr)} FPR" for fpr in fprs), "AUC", "advantage", "threshold from"),
        rows=tuple(rows),
        note=f"Strongest: {report.strongest}, by the {report.strongest_by}. Every interval is at {report.level:.2%}, so "
        f"that all statements hold together with {report.confidence:.3g} and picking the strongest attack spoils "
        "none; its value is still flattered a little by the picking. A TPR of 0 is no better than chance: the "
        "highest score is then shared by more non-members than may be accused.",
    )


def shown_slices(report: AuditReport) -> list[Slice]:
    """The slices that are large enough, highest lower end first, as many as a report shows."""
    return sorted((s for s in report.slices if s.auc is not None), key=lambda s: -s.low)[:N_SLICES_SHOWN]


def _slices(report: AuditReport) -> Section:
    tested = [s for s in report.slices if s.auc is not None]
    too_small, shown_ = len(report.slices) - len(tested), shown_slices(report)
    note = "Highest lower end first, with the best attack for each; intervals hold for all slices and attacks at once."
    note += f" {len(tested) - len(shown_)} more are in the JSON." if len(tested) > len(shown_) else ""
    note += f" {too_small} with fewer than {MIN_IN_SLICE} members or non-members were left out." if too_small else ""
    rows = (
        (
            f"{s.column} {s.value}",
            str(s.n_members),
            str(s.n_non_members),
            str(s.attack),
            "" if s.auc is None else shown(s.auc),
            "yes" if s.above_chance else "no",
        )
        for s in shown_
    )
    header = ("slice", "members", "non-members", "best attack", "AUC", "above chance")
    return Section(SLICES, header=header, rows=tuple(rows), note=note)


def _size(report: AuditReport) -> str:
    rows = f" ({report.n_rows:,} rows)" if report.n_rows > report.n_members + report.n_non_members else ""
    right = ", ".join(f"{shown(share)} on {who}" for who, share in report.accuracy.items())
    return (
        f"{report.n_members:,} members, {report.n_non_members:,} non-members{rows}, {report.n_classes} classes, "
        f"{report.n_shadows} shadows or reference models. Smallest false-positive rate supported: "
        f"{rounded_up(1000 / report.n_non_members)} %. The model's accuracy: {right}."
    )


# ---------------------------------------------------------------------------------------------------------------- terminal


def plain(report: AuditReport) -> str:
    """The verdict, the warnings and a short table, as plain text: sentences on lines of at most `WIDTH` characters."""
    fpr = report.at_fpr
    rows = [["attack", f"TPR at {percent(fpr)} FPR", "AUC", "advantage"]]
    ranked = sorted(report.attacks, key=lambda name: (-report.attacks[name].tpr_at_fpr[fpr].value, name))
    for name in sorted(ranked, key=lambda name: name != report.strongest):
        r = report.attacks[name]
        rows.append([name, shown(r.tpr_at_fpr[fpr], fpr), shown(r.auc), "" if r.advantage is None else shown(r.advantage)])
    widths = [max(map(len, column)) for column in zip(*rows)]
    table = [_without_controls("  ".join(map(str.ljust, row, widths)).rstrip()) for row in rows]
    if CALIBRATION_HALF in report.threshold_from.values():
        table.append(_wrapped("(Advantage: one half of the examples chose the threshold, the other half is counted.)"))
    controls = (f"{c.name} {shown(c.auc.value)} {'passed' if c.passed else 'FAILED'}" for c in report.controls)
    bound = f" ≥ {report.epsilon:.2f} ({report.epsilon_attack}, δ = {report.delta:g}; {report.epsilon_method})."
    above = (report.verdict, *(f"WARNING: {warning}" for warning in report.warnings), _size(report))
    below = (
        EPSILON + (bound if report.epsilon_holds else f": {NO_BOUND[0].lower()}{NO_BOUND[1:]}"),
        f"Controls (AUC): {'; '.join(controls)}. {report.assumptions[0]}",
        f"Not run: {', '.join(report.not_run) or 'nothing'}.",
    )
    return "\n".join([*map(_wrapped, above), "", *table, "", *map(_wrapped, below)])


def _wrapped(text: str) -> str:
    """Sentences on lines that a terminal and a notebook can show; a figure stays beside its interval."""
    whole = re.sub(r"\S+ \[[^]]*]", lambda figure: figure[0].replace(" ", "\0"), _without_controls(text))
    return textwrap.fill(whole, WIDTH, break_long_words=False, break_on_hyphens=False).replace("\0", " ")


def printable(text: str) -> str:
    """One line without control characters, which could write over a terminal."""
    return _without_controls(" ".join(str(text).split()))


def _without_controls(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


# ---------------------------------------------------------------------------------------------------------------- Markdown


def markdown(report: AuditReport) -> str:
    """The report as Markdown text, without pictures."""
    lines = [f"# {TITLE}", "", f"**{_cell(report.verdict)}**", ""]
    lines += [f"> **Warning:** {_cell(warning)}\n" for warning in report.warnings]
    lines += [_size(report), ""]
    for section in sections(report):
        lines += [f"## {section.title}", ""]
        for i, text in enumerate(section.items, 1):
            lines.append(f"{f'{i}.' if section.ordered else '-'} {_cell(text)}")
        if section.items:
            lines.append("")
        if section.rows:
            dashes = ["---"] * len(section.header)
            lines += [_row(section.header), _row(dashes), *(_row(map(_cell, row)) for row in section.rows), ""]
        lines += [section.note, ""] if section.note else []
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Text that cannot break out of a Markdown table or paragraph."""
    return escape(printable(text), quote=False).replace("|", "\\|").replace("](", "]\\(")


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


# -------------------------------------------------------------------------------------------------------------------- HTML


def fragment(report: AuditReport) -> str:
    """The report as a piece of HTML for a notebook, whose theme it leaves alone."""
    return f"<div><h3>{TITLE}</h3>{_body(report, 'h4')}</div>"


def whole(report: AuditReport) -> str:
    """The report as a page of its own: no script, and nothing is loaded from elsewhere."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8" />\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1" />\n'
        f"<title>{TITLE}: {escape(report.status)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>{TITLE}: {escape(report.status)}</h1>\n{_body(report, 'h2')}\n</main>\n</body>\n</html>"
    )


def _body(report: AuditReport, heading: str) -> str:
    from mia_helpers.audit.pictures import drawn  # imports matplotlib

    pictures = drawn(report)
    parts = [f'<p class="verdict"><b>{escape(report.verdict)}</b></p>']
    parts += [f'<p class="warning"><b>Warning:</b> {escape(warning)}</p>' for warning in report.warnings]
    parts += [f"<p>{escape(_size(report))}</p>"]
    for section in sections(report):
        images = "".join(
            f'<img src="{picture.uri}" alt="{escape(picture.alt)}" style="width:460px;max-width:100%;background:#fff" />'
            for picture in pictures.get(section.title, ())
        )
        figures = f'<div class="pictures" style="{SIDE_BY_SIDE}">{images}</div>' if images else ""
        beside = "one" if images.count("<img") == 1 else "all"  # on paper, one picture has the table beside it
        title = f"<{heading}>{escape(section.title)}</{heading}>"
        note = f"<p>{escape(section.note)}</p>" if section.note else ""
        parts.append(f'{title}<div class="{beside}">{figures}{_list(section)}{_table(section)}</div>{note}')
    return "\n".join(parts)


def _list(section: Section) -> str:
    items, tag = "".join(f"<li>{escape(printable(text))}</li>" for text in section.items), "ol" if section.ordered else "ul"
    return f"<{tag}>{items}</{tag}>" if items else ""


def _table(section: Section) -> str:
    if not section.rows:
        return ""
    head = "".join(f'<th scope="col" style="text-align:left">{escape(name)}</th>' for name in section.header)
    body = "".join("<tr>" + "".join(map(_data, row)) + "</tr>" for row in section.rows)
    return (
        f'<div class="table" style="overflow-x:auto" tabindex="0" role="region" aria-label="{escape(section.title)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _data(text: str) -> str:
    long = ' class="long"' if len(text) > LONG else ""
    return f'<td{long} style="text-align:left">{escape(printable(text))}</td>'


SIDE_BY_SIDE = "display:flex;flex-wrap:wrap;align-items:flex-start;gap:12px"
# The colours are the reader's (light or dark) and half-transparent grey; on paper two pictures stand side by side.
STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;margin:0}
main{max-width:60rem;margin:auto;padding:1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin:1.6rem 0 .4rem}
p,ul,ol{margin:.4rem 0}li{margin:.2rem 0}
.verdict{border-left:.4rem solid #888;padding-left:.8rem}
.warning{border:2px solid #888;padding:.4rem .8rem}
.verdict,.warning,li,td{overflow-wrap:anywhere}
table{border-collapse:collapse;font-size:.875rem;margin:.4rem 0;font-variant-numeric:tabular-nums}
th,td{text-align:left;vertical-align:top;padding:.25rem .9rem .25rem 0;border-bottom:1px solid #8886;white-space:nowrap}
td.long{white-space:normal;min-width:16rem}
img{border-radius:4px}
@page{size:A4;margin:9mm}
@media print{
:root{color-scheme:light}
body{font-size:7pt;line-height:1.2}
main{max-width:none;padding:0}
h1{font-size:13pt;margin:0 0 2mm}h2{font-size:9pt;margin:1.6mm 0 .5mm;break-after:avoid}
p,ul,ol{margin:.6mm 0}li{margin:0}
table{font-size:6.4pt}th,td{padding:.2mm 3mm .2mm 0}
.table{overflow:visible!important}
.pictures{gap:4mm!important}img{width:62mm!important}
.one{display:grid;grid-template-columns:54mm 1fr;column-gap:4mm;align-items:start}
.one img{width:54mm!important}.one td.long{min-width:32mm}
.one td:first-child{white-space:normal;min-width:24mm}
tr,img,.verdict,.warning,li{break-inside:avoid}
}
"""
