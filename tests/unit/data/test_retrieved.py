from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from raconteur.data.retrieved import BLOCK_CELLS, NUM_FIRST, draw_retrieved


@dataclass
class Ranked:
    """The first item of the catalogue is the best for everyone."""

    item_ids: tuple[str, ...]
    name: str = "ranked"

    def score(self, histories: list[list[str]]) -> np.ndarray:
        return np.tile(-np.arange(len(self.item_ids), dtype=np.float32), (len(histories), 1))


def ranked(num_items: int) -> Ranked:
    return Ranked(tuple(map(str, range(num_items))))


def places(*rows: list[int]) -> list[np.ndarray]:
    return [np.array(row, dtype=np.int64) for row in rows]


def draw(
    num_items: int, touched: list[np.ndarray], truths: list[int], num: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    truths_B = np.array(truths, dtype=np.int64)
    return draw_retrieved(ranked(num_items), [[]] * len(touched), touched, truths_B, num, np.random.default_rng(seed))


def test_draw_retrieved_takes_the_first_fifty_untouched_evenly() -> None:
    drawn, has_list = draw(80, places([0, 60]) * 3000, [0] * 3000, 9)
    assert has_list.all()
    items, counts = np.unique(drawn, return_counts=True)
    assert items.tolist() == list(range(1, NUM_FIRST + 1))  # item 0 is touched, so place 50 moves up
    # 3000 x 9 / 50 = 540 draws an item, standard deviation 21.
    assert abs(counts - 540).max() < 5 * 21


def test_draw_retrieved_truth_beyond_the_first_fifty_has_no_list() -> None:
    touched = places([49], [50], [0, 3, 51], [0, 51], [99])
    # Untouched items before the truth: 0-48 are 49; 0-49 are 50; 1, 2, 4-50 are 49; 1-50 are 50; 0-98 are 99.
    _, has_list = draw(100, touched, [49, 50, 51, 51, 99], 9)
    assert has_list.tolist() == [True, False, True, False, False]


def test_draw_retrieved_truth_that_the_catalogue_lacks_has_no_list() -> None:
    assert draw(100, places([0], [0]), [-1, 0], 9)[1].tolist() == [False, True]


def test_draw_retrieved_rows_of_a_second_block_keep_their_own_truth() -> None:
    num_items = BLOCK_CELLS // 10  # ten rows a block
    truths = [0, 50, 0, 0, 0, 0, 0, 0, 0, 0, 50, 0]
    _, has_list = draw(num_items, places(*([truth] for truth in truths)), truths, 9)
    assert has_list.tolist() == [truth == 0 for truth in truths]


def test_draw_retrieved_few_untouched_are_all_drawn() -> None:
    drawn, has_list = draw(5, places([1, 3], [0]), [3, 0], 3)
    assert sorted(drawn[0].tolist()) == [0, 2, 4]
    assert set(drawn[1].tolist()) < {1, 2, 3, 4}
    assert has_list.tolist() == [True, True]


def test_draw_retrieved_user_who_touched_too_much_has_no_list() -> None:
    assert draw(5, places([0, 1, 2], [0, 1]), [0, 0], 3)[1].tolist() == [False, True]
    assert draw(2, places([0]), [0], 3)[1].tolist() == [False]


def test_draw_retrieved_more_negatives_than_the_first_fifty_reach_further() -> None:
    drawn, has_list = draw(100, places([0], [55]), [0, 55], 60)
    assert sorted(drawn[0].tolist()) == list(range(1, 61))
    assert has_list.tolist() == [True, False]  # the truth must be among the first fifty all the same


@settings(max_examples=40)
@given(
    st.lists(
        st.sets(st.integers(0, 69), min_size=1, max_size=60).flatmap(
            lambda seen: st.tuples(st.just(seen), st.sampled_from(sorted(seen)))
        ),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 3),
)
def test_draw_retrieved_draws_distinct_untouched_items_and_the_same_by_seed(users: list, seed: int) -> None:
    rows, truths = places(*(sorted(seen) for seen, _ in users)), [truth for _, truth in users]
    drawn, has_list = draw(70, rows, truths, 9, seed)
    for row, is_listed, (seen, truth) in zip(drawn, has_list, users, strict=True):
        untouched = [place for place in range(70) if place not in seen]
        assert is_listed == (sum(place < truth for place in untouched) < NUM_FIRST)
        assert len(set(row.tolist())) == 9
        assert set(row.tolist()) <= set(untouched[:NUM_FIRST])
    assert np.array_equal(drawn, draw(70, rows, truths, 9, seed)[0])
