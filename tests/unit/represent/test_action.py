import inspect
from datetime import UTC, datetime, timedelta

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import Qwen3ForCausalLM

from raconteur.config.schema import TextConfig
from raconteur.errors import ArtifactError
from raconteur.represent.action import ACTIONS, PRIOR, ActionVerbalizer
from raconteur.represent.citations import CATEGORY, DROP, KEEP, RAW, VOCABULARY, resolve
from raconteur.represent.mentions import mention, mentioned
from raconteur.represent.tokenizer import encode, for_transformers, train_tokenizer
from raconteur.retrieve.sequential import body_config
from raconteur.types import Event, History

NOON = datetime(2025, 3, 14, 12, tzinfo=UTC)


def actions(*names):
    return [ACTIONS.index(name) for name in names]


def limited(writer, max_new_tokens, max_events=5):
    text = TextConfig(max_events=max_events)
    return ActionVerbalizer(writer.model, writer.tokenizer, writer.facts, text, max_new_tokens=max_new_tokens)


def model_of(tokenizer):
    torch.manual_seed(0)
    return Qwen3ForCausalLM(body_config(tokenizer.get_vocab_size(), 1, 16, 2))


@pytest.fixture(scope="module")
def writer(tokenizer, facts):
    tokens = for_transformers(tokenizer)
    return ActionVerbalizer(model_of(tokenizer), tokens, facts, TextConfig(max_events=5), max_new_tokens=40)


def test_actions_prior_is_a_distribution_over_them():
    assert len(ACTIONS) == len(PRIOR) == 4
    assert sum(PRIOR) == pytest.approx(1.0)


def test_execute_each_action_by_hand(writer, evening):
    # oldest first: plays of 1 and 2, an impression of 3 between them, a play of 4 cut short, 1 again
    decided = actions(KEEP, DROP, CATEGORY, RAW, DROP)
    assert writer.execute([evening], [decided]) == ["<item:1> <item:2> drama <item:4> play 0.4"]


def test_execute_nothing_kept_is_an_empty_text(writer, evening):
    assert writer.execute([evening], [actions(*[DROP] * 5)]) == [""]


def test_execute_actions_beyond_the_log_are_ignored(writer, evening):
    short = History("bob", evening.events[:1])
    assert writer.execute([short], [actions(KEEP, KEEP, RAW)]) == ["<item:1>"]


def test_execute_only_events_shown_are_written(writer, evening):
    two = limited(writer, 40, max_events=2)
    assert two.execute([evening], [actions(RAW, RAW)]) == ["<item:4> play 0.4 <item:1> play 44"]


@given(st.lists(st.sampled_from(ACTIONS), min_size=5, max_size=5), st.integers(min_value=0, max_value=30))
def test_execute_budget_keeps_whole_events_the_newest(writer, names, budget):
    items = ["1", "3", "2", "4", "1"]
    played = tuple(Event(item, NOON + timedelta(hours=hour), "play", 43.0) for hour, item in enumerate(items))
    full, cut = (
        limited(writer, limit).execute([History("ann", played)], [actions(*names)])[0] for limit in (1000, budget)
    )
    kept = [item for item, name in zip(items, names, strict=True) if name != DROP]
    assert mentioned(full) == kept
    assert full.endswith(cut)
    assert len(encode(writer.tokenizer.backend_tokenizer, [cut])[0]) <= budget


def test_resolve_decisions_state_nothing(evening, facts):
    assert resolve("<e1> <keep> <e3> <drop> crime", evening.events, facts) == "<item:1> <item:2> crime"


def test_policy_without_preference_is_the_prior_at_every_event(tokenizer, facts, evening):
    writer = ActionVerbalizer(
        model_of(tokenizer), for_transformers(tokenizer), facts, TextConfig(max_events=5), max_new_tokens=40
    )
    with torch.no_grad():
        writer.model.model.embed_tokens.weight[writer.actions_A] = 0.0
        logits_PEA, real_PE = writer.policy([evening, History("bob", evening.events[:2])])
    assert real_PE.tolist() == [[True] * 5, [True, True, False, False, False]]
    torch.testing.assert_close(logits_PEA.softmax(2)[real_PE], torch.tensor([PRIOR] * 7))


def test_policy_of_an_event_is_read_at_its_number_and_stands_in_the_column_of_its_row(writer, evening):
    tokenizer = writer.tokenizer.backend_tokenizer
    ids = encode(tokenizer, [writer.prompt(evening)])[0]
    place = ids.index(tokenizer.token_to_id("<e2>"))  # the second newest event: row 3 of 5
    with torch.no_grad():
        states_LW = writer.model.model(torch.tensor([ids]), use_cache=False).last_hidden_state[0]
        own_A = writer.model.lm_head(states_LW[place])[writer.actions_A]
        logits_PEA, _ = writer.policy([evening])
    torch.testing.assert_close(logits_PEA[0, 3] - torch.tensor(PRIOR).log(), own_A)


def test_policy_padding_does_not_change_it(writer, evening):
    short = History("bob", evening.events[:2])
    with torch.no_grad():
        together, _ = writer.policy([evening, short])
        alone, _ = writer.policy([short])
    torch.testing.assert_close(together[1, :2], alone[0])


def test_write_takes_the_most_probable_action_of_each_event(writer, evening):
    with torch.no_grad():
        best = writer.policy([evening])[0].argmax(2).tolist()
    assert writer.write([evening]) == writer.execute([evening], best)


def test_write_no_history_and_no_event_give_no_text(writer):
    assert writer.write([]) == []
    assert writer.write([History("new", ())]) == [""]


def test_write_untrained_model_names_only_items_that_it_was_shown(writer, evening):
    texts = writer.write([evening, History("new", ())])
    assert texts[1] == ""
    assert set(mentioned(texts[0])) <= {event.item_id for event in evening.events}


def test_write_batch_and_order_do_not_change_a_text(writer, evening):
    short, empty = History("bob", evening.events[:2]), History("new", ())
    assert writer.write([evening, empty, short]) == writer.write([short, empty, evening])[::-1]


def test_save_then_load_writes_the_same(writer, evening, tmp_path):
    writer.save(tmp_path)
    loaded = ActionVerbalizer.load(tmp_path)
    assert loaded.write([evening]) == writer.write([evening])
    assert loaded.prompt(evening) == writer.prompt(evening)


def test_load_folder_without_a_model_says_so(tmp_path, tokenizer):
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ArtifactError, match="no readable Verbalizer"):
        ActionVerbalizer.load(tmp_path)


def test_tokenizer_without_the_actions_is_refused(facts):
    old = train_tokenizer([" 2d play 43 tv"], [*map(mention, "1234"), *VOCABULARY[:-2]], 300)
    with pytest.raises(ArtifactError, match="<drop>"):
        ActionVerbalizer(model_of(old), for_transformers(old), facts, TextConfig(), max_new_tokens=40)


def test_verbalizer_contract_never_takes_candidates():
    assert list(inspect.signature(ActionVerbalizer.write).parameters) == ["self", "histories"]
