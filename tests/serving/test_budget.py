"""The cost budget of the Reasoner: worked out by hand, and as a bound on any run of calls."""

from hypothesis import given
from hypothesis import strategies as st

from serving.path.budget import Budget


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


def test_budget_none_is_never_spent():
    budget = Budget(None)
    for _ in range(1000):
        budget.spend()
    assert budget.left is None


def test_budget_six_a_minute_gains_one_in_ten_seconds_and_saves_six():
    clock = Clock()
    budget = Budget(6, clock=clock)
    assert budget.left == 6
    for _ in range(6):
        budget.spend()
    assert budget.left == 0
    clock.now_s += 5
    assert budget.left == 0.5
    clock.now_s += 10
    assert budget.left == 1.5
    budget.spend()
    assert budget.left == 0.5
    clock.now_s += 3600
    assert budget.left == 6


def test_budget_below_one_a_minute_saves_up_a_whole_call():
    clock = Clock()
    budget = Budget(0.5, clock=clock)
    budget.spend()
    clock.now_s += 60
    assert budget.left == 0.5
    clock.now_s += 600
    assert budget.left == 1.0


def test_budget_debt_is_bounded_by_a_minutes_worth():
    clock = Clock()
    budget = Budget(6, clock=clock)
    for _ in range(600):
        budget.spend()
    assert budget.left == -6
    clock.now_s += 70
    assert budget.left == 1


def test_budget_call_that_was_not_made_is_given_back():
    budget = Budget(6, clock=Clock())
    budget.spend()
    budget.give_back()
    assert budget.left == 6


@given(per_minute=st.floats(0.1, 100), waits=st.lists(st.floats(0, 30), min_size=1, max_size=50))
def test_budget_spent_where_it_pays_for_a_call_keeps_to_the_rate(per_minute, waits):
    clock = Clock()
    budget, spent, began = Budget(per_minute, clock=clock), 0, clock.now_s
    for wait in waits:
        clock.now_s += wait
        while budget.left >= 1:
            budget.spend()
            spent += 1
        assert spent <= max(1.0, per_minute) + (clock.now_s - began) / 60 * per_minute + 1e-6
