"""How a report shows things, each from values alone: numbers, the verdict's picture, text in HTML, colours."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_search import records_of, trial

from search.report import changes, evidence, page, palette, shown
from search.results.procedure import Estimate
from search.results.verdict import Candidate, Verdict, judge
from spaces.domain import Float, Int
from trainables.run import Objective

OBJECTIVE = Objective("loss", "min", 10.0, "nats")


# Numbers as people read them.


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (0.5, "0.5"), (0.0020916920, "0.002092"), (1e-5, "1e-5"), (-0.25, "−0.25"), (150000.0, "150000"),
        (123456.7, "123457"), (2.5e9, "2.5e9"), (-1e-5, "−1e-5"), (math.inf, "inf"),
    ],
)  # fmt: skip
def test_numbers_are_short_and_plain(value: float, text: str) -> None:
    assert shown.number(value) == text


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_a_rounded_number_is_within_a_tenth_of_the_spread(value: float, spread: float) -> None:
    told = float(shown.rounded(value, spread).replace(shown.MINUS, "-"))
    assert abs(told - value) <= max(0.05 * spread, 0.5e-8) or (spread >= 10 and abs(told - value) <= 0.5)


@pytest.mark.parametrize(
    ("value", "spread", "text"),
    [(0.0304, 2.4, "0.03"), (-4.2e-4, 3.0, "−4e-4"), (0.0, 3.0, "0.0"), (0.26, 2.4, "0.3"), (0.3, 1e12, "0.3")],
)
def test_what_is_not_zero_does_not_look_it(value: float, spread: float, text: str) -> None:
    assert shown.rounded(value, spread) == text


def test_times_counts_and_shares() -> None:
    assert [shown.duration(s) for s in (45, 150, 9000, 200000)] == ["45 s", "2.5 min", "2.5 h", "2.3 days"]
    assert [shown.count(n, "trial") for n in (0, 1, 12000)] == ["0 trials", "1 trial", "12,000 trials"]
    assert [shown.share(p) for p in (0, 0.031, 0.25)] == ["0%", "3.1%", "25%"]
    assert shown.moment(0.0) == "1 Jan 1970, 00:00 UTC"
    assert [shown.setting(v) for v in (True, [4, 8], "cosine", 0.00012345, None)] == [
        "true", "[4, 8]", "cosine", "1.234e-4", "null",
    ]  # fmt: skip


def test_an_interval_that_excludes_zero_never_looks_as_if_it_reached_it() -> None:
    assert shown.interval(Estimate(0.077, 0.00312, 0.151, 3)) == "0.003 to 0.151"
    assert shown.interval(Estimate(0.06416, 0.02948, 0.09884, 5)) == "0.029 to 0.099"
    assert shown.interval(Estimate(-0.02, -0.05, -0.0011, 5)) == "−0.050 to −0.001"
    assert shown.interval(Estimate(0.5, None, None, 1)) == "–"


# The verdict's picture, and what it would take to decide.


def candidate(number: int, *values: float, baseline: bool = False) -> Candidate:
    return Candidate(number, baseline, {"lr": 0.1 * number}, dict(enumerate(values)))


def test_the_picture_has_every_seed_in_place_and_the_ends_of_the_interval() -> None:
    new, old = candidate(3, 0.40, 0.44), candidate(0, 0.50, 0.60, baseline=True)
    gains = [0.10, 0.16]
    verdict = Verdict("switch", "", new, old, Estimate.of(gains), (new, old), dict(enumerate(gains)))
    axis = evidence.scores(verdict)
    assert [(row.name, row.role) for row in axis.rows] == [("New (trial 3)", "new"), ("Documented", "documented")]
    ticks = [(at, float(text)) for at, text in axis.ticks]
    (a, x), (b, y) = ticks[0], ticks[-1]
    for row, of in zip(axis.rows, (new, old), strict=True):
        expected = [a + (value - x) * (b - a) / (y - x) for value in of.by_seed.values()]
        assert list(row.seeds) == pytest.approx(expected, abs=0.01) and all(0 <= at <= 100 for at in row.seeds)
        assert row.low is not None and row.high is not None and 0 <= row.low < row.mean < row.high <= 100
    told = evidence.gain(verdict)
    assert told is not None and told.zero is not None and 0 < told.zero < 100
    assert evidence.gain(Verdict("keep", "", old, old, None, (old,))) is None


def test_one_seed_has_no_interval_and_equal_values_still_have_an_axis() -> None:
    alone = candidate(0, 0.5, baseline=True)
    (row,) = evidence.scores(Verdict("unconfirmed", "", alone, alone, None, (alone,))).rows
    assert (row.low, row.between, row.text) == (None, "", "0.50")


def test_judging_what_the_report_judges_needs_no_more_than_the_records() -> None:
    records = records_of(trial(0, 0.5, values={"lr": 1.0}, origin="baseline"), trial(1, 0.4, values={"lr": 2.0}))
    verdict = judge(records, OBJECTIVE)
    assert verdict is not None and verdict.decision == "unconfirmed"
    assert [row.role for row in evidence.scores(verdict).rows] == ["new", "documented"]


@pytest.mark.parametrize(
    ("domain", "value", "end"),
    [
        (Float(1e-4, 1e-2, log=True), 1.02e-4, "low"),
        (Float(1e-4, 1e-2, log=True), 9.9e-3, "high"),
        (Float(1e-4, 1e-2, log=True), 1e-3, None),
        (Int(1, 3), 3, "high"),
        (Float(0.0, 0.5), 0.0, None),  # nothing lies below
        (Float(0.1, 0.5), 0.7, None),  # a documented value outside touches no end
    ],
)
def test_an_end_of_the_domain_is_noticed_where_something_lies_beyond(
    domain: Float | Int, value: float, end: str | None
) -> None:
    assert changes.edge(domain, value) == end


# Safe in HTML, and to the eye.


@pytest.mark.parametrize("text", ["</script><script>alert(1)</script>", "<!--", "]]>", "a\u2028b\u2029c", '"\\ &amp;'])
def test_json_in_a_page_is_the_same_json_and_no_markup(text: str) -> None:
    import json

    told = str(page.json_in_html({text: [text]}))
    assert not set("<>&\u2028\u2029") & set(told) and json.loads(told) == {text: [text]}


def test_names_may_break_at_their_joints_and_are_escaped() -> None:
    assert str(page.broken("a.b_<c>")) == "a.<wbr>b_<wbr>&lt;c&gt;"


def luminance(colour: str) -> float:
    """Relative luminance of sRGB (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", [palette.LIGHT, palette.DARK], ids=["light", "dark"])
def test_text_and_lines_stand_out_from_the_ground(colours: palette.Palette) -> None:
    for text in (colours.text, colours.muted):
        assert contrast(text, colours.ground) >= 4.5
    for line in (colours.new, colours.documented, colours.other, colours.diverged, colours.failed, colours.confirm):
        assert contrast(line, colours.ground) >= 2.9  # 3 is what WCAG asks of graphics; Okabe and Ito's pink has 2.96
