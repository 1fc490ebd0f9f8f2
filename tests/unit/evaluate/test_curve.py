import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raconteur.errors import DataError
from raconteur.evaluate.curve import SHARES_G, asked_shares, draw_curve, interval_of
from raconteur.evaluate.curve_page import markdown, write_page
from raconteur.evaluate.curve_plot import HEIGHT, LEFT, TOP, WIDTH, plot
from raconteur.evaluate.routing import Cost, Requests

SECOND = 1 / math.log2(3)
XML = "{http://www.w3.org/2000/svg}"
RIGHT, WRONG = [2.0, 1.0], [1.0, 2.0]


def requests_of(student, reasoner, *, users=None, middle=None):
    size = len(student)
    return Requests(
        request_ids_B=np.array([f"r{number}" for number in range(size)], dtype=object),
        user_ids_B=np.array(users or [f"u{number}" for number in range(size)], dtype=object),
        splits_B=np.array(["test"] * size, dtype=object),
        lists_B=np.array(["served"] * size, dtype=object),
        truth_B=np.zeros(size, dtype=np.int64),
        num_candidates_B=np.full(size, 2),
        num_events_B=np.ones(size, dtype=np.int64),
        num_cold_B=np.zeros(size, dtype=np.int64),
        student_BN=np.array(student),
        reasoner_BN=np.array(reasoner),
        middle_BN=np.array(middle) if middle else None,
        costs={"student": Cost(1.0, 10), "reasoner": Cost(10.0, 100), "middle": Cost(4.0, 40)},
        versions={"student": "s1", "reasoner": "r1"},
    )


# Of four requests the student is wrong on two, the Reasoner on none.
FOUR = requests_of([RIGHT, RIGHT, WRONG, WRONG], [RIGHT] * 4)


def curve_of(requests=FOUR, priorities=None, **options):
    return draw_curve(requests, priorities or {}, **{"tolerance": 0.005, "num_resamples": 200, **options})


def test_asked_shares_highest_priority_first_and_ties_in_equal_parts():
    asked = asked_shares(np.array([5.0, 1.0, 3.0, 3.0]), np.array([0.0, 0.25, 0.5, 0.75, 1.0]))
    assert asked.T.tolist() == [[0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0.5, 0.5], [1, 0, 1, 1], [1, 1, 1, 1]]


@given(st.lists(st.floats(allow_nan=False) | st.sampled_from([0.0, 1.0]), min_size=1, max_size=30))
def test_asked_shares_any_priority_asks_exactly_the_share(priorities):
    asked_BG = asked_shares(np.array(priorities))
    assert asked_BG.mean(axis=0) == pytest.approx(SHARES_G)
    assert (np.diff(asked_BG, axis=1) >= -1e-12).all()


def test_asked_shares_nan_is_refused():
    with pytest.raises(DataError, match="NaN"):
        asked_shares(np.array([1.0, float("nan")]))


def test_curve_oracle_needs_the_two_requests_that_the_student_gets_wrong():
    oracle = curve_of().line("oracle")
    # PGR rises from 0 at share 0 to 1 at share .5: the area is .25 + .5
    assert oracle.apgr.value == pytest.approx(0.75)
    assert [oracle.cpt[percent].value for percent in (50, 80, 95)] == pytest.approx([0.25, 0.40, 0.48])
    assert oracle.ndcg_G[[0, 50, 100]] == pytest.approx([(2 + 2 * SECOND) / 4, 1.0, 1.0])
    assert oracle.recall_G[[0, 50, 100]] == pytest.approx([0.5, 1.0, 1.0])
    assert oracle.ms_G[[0, 50, 100]] == pytest.approx([1.0, 6.0, 11.0])  # the student is always run


def test_curve_random_routing_is_a_straight_line_that_runs_one_model_a_request():
    line = curve_of().line("random")
    assert line.apgr.value == pytest.approx(0.5)
    assert line.cpt[80].value == pytest.approx(0.8)
    assert line.ms_G[[0, 50, 100]] == pytest.approx([1.0, 5.5, 10.0])


def test_curve_worst_order_is_under_random():
    worst = curve_of(priorities={"worst": np.array([1.0, 1.0, 0.0, 0.0])}).line("worst")
    assert worst.apgr.value == pytest.approx(0.25)
    assert worst.cpt[50].value == pytest.approx(0.75)


def test_curve_saving_is_what_the_first_equal_share_costs_less():
    many = requests_of([RIGHT] * 300 + [WRONG] * 100, [RIGHT] * 400)
    # Quality is equal once all 100 wrong ones ask, a fourth: 1 + 2.5 ms instead of 10.
    exact = curve_of(many, tolerance=0.0).line("oracle")
    assert exact.saving.value == exact.strict_saving.value == pytest.approx(0.65)
    # At share .24 four of them do not: a loss of .0037, which .005 forgives.
    tolerant = curve_of(many, tolerance=0.005).line("oracle").strict_saving
    assert tolerant.value == pytest.approx(0.66)
    assert tolerant.low <= tolerant.value <= tolerant.high
    assert curve_of(many).line("random").strict_saving.value < 0.1


def test_curve_reasoner_without_gain_has_no_apgr_and_saves_all():
    line = curve_of(requests_of([RIGHT] * 30, [RIGHT] * 30)).line("random")
    assert (line.apgr, line.cpt) == (None, None)
    assert line.saving.value == pytest.approx(0.9)


def test_curve_points_are_the_models_alone_and_the_chosen_thresholds():
    requests = requests_of([RIGHT, RIGHT, WRONG, WRONG], [RIGHT] * 4, middle=[RIGHT, RIGHT, RIGHT, WRONG])
    curve = curve_of(requests, chosen={"half": np.array([False, False, True, True])})
    points = {point.name: point for point in curve.points}
    assert [(name, point.ms, point.tokens, point.share) for name, point in points.items()] == [
        ("student", 1.0, 10, 0.0),
        ("reasoner", 10.0, 100, 1.0),
        ("middle", 4.0, 40, 0.0),
        ("half", 6.0, 60.0, 0.5),
    ]
    assert points["middle"].ndcg.value == pytest.approx((3 + SECOND) / 4)
    assert points["half"].recall.value == 1.0
    assert points["reasoner"].difference.value == points["half"].difference.value == 0.0
    assert points["student"].difference.value == pytest.approx((SECOND - 1) / 2)


def test_curve_intervals_draw_users_with_all_their_requests():
    # one user has all the wrong requests: a resample has them all or none, so the interval is as wide as can be
    together = curve_of(requests_of([RIGHT] * 4 + [WRONG] * 4, [RIGHT] * 8, users=["a"] * 4 + ["b"] * 4))
    student = next(point for point in together.points if point.name == "student")
    assert (student.recall.low, student.recall.high) == (0.0, 1.0)
    assert together.num_users == 2


def test_curve_same_seed_is_the_same_and_the_estimate_lies_within():
    rng = np.random.default_rng(0)
    requests = requests_of(rng.normal(size=(200, 2)), rng.normal(size=(200, 2)) + np.array([1.0, 0.0]))
    one, other = curve_of(requests, {"x": rng.random(200)}), curve_of(requests, {"x": np.zeros(200)})
    assert one.line("random").apgr == other.line("random").apgr
    line = one.line("x")
    assert line.apgr.low <= line.apgr.value <= line.apgr.high
    difference_G = line.ndcg_G - line.ndcg_G[-1]
    assert (line.low_G <= difference_G + 1e-12).all()
    assert (line.high_G >= difference_G - 1e-12).all()


def test_curve_over_no_request_is_refused():
    with pytest.raises(DataError, match="0 requests"):
        curve_of(FOUR.take(np.zeros(4, dtype=bool)))


def test_interval_resamples_without_a_value_count_against_both_ends():
    known = np.arange(100.0)
    assert interval_of(50.0, known).high == 97.0
    unknown = np.where(known < 5, np.nan, known)
    assert (interval_of(50.0, unknown).low, interval_of(50.0, unknown).high) == (-math.inf, math.inf)


def test_page_shows_every_way_and_needs_nothing_from_outside(tmp_path):
    curve = curve_of(priorities={"router": np.arange(4.0), "<b>": np.zeros(4)})
    write_page(curve, tmp_path, title="Routing", figures={"ece_after": 0.0123})
    page, html = (tmp_path / "curve.md").read_text(), (tmp_path / "curve.html").read_text()
    assert page.startswith("# Routing\n")
    assert "4 requests of 4 users" in page
    assert re.search(r"^\| oracle \| 0\.750 \|", page, re.MULTILINE)
    assert re.search(r"^\| reasoner \| 100% \| 10 \| 100 \| 1\.0000 \|", page, re.MULTILINE)
    assert "- ece_after: 0.0123" in page
    assert not re.search(r"<script[^>]*\ssrc=", html)
    assert "<b>" not in html.split("Plotly.newPlot")[-1]


def test_page_without_gain_leaves_its_figures_out():
    page = markdown(curve_of(requests_of([RIGHT] * 30, [RIGHT] * 30)), title="x", figures={})
    assert "| random | – | – |" in page


def image_of(curve, title="t"):
    return ElementTree.fromstring(plot(curve, title=title))


def test_plot_ends_of_a_line_are_never_and_always_asking():
    curve = curve_of(priorities={"margin": np.array([0.0, 0.0, 1.0, 1.0])})
    names = [line.name for line in curve.lines]
    paths = [one.attrib["points"].split() for one in image_of(curve).iter(f"{XML}polyline")]
    x, y = zip(*(map(float, point.split(",")) for point in paths[names.index("margin")]), strict=True)
    # never: the student's cost of 1; always: both, 11, which is the most that is drawn
    assert (x[0], x[-1]) == (round(LEFT + WIDTH / 11, 1), LEFT + WIDTH)
    assert y[-1] == TOP  # the Reasoner is right on all
    assert min(y) == TOP
    assert max(y) <= TOP + HEIGHT


def test_plot_every_way_and_point_is_named_once():
    curve = curve_of(priorities={"margin": np.array([0.0, 0.0, 1.0, 1.0])})
    said = [one.text for one in image_of(curve).iter(f"{XML}text")]
    assert all(said.count(line.name) == 1 for line in curve.lines)
    assert all(any(words.endswith(f"  {point.name}") for words in said) for point in curve.points)


def test_plot_title_cannot_become_markup_and_equal_models_are_image_of():
    same = requests_of([RIGHT, WRONG], [RIGHT, WRONG])
    assert image_of(curve_of(same), title="<script>").find(f"{XML}text").text == "<script>"


def test_plot_is_the_same_for_the_same_curve():
    assert plot(curve_of(FOUR), title="t") == plot(curve_of(FOUR), title="t")
