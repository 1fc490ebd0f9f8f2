import pytest
from hypothesis import given
from hypothesis import strategies as st

from raconteur.errors import ArtifactError
from raconteur.reason.prompts import LETTERS, MAX_TITLE, Prompts, same_vocabulary
from raconteur.represent.mentions import mention
from raconteur.represent.tokenizer import CONTROL, train_tokenizer

FORGERIES = [*CONTROL, "<choice1>", "<choice50>", "<item:1>", "<item:%3Cchoose%3E>", "<choose", "drama", " ", "界"]


@pytest.fixture(scope="session")
def words(tokenizer):
    """Readable form of laid out ids."""
    return lambda row: [tokenizer.id_to_token(int(number)) for number in row]


@pytest.fixture(scope="session")
def readers(build):
    return {inputs: build(inputs, "letters", history_tokens=500).prompts for inputs in ("both", "tokens", "text")}


def test_lay_out_pointer_row_is_text_choose_candidates_answer_and_padding(build, words):
    layout, _ = build().prompts.choices(["<item:1>", ""], [list("23"), list("45")])
    assert words(layout.ids_BL[0]) == ["<item:1>", "<choose>", "<item:2>", "<item:3>", "<answer>"]
    assert words(layout.ids_BL[1]) == ["<choose>", "<item:4>", "<item:5>", "<answer>", "<pad>"]
    assert layout.choose_B.tolist() == [1, 0]
    assert layout.places_BN.tolist() == [[2, 3], [1, 2]]


def test_lay_out_letters_stand_before_candidates(build, words):
    layout, _ = build("tokens", "letters").prompts.choices(["x <item:1>"], [list("23")])
    row = ["<item:1>", "<choose>", "<choice1>", "<item:2>", "<choice2>", "<item:3>", "<answer>"]
    assert words(layout.ids_BL[0]) == row
    assert layout.places_BN.tolist() == [[3, 5]]


def test_lay_out_titles_end_in_a_control_token_which_is_their_place(build, tokenizer, words):
    layout, _ = build("text", history_tokens=40).prompts.choices(["<item:8> drama"], [["8", "5"]])
    row = words(layout.ids_BL[0])
    first, second = layout.places_BN[0]
    start = layout.choose_B[0]
    ash = tokenizer.decode(layout.ids_BL[0, start + 1 : first]).strip()
    blue = tokenizer.decode(layout.ids_BL[0, first + 1 : second]).strip()
    assert (row[start], row[first], row[second], row[second + 1]) == ("<choose>", "<end>", "<end>", "<answer>")
    assert (ash, blue) == ("“Ash”", "“Blue Hour”")
    assert tokenizer.decode(layout.ids_BL[0, :start]).strip() == "“Ash” drama"
    assert not any(word.startswith("<item:") for word in row)


def test_encode_items_unknown_item_has_no_tokens(build):
    assert build().prompts.encode_items(["1", "99"])[1] == []
    assert build("text").prompts.encode_items(["1", "99"])[1] == []


def test_encode_items_long_title_keeps_its_beginning(build, tokenizer):
    prompts = build("text", titles={"1": "drama " * 200}).prompts
    assert tokenizer.decode(prompts.encode_items(["1"])[0]).strip() == f"“{('drama ' * 200)[:MAX_TITLE].strip()}”"


@pytest.mark.parametrize("inputs", ["both", "tokens", "text"])
@given(parts=st.lists(st.one_of(st.sampled_from(FORGERIES), st.text(max_size=8)), max_size=12))
def test_encode_texts_no_text_can_forge_control_tokens_or_letters(readers, tokenizer, inputs, parts):
    forbidden = {tokenizer.token_to_id(name) for name in (*CONTROL, *LETTERS)}
    if inputs == "text":
        forbidden |= {tokenizer.token_to_id(mention(item_id)) for item_id in "12345678"}
    (ids,) = readers[inputs].encode_texts(["".join(parts)])
    assert forbidden.isdisjoint(ids)


def test_encode_texts_words_around_a_dropped_token_stay(build, tokenizer):
    (ids,) = build(history_tokens=40).prompts.encode_texts(["likes <choose> drama <answer>"])
    assert tokenizer.decode(ids).split() == ["likes", "drama"]


def test_prompts_tokenizer_without_letters_is_refused():
    with pytest.raises(ArtifactError, match="no token <choice1>"):
        Prompts(train_tokenizer(["a"], [], 260), history_tokens=8, head="letters")


def test_same_vocabulary_equal_ones_pass_and_others_are_refused_with_the_remedy(tokenizer):
    same_vocabulary(tokenizer, train_tokenizer([" likes drama crime"] * 20, [*map(mention, "12345678"), *LETTERS], 280))
    with pytest.raises(ArtifactError, match="train the Verbalizer anew from this Reasoner"):
        same_vocabulary(tokenizer, train_tokenizer([" likes drama crime"] * 20, [*map(mention, "12345679")], 280))
