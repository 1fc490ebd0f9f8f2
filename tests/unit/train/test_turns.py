import itertools
import time

import torch

from raconteur.train.turns import costs_in_turns


def _busy(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_costs_in_turns_everyone_answers_every_request_and_the_dearer_costs_more():
    asked = {"small": [], "large": []}

    def small(part):
        asked["small"].append(part)

    def large(part):
        asked["large"].append(part)
        _busy(0.002)

    costs = costs_in_turns({"small": small, "large": large}, 5)
    assert asked["small"] == asked["large"] == [slice(row, row + 1) for row in range(5)]
    assert costs["large"].ms >= 2.0 > costs["small"].ms
    assert costs["large"].p99_ms >= costs["large"].ms


def test_costs_in_turns_a_turn_is_ten_requests_of_one_model():
    asked = []
    costs_in_turns({name: lambda _, name=name: asked.append(name) for name in ("a", "b")}, 25)
    turns = [(name, len(list(same))) for name, same in itertools.groupby(asked)]
    assert sum(length for _, length in turns) == 50
    # Two turns of one model may follow on each other, where it ends one round and begins the next.
    assert all(length in (5, 10, 15, 20) for _, length in turns)


def test_costs_in_turns_one_thread_while_it_measures():
    before, seen = torch.get_num_threads(), []
    costs_in_turns({"one": lambda _: seen.append(torch.get_num_threads())}, 2)
    assert seen == [1, 1]
    assert torch.get_num_threads() == before
