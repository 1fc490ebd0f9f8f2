from hypothesis import given
from hypothesis import strategies as st

from raconteur.represent.tokenizer import encode, for_transformers, load_tokenizer


def test_encode_mentions_and_citations_are_one_token_with_their_space(tokenizer):
    assert len(encode(tokenizer, ["<item:1> <item:2> <e12>"])[0]) == 3


def test_encode_frequent_words_are_one_token(tokenizer):
    assert len(encode(tokenizer, [" likes drama crime ."])[0]) == 4


@given(text=st.text(max_size=40))
def test_encode_any_script_comes_back(tokenizer, text):
    back = for_transformers(tokenizer).decode(encode(tokenizer, [text])[0])
    assert back.removeprefix(" ") == text.removeprefix(" ")  # a text starts with a space, like any other word


def test_load_tokenizer_saved_one_encodes_alike(tokenizer, tmp_path):
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    again = load_tokenizer(tmp_path)
    assert encode(again, ["2d play <item:3> 😀"]) == encode(tokenizer, ["2d play <item:3> 😀"])
