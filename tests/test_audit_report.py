"""What an audit's report shows: scores of single records, pictures, advice, and the same figures in every form."""

import base64
import dataclasses
import io
import json
import re
import subprocess
import sys
import warnings
from html.parser import HTMLParser

import jsonschema
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from mia_helpers import attacks
from mia_helpers.audit import References, Settings, advice, audit, examples, main, measuring, page, pictures, scoring, words
from mia_helpers.audit.report import EVIDENCE, JSON_SCHEMA, NO_EVIDENCE, NOT_COMPARABLE, percent, shown
from mia_helpers.metrics import Estimate, auc, roc_curve, true_positives_at_fpr

NAMES = ["<script>alert(1)</script>", "$x^{", "a|b](http://x.y)", "\x1b[2Jred\nline", "病院 🏥 " + "very " * 20]


def outputs(seed, n=400, leak=0.0):
    """Labels, memberships (half of them), logits whose labelled class is `leak` higher for members."""
    rng = np.random.default_rng(seed)
    y, is_member = rng.integers(0, 4, n), rng.permutation(np.arange(n) < n // 2)
    z = rng.normal(0, 2, (n, 4))
    z[np.arange(n), y] += 2 + leak * is_member
    return y, is_member, z


@pytest.fixture(scope="module")
def full():
    """Reference models, groups with odd names, images, and enough records for a rate of 0.01."""
    n, n_shadows = 2400, 8
    rng = np.random.default_rng(0)
    y, is_member, base = outputs(0, n)
    mask = rng.random((n_shadows, n)) < 0.5
    z = base + rng.normal(0, 0.5, (n_shadows + 1, n, 4))
    z[:, np.arange(n), y] += 1.5 * np.vstack([is_member, mask])
    given = {"inputs": rng.random((n, 1, 12, 9)).astype(np.float32), "group": rng.choice(NAMES, n)}
    references = References(shadow_logits=z[1:], member_mask=mask)
    return audit(y, is_member, logits=z[0], references=references, **given), given["inputs"]


@pytest.fixture(scope="module")
def sparse():
    """Logits alone, and no leak: no groups, no images, no reference models."""
    y, is_member, z = outputs(1)
    return audit(y, is_member, logits=z, settings=Settings(at_fpr=0.05)), (y, is_member)


@pytest.fixture(scope="module")
def shifted():
    """Members and non-members that differ without the model."""
    y, is_member, z = outputs(7)
    features = np.random.default_rng(0).normal(size=(400, 2)) + 1.5 * is_member[:, None]
    return audit(y, is_member, logits=z, features=features, settings=Settings(at_fpr=0.05))


# ---- scores


def test_scores_are_those_that_were_measured_in_the_order_of_the_input(full, sparse):
    report, (y, is_member) = sparse
    frame = report.scores
    np.testing.assert_array_equal(frame["index"], np.arange(400))
    np.testing.assert_array_equal(frame["label"], y)
    np.testing.assert_array_equal(frame["is_member"], is_member)
    for found in (report, full[0]):
        frame = found.scores
        for name, r in found.attacks.items():
            assert auc(frame[name], frame["is_member"]).value == r.auc.value
            hits = true_positives_at_fpr(frame[name].to_numpy(), frame["is_member"].to_numpy(), found.at_fpr)
            assert hits / found.n_members == r.tpr_at_fpr[found.at_fpr].value
        assert list(frame) == [
            *("index", "label", "is_member"),
            *found.attacks,
            *(f"{name}: non-members at or above" for name in found.attacks),
        ]
        for example in found.exposed:
            row = frame.loc[example.index]
            assert row["label"] == example.label and row[found.strongest] == example.score
            assert row[f"{found.strongest}: non-members at or above"] == example.non_members_at_or_above


@pytest.mark.parametrize("name", ["gap", "loss", "output classifier"])
def test_ranks_agree_with_a_slow_loop(sparse, name):
    frame = sparse[0].scores
    others = frame.loc[~frame["is_member"], name]
    expected = [sum(other >= score for other in others) / len(others) for score in frame[name]]
    np.testing.assert_allclose(frame[f"{name}: non-members at or above"], expected, atol=1e-12)


def test_scores_are_a_copy_and_neither_compared_nor_in_the_json(sparse):
    report, _ = sparse
    before = report.material.scores["loss"].copy()
    frame = report.scores
    frame.loc[:, "loss"] += 1
    assert frame.loc[0, "loss"] == before[0] + 1
    np.testing.assert_array_equal(report.material.scores["loss"], before)
    bare = dataclasses.replace(report, material=None)
    assert bare == report and bare.to_json() == report.to_json()
    with pytest.raises(ValueError, match="no scores of single records"):
        _ = bare.scores
    assert "ROC curves" not in bare.to_html() and "Attacks" in bare.to_html()


# ---- pictures


def drawn_rows(ax):
    """Plotted dots and whiskers, as (value, low, high, whether the marker is filled)."""
    dots = [line for line in ax.lines if line.get_marker() in ("o", "X")]
    whiskers = [line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_linestyle() == "-"]
    return [
        (float(dot.get_xdata()[0]), *map(float, whisker.get_xdata()), dot.get_markerfacecolor() != "white")
        for dot, whisker in zip(dots, whiskers, strict=True)
    ]


def rows_of(estimates, filled):
    return [(e.value, e.low, e.high, full) for e, full in zip(estimates, filled, strict=True)]


def labels_of(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def test_the_picture_of_the_attacks_shows_the_table(full, sparse):
    for report in (full[0], sparse[0]):
        left, right = pictures.attacks(report).axes
        strong = [name == report.strongest for name in report.attacks]
        assert drawn_rows(left) == rows_of([r.auc for r in report.attacks.values()], strong)
        rates = [r.tpr_at_fpr[report.at_fpr] for r in report.attacks.values()]
        assert drawn_rows(right) == rows_of(rates, strong) and sum(strong) == 1
        assert labels_of(left) == list(report.attacks)


def test_slices_and_controls_are_drawn_as_they_are_listed(full, shifted):
    report = full[0]
    found = sorted((s for s in report.slices if s.auc), key=lambda s: -s.low)[:12]
    (ax,) = pictures.slices(report).axes
    assert drawn_rows(ax) == rows_of([s.auc for s in found], [s.above_chance for s in found])
    many = dataclasses.replace(report, slices=report.slices * 3)
    assert len(drawn_rows(pictures.slices(many).axes[0])) == 12
    for one in (report, shifted):
        (ax,) = pictures.controls(one).axes
        assert drawn_rows(ax) == rows_of([c.auc for c in one.controls], [not c.passed for c in one.controls])
        said = [text.get_text() for text in ax.texts if text.get_text() != "chance"]
        assert said == ["passed" if c.passed else "FAILED" for c in one.controls]
    assert not all(c.passed for c in shifted.controls)


def test_the_curves_are_those_of_the_metrics(full, sparse):
    for report, last in ((full[0], "blind model"), (sparse[0], "permuted memberships")):
        (ax,) = pictures.roc(report).axes
        curves = pictures.curves(report)
        assert list(curves) == [*dict.fromkeys((report.strongest, "loss")), f"{last}, {report.strongest}"]
        lines = {line.get_label(): line for line in ax.lines}
        for name, (scores, is_member) in curves.items():
            fpr, tpr, _ = roc_curve(scores, is_member)
            expected = {x: tpr[fpr == x].max() for x in np.unique(fpr)}
            line = lines[name]
            assert line.get_drawstyle() == "steps-post" and len(line.get_xdata()) <= pictures.MAX_POINTS
            assert all(expected[x] == y for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True))
            assert {0.0, 1.0} <= set(line.get_xdata())
        assert 10 / report.n_non_members in [float(line.get_xdata()[0]) for line in ax.lines]
        assert len({line.get_linestyle() for line in lines.values() if line.get_label() in curves}) == len(curves)


def test_a_curve_of_a_million_points_is_thinned_and_still_its_own():
    rng = np.random.default_rng(0)
    is_member = rng.random(1_000_000) < 0.5
    fpr, tpr, _ = roc_curve(rng.normal(size=1_000_000) + 0.3 * is_member, is_member)
    x, y = pictures.thinned(fpr, tpr)
    assert len(x) <= pictures.MAX_POINTS and (np.diff(x) > 0).all() and x[0] == 0 and x[-1] == 1
    for decade in (1e-5, 1e-4, 1e-3, 1e-2, 1e-1):  # no coarser than 1/20 of a decade where the curve has points
        assert np.sum((x >= decade) & (x < 10 * decade)) >= min(20, np.sum(np.unique(fpr) < 10 * decade) / 2)
    last = np.searchsorted(fpr, x, side="right") - 1
    np.testing.assert_array_equal(y, tpr[last])


@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [
        ((30, 8, 9), np.float32, (3, 8, 9)),
        ((30, 1, 8, 9), np.float64, (3, 8, 9)),
        ((30, 3, 8, 9), np.uint8, (3, 8, 9, 3)),
        ((30, 8, 9, 3), np.uint8, (3, 8, 9, 3)),
        ((30, 8, 9, 1), np.int64, (3, 8, 9)),
        ((30, 500, 260), np.float32, (3, 125, 65)),
        ((30, 20), np.float32, None),
        ((30, 5, 20), np.float32, None),
        ((30, 2, 8, 9), np.float32, None),
        ((30, 8, 9), "U3", None),
    ],
)
def test_what_is_taken_for_an_image(shape, dtype, expected):
    values = np.random.default_rng(0).uniform(0, 200, shape).astype(dtype)
    found = measuring.images(values, [4, 2, 29])
    if expected is None:
        assert found is None
        return
    assert found.shape == expected and found.min() >= 0 and found.max() <= 1
    if dtype == np.uint8:
        channels_last = np.moveaxis(values, 1, -1) if shape[1] == 3 else values
        np.testing.assert_allclose(found[1], channels_last[2] / 255, rtol=1e-6)


def test_the_report_keeps_the_ten_images_and_no_more(full, sparse):
    report, inputs = full
    assert len(report.images) == 10 and report.images.base is None or report.images.nbytes < inputs.nbytes / 100
    places = [example.index for example in report.exposed]
    np.testing.assert_array_equal(report.images, inputs[places, 0])
    axes = [ax for ax in pictures.exposed(report).axes if ax.images]
    assert len(axes) == 10
    for ax, image, example in zip(axes, report.images, report.exposed):
        np.testing.assert_array_equal(ax.images[0].get_array(), image)
        assert ax.get_title() == f"label {example.label}\n{report.as_high(example)}"
    assert measuring.images(None, places) is None and sparse[0].images is None
    assert pictures.EXPOSED not in pictures.drawn(sparse[0])


def test_names_that_a_font_or_mathtext_cannot_show_do_not_warn_and_no_setting_of_the_reader_is_used(full):
    before = dict(matplotlib.rcParams)
    with warnings.catch_warnings(), matplotlib.rc_context({"text.usetex": True, "axes.facecolor": "black"}):
        warnings.simplefilter("error")
        found = pictures.drawn(full[0])
    assert dict(matplotlib.rcParams) == before and not plt.get_fignums()
    assert len([p for some in found.values() for p in some]) == 5
    for picture in (p for some in found.values() for p in some):
        image = Image.open(io.BytesIO(base64.b64decode(picture.uri.partition(",")[2])))
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255) and image.width == 900
    assert pictures.short("$x^{") == "$x^{" and "\N{REPLACEMENT CHARACTER}" in pictures.short("病院")
    assert len(pictures.short("x" * 99)) == pictures.MAX_NAME


# ---- the page


class Walk(HTMLParser):
    """Every tag with its attributes; every opened one is closed."""

    VOID = ("meta", "img", "br")

    def __init__(self):
        super().__init__()
        self.found, self.open, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def walked(html):
    walk = Walk()
    walk.feed(html)
    walk.close()
    assert not walk.open
    return walk


@pytest.mark.parametrize("form", ["to_html", "_repr_html_"])
def test_html_is_well_formed_harmless_and_its_pictures_are_said_in_words(full, sparse, shifted, form):
    for report, n_images in ((full[0], 5), (sparse[0], 4), (shifted, 4)):
        html = getattr(report, form)()
        walk = walked(html)
        tags = [tag for tag, _ in walk.found]
        assert not {"script", "link", "iframe", "object", "form", "a"} & set(tags) and len(html) < 1_000_000
        for _, attributes in walk.found:
            assert not [name for name in attributes if name.startswith("on")]
            for name in ("src", "href", "srcset"):
                assert attributes.get(name, "data:image/png;base64,").startswith("data:image/png;base64,")
        assert not re.search(r"url\(|@import", html)
        alts = [attributes["alt"] for tag, attributes in walk.found if tag == "img"]
        assert len(alts) == n_images and all(alts)
        said = "\n".join(alts)
        for name, r in report.attacks.items():
            assert f"{name}: AUC {shown(r.auc)}, TPR {shown(r.tpr_at_fpr[report.at_fpr], report.at_fpr)}" in alts[0]
        for control in report.controls:
            assert f"{control.name}: {shown(control.auc)}, {'passed' if control.passed else 'failed'}" in said
        assert f"{report.strongest}: " in alts[1]
        for fpr, rate in report.attacks[report.strongest].tpr_at_fpr.items():
            assert (
                f"{shown(rate.value, fpr)} at {percent(fpr)}"
                in alts[1].partition(f"{report.strongest}: ")[2].partition(";")[0]
            )
        assert not any(c for c in said if not c.isprintable() and c != "\n")


def test_the_page_stands_alone_and_the_fragment_has_no_head(full):
    page, fragment = full[0].to_html(), full[0]._repr_html_()
    assert page.startswith("<!doctype html>") and page.endswith("</html>")
    walk = walked(page)
    attributes = {tag: found for tag, found in walk.found if tag in ("html", "meta")}
    assert attributes["html"] == {"lang": "en"} and attributes["meta"]["name"] == "viewport"
    assert ("meta", {"charset": "utf-8"}) in walk.found and "@page{size:A4" in page and "@media print" in page
    assert not {"html", "head", "body", "style", "title"} & {tag for tag, _ in walked(fragment).found}
    assert fragment.startswith("<div>") and "color:" not in re.sub('base64,[^"]*', "", fragment).replace("background", "")
    scrolled = [found for tag, found in walk.found if tag == "div" and found.get("class") == "table"]
    assert len(scrolled) == sum(tag == "table" for tag, _ in walk.found)
    assert all("overflow-x:auto" in found["style"] for found in scrolled)


def test_a_malicious_name_is_text_everywhere(full):
    page = full[0].to_html()
    alert, red = NAMES[0], "[2Jred line"
    assert alert not in page and "\x1b" not in page
    walk = walked(page)
    assert alert in walk.text and red in walk.text
    assert any(f"group {alert}: " in found.get("alt", "") for tag, found in walk.found if tag == "img")


def test_nothing_heavy_is_imported_for_a_report_that_is_not_drawn(tmp_path):
    y, is_member, z = outputs(2)
    np.savez(tmp_path / "a.npz", labels=y, is_member=is_member, logits=z)
    script = (
        "import sys; from mia_helpers.audit import main; "
        f"main([{str(tmp_path / 'a.npz')!r}, '--at-fpr', '0.05', '--markdown', {str(tmp_path / 'a.md')!r}]); "
        "print({'torch', 'matplotlib', 'PIL'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


# ---- words


def test_every_attack_that_can_occur_is_explained(full, sparse):
    names = {*attacks.standard(0), *scoring.NEEDS, scoring.CROSS_FITTED, scoring.GRADIENT, "quantile regression"}
    assert names <= set(words.ATTACKS)
    for text in words.ATTACKS.values():
        assert re.search(r"\d{4}, arXiv \d{4}\.\d{5}\)\.$", text)
    for report in (full[0], sparse[0]):
        for form in (report.to_markdown(), walked(report.to_html()).text, walked(report._repr_html_()).text):
            for name in (*report.attacks, *report.not_run):
                assert words.ATTACKS[name].replace("&", "&amp;") in form or words.ATTACKS[name] in form
            assert all(text in form for text in words.TERMS.values())


def test_what_is_assumed_is_said_to_be():
    asked = examples.Examples.of(np.arange(2), np.arange(2) == 0)
    for with_bank, trained_here in ((False, False), (True, False), (True, True)):
        lines = [words.one_distribution([]), *words.assumptions(with_bank, trained_here, None, asked, Settings(), [])]
        for word in ("independent draws", "as stated", "one full answer", "trained as"):
            assert all("Assumed" in line for line in lines if word in line)


@pytest.mark.parametrize(
    ("figure", "fpr", "text"),
    [
        (0.0385, 1.0, "0.038"),
        (Estimate(0.5, 0.25, 1.0), 0.01, "0.500 [0.250, 1.000]"),
        (0.0385, 0.05, "0.038"),
        (0.00123, 0.005, "0.0012"),
        (Estimate(0.00123, 0, 0.1), 0.001, "0.0012 [0.0000, 0.1000]"),
        (1.23e-5, 1e-5, "0.000012"),
    ],
)
def test_a_figure_has_the_digits_that_its_rate_needs(figure, fpr, text):
    assert shown(figure, fpr) == text


def first(pattern, text):
    return re.search(pattern, text, re.DOTALL)[1]


@pytest.mark.parametrize("coins", [False, True])
def test_a_bound_on_epsilon_is_stated_for_coins_only(coins):
    y, is_member, z = outputs(3, 1200, leak=2)
    report = audit(y, is_member, logits=z, settings=Settings(at_fpr=0.05, coins=coins))
    figure = f"{report.epsilon:.2f}"
    assert report.epsilon > 0.1 and report.epsilon_holds == coins
    jsonschema.validate(report.to_dict(), JSON_SCHEMA)
    told = report.to_dict()["epsilon"]
    assert told["lower_bound"] == report.epsilon and told["holds_for_this_run"] == coins
    assert (f"Empirical ε ≥ {figure} (" in report.summary()) == coins
    assert ("Empirical ε: not stated." in report.summary()) != coins
    parts = (
        first(r"## Empirical ε\n(.*?)\n## ", report.to_markdown()),
        first(r"<h2>Empirical ε</h2>(.*?)<h2>", report.to_html()),
    )
    for part in parts:
        assert (figure in part) == coins and ("pass Settings(coins=True)" in part) != coins
    assert any("no bound for this model" in line for line in report.assumptions) != coins


@pytest.mark.parametrize("at_fpr", [0.05, 0.005])
def test_the_strongest_attack_has_the_same_digits_in_every_form(at_fpr, tmp_path, capsys):
    y, is_member, z = outputs(3, 4200, leak=1)
    np.savez(tmp_path / "a.npz", labels=y, is_member=is_member, logits=z)
    report = audit(y, is_member, logits=z, settings=Settings(at_fpr=at_fpr))
    tpr, area = shown(report.tpr, at_fpr), shown(report.attacks[report.strongest].auc)
    assert first(r"an AUC of (\S+ \[.*?\])", report.verdict) == area
    assert report.summary().count(tpr) >= 1 and report.summary().count(area) >= 2  # table, and verdict
    name = re.escape(report.strongest)
    markdown = first(rf"## Attacks\n.*?(\| {name} \|.*?)\n", report.to_markdown())
    html = first(rf"(<td[^>]*>{name}</td>.*?)</tr>", report.to_html())
    assert all(text in form for text in (tpr, area) for form in (markdown, html))
    value = tpr.partition(" ")[0]
    digits = 10 ** len(value.partition(".")[2])
    counts = [f"{round(float(text) * digits):,}" for text in re.findall(r"[0-9.]+", tpr)]
    assert f"it names {counts[0]} [{counts[1]}, {counts[2]}] of {digits:,} members" in report.verdict
    rate = {0.05: "5 % FPR", 0.005: "0.5 % FPR"}[at_fpr]
    assert f"TPR at {rate}" in report.summary() and f"({rate})" in report.verdict
    for limit in (0.0, 0.9):
        assert f"TPR {value} at {rate}" in report.gate(limit)
    assert report.strongest_by in report.to_markdown()
    if at_fpr >= 0.01:
        main([str(tmp_path / "a.npz"), "--at-fpr", str(at_fpr), "--fail-above-tpr", "0.9"])
        assert report.gate(0.9) in capsys.readouterr().out


def test_a_gate_never_contradicts_itself_by_rounding(full):
    report, value = full[0], full[0].tpr.value
    for limit in (value - 1e-7, value, value + 1e-7):
        text = report.gate(limit)
        assert ("SHUT" in text) == report.exceeds(limit) == (" FPR, above" in text)
        printed = float(first(r"TPR (\S+)", text))
        assert ("unrounded" in text) == ((printed > limit) != report.exceeds(limit))


# ---- advice


def test_there_is_advice_for_each_result(full, sparse, shifted):
    for report, status in ((full[0], EVIDENCE), (sparse[0], NO_EVIDENCE), (shifted, NOT_COMPARABLE)):
        assert report.status == status and 3 <= len(report.advice) <= 6
        data = json.loads(report.to_json())
        jsonschema.validate(data, JSON_SCHEMA)
        assert data["advice"] == report.advice and data["checklist"] == report.checklist
        markdown, text = report.to_markdown().replace("&amp;", "&"), walked(report.to_html()).text
        assert markdown.index("## What now") < markdown.index("## Attacks")
        for line in (*report.advice, *report.checklist):
            assert line in text and line.replace("](", "]\\(") in markdown
        assert bool(report.checklist) == (status == NO_EVIDENCE) == ("is it me" in text)
    old = json.loads(full[0].to_json())
    del old["advice"], old["checklist"]
    jsonschema.validate(old, JSON_SCHEMA)  # written before there was advice


def test_advice_has_the_figures_of_the_report(full, sparse, shifted):
    report = full[0]
    inside, outside = (report.accuracy[who].value for who in ("members", "non-members"))
    right = report.scores["gap"] == 1
    assert inside == right[report.scores["is_member"]].mean() and outside == right[~report.scores["is_member"]].mean()
    assert f"{shown(inside)} on members, {shown(outside)} on others" in " ".join(report.advice)
    assert f"{report.as_high(report.exposed[0])} non-members score as high" in report.advice[-1]
    quiet = " ".join(sparse[0].advice)
    needed = advice.n_needed(0.55, sparse[0].level)
    stated = int(first(r"needs about ([\d,]+) members", quiet).replace(",", ""))
    assert needed <= stated <= 1.1 * needed and f"up to {shown(sparse[0].highest_auc)}" in quiet
    worst = max((c for c in shifted.controls if not c.passed), key=lambda c: c.auc.value)
    assert f"“{worst.name}” (AUC {shown(worst.auc)})" in shifted.advice[1]


def test_a_slip_is_the_first_thing_to_look_for():
    y, is_member, z = outputs(4)
    report = audit(np.roll(y, 1), is_member, logits=z, settings=Settings(at_fpr=0.05))
    assert report.status == NOT_COMPARABLE and report.slips[0] in report.advice[1] and not report.checklist


def test_the_roc_counts_people_and_scores_are_of_rows():
    y, is_member, z = outputs(5, 600, leak=1.0)
    person = np.random.default_rng(0).permutation(np.repeat(np.arange(200), 3))
    is_member = (np.arange(200) < 100)[person]
    report = audit(y, is_member, logits=z, person=person, settings=Settings(at_fpr=0.1))
    frame = report.scores
    np.testing.assert_array_equal(frame["person"], person)
    assert len(frame) == 600 and report.n_rows == 600 and report.n_members == 100
    means = frame.groupby("person")["loss"].mean().to_numpy()
    shown_scores, shown_members = pictures.curves(report)["loss"]
    np.testing.assert_allclose(shown_scores, means)
    np.testing.assert_array_equal(shown_members, np.arange(200) < 100)
    assert auc(means, np.arange(200) < 100).value == pytest.approx(report.attacks["loss"].auc.value)
    assert "100 members, 100 non-members (600 rows)" in report.to_html()


@pytest.mark.parametrize("above", [0, 3])
def test_what_an_exposed_member_means_for_one_person(full, above):
    report = full[0]
    n = report.n_non_members
    text = advice.one_person(report, dataclasses.replace(report.exposed[0], non_members_at_or_above=above / n))
    assert text.startswith(f"For one person: {above} of {n:,} non-members score as high")
    assert ("fewer than 3 of 1,200 outsiders" if above == 0 else "about 0.003 of all outsiders") in text


@pytest.mark.parametrize("level", [0.95, 0.9995])
@pytest.mark.parametrize("kind", ["exponential", "normal"])
def test_so_many_examples_are_needed(level, kind):
    """The share of simulated audits whose interval lies above 0.5, against the formula."""
    rng, n = np.random.default_rng(0), advice.n_needed(0.55, level)
    assert advice.power(n, n, 0.55, level) >= 0.8 > advice.power(n - 1, n - 1, 0.55, level)
    is_member, found = np.arange(2 * n) < n, []
    for _ in range(1000):
        if kind == "exponential":  # P(member above) = 0.55 / (0.55 + 0.45)
            scores = rng.exponential(size=2 * n) * np.where(is_member, 0.55, 0.45)
        else:
            scores = rng.normal(size=2 * n) + np.where(is_member, np.sqrt(2) * 0.12566, 0)  # Φ(0.12566) = 0.55
        found.append(measuring.auc_at_level(scores, is_member, level).low > 0.5)
    assert np.mean(found) == pytest.approx(0.8, abs=0.045)  # three and a half standard errors


def test_power_is_that_of_unequal_numbers_too():
    assert advice.power(100, 10_000, 0.55, 0.95) < advice.power(1000, 1000, 0.55, 0.95)
    assert advice.power(1000, 1000, 0.5, 0.95) == pytest.approx(0.025, abs=0.001)


def test_what_a_terminal_shows_is_wrapped_and_a_figure_stays_beside_its_interval():
    rng = np.random.default_rng(0)
    is_member, labels = np.arange(400) < 200, rng.integers(0, 4, 400)
    logits = rng.normal(0, 1, (400, 4))
    logits[np.arange(400), labels] += 1 + is_member
    report = audit(labels, is_member, logits=logits, settings=Settings(at_fpr=0.05))
    lines = report.summary().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("attack "))
    table = lines[first : 1 + first + len(report.attacks)]
    assert len({line.rindex("[") for line in table[1:]}) == 1  # columns, as wide as they must be
    assert max(len(line) for line in lines if line not in table) <= page.WIDTH < 80
    for line in lines:
        assert line.count("[") == line.count("]") and not line.startswith("[")
    assert report.verdict in " ".join(report.summary().split())
    (note,) = [line for line in lines if line.startswith("(Advantage: one half")]
    assert lines.index(note) == first + len(table)
