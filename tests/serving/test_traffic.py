"""The answers of the last minutes: a window on a clock that the test moves."""

import pytest
from waiting import Clock

from serving.records.traffic import MAX_ANSWERS, WINDOW_S, TrafficWindow


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def window(clock):
    return TrafficWindow(clock=clock)


def test_summary_no_answers_has_no_percentiles(window):
    summary = window.summary()
    assert (summary.num_answers, summary.routes, summary.p50_ms, summary.p99_ms) == (0, {}, None, None)


def test_summary_counts_routes_degraded_and_percentiles(window):
    for latency_ms in (10.0, 20.0, 30.0):
        window.count("student", degraded=False, latency_ms=latency_ms)
    window.count("retriever", degraded=True, latency_ms=110.0)
    summary = window.summary()
    assert summary.routes == {"student": 3, "retriever": 1}
    assert (summary.num_answers, summary.num_degraded) == (4, 1)
    assert summary.p50_ms == pytest.approx(25.0)  # between the second and the third
    assert summary.p99_ms == pytest.approx(30.0 + 0.97 * 80.0)  # place 0.99 * 3 = 2.97 of 0..3


def test_summary_forgets_what_is_older_than_the_window(window, clock):
    window.count("cold", degraded=True, latency_ms=1.0)
    clock.now_s += WINDOW_S / 2
    window.count("student", degraded=False, latency_ms=2.0)
    clock.now_s += WINDOW_S / 2 + 1.0
    assert window.summary().routes == {"student": 1}


def test_summary_many_answers_keeps_the_newest(window):
    window.count("cold", degraded=True, latency_ms=1.0)
    for _ in range(MAX_ANSWERS):
        window.count("student", degraded=False, latency_ms=2.0)
    assert window.summary().routes == {"student": MAX_ANSWERS}
