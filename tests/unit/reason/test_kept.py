"""Encodings that are kept are those that would be made, and each text is made once as long as it is kept."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from raconteur.reason.kept import KeptEncodings
from raconteur.reason.prompts import Prompts


class Letters:
    """Encodes a text as the numbers of its letters, and keeps what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, texts):
        self.asked.append(list(texts))
        return [[ord(letter) for letter in text] for text in texts]


def kept(max_texts=2):
    counts, encode = Counter(), Letters()
    keeping = KeptEncodings(max_texts=max_texts, count=lambda outcome: counts.update([outcome]))
    return counts, encode, lambda *texts: keeping.get(texts, encode)


def test_text_that_comes_again_is_not_encoded_again():
    counts, encode, get = kept()
    assert get("ab", "c", "ab") == [[97, 98], [99], [97, 98]]
    assert get("c", "d") == [[99], [100]]
    assert encode.asked == [["ab", "c"], ["d"]]  # each once, and those of a call together
    assert counts == {"miss": 3, "hit": 1, "evicted": 1}


def test_least_recently_read_text_makes_room():
    counts, encode, get = kept()
    for text in ("a", "b", "a", "c", "a", "b"):
        get(text)
    assert encode.asked == [["a"], ["b"], ["c"], ["b"]]
    assert counts == {"miss": 4, "hit": 2, "evicted": 2}


def test_call_of_more_texts_than_are_kept_is_answered_whole():
    _, _, get = kept(max_texts=1)
    assert get("a", "b", "c") == get("a", "b", "c") == [[97], [98], [99]]


def test_empty_text_is_kept_like_any_other():
    counts, _, get = kept()
    assert get("") == get("") == [[]]
    assert counts == {"miss": 1, "hit": 1}


def test_answer_that_its_reader_changes_leaves_what_is_kept_alone():
    _, _, get = kept()
    get("ab")[0].append(0)
    get("ab")[0].append(0)
    assert get("ab") == [[97, 98]]


def test_threads_that_push_each_others_texts_out_get_their_own_answers():
    _, _, get = kept(max_texts=2)
    texts = [chr(97 + number % 5) for number in range(4000)]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(get, texts)) == [[[ord(text)]] for text in texts]


@given(calls=st.lists(st.lists(st.text("ab界", max_size=3), max_size=4), max_size=12), max_texts=st.integers(1, 4))
def test_any_calls_are_answered_as_without_keeping(calls, max_texts):
    _, _, get = kept(max_texts)
    assert [get(*texts) for texts in calls] == [Letters()(texts) for texts in calls]


@given(texts=st.lists(st.sampled_from(["drama <item:1>", "x " * 90, "", "<choose> <item:2>", "界 \u202e"]), max_size=9))
def test_prompts_that_keep_texts_lay_out_the_same_bytes(texts, build):
    fresh = build().prompts
    keeping = Prompts(fresh.tokenizer, history_tokens=fresh.history_tokens)
    keeping.keep_texts(3, lambda _: None)
    candidates = [["2", "3"]] * len(texts)
    for _ in range(2):
        kept_layout, kept_unknown_BN = keeping.choices(texts, candidates)
        layout, unknown_BN = fresh.choices(texts, candidates)
        assert kept_layout.ids_BL.tobytes() == layout.ids_BL.tobytes()
        assert kept_layout.choose_B.tobytes() == layout.choose_B.tobytes()
        assert kept_unknown_BN.tobytes() == unknown_BN.tobytes()
