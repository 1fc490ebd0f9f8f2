import inspect
import json

import pytest
import torch
from transformers import Qwen3ForCausalLM

from raconteur.config.schema import TextConfig
from raconteur.errors import ArtifactError
from raconteur.represent.load import load_verbalizer
from raconteur.represent.mentions import mentioned
from raconteur.represent.rewrite import RewriteVerbalizer
from raconteur.represent.tokenizer import for_transformers
from raconteur.retrieve.sequential import body_config
from raconteur.types import History, Verbalizer


@pytest.fixture
def writer(tokenizer, facts):
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(body_config(tokenizer.get_vocab_size(), 1, 16, 2))
    return RewriteVerbalizer(model, for_transformers(tokenizer), facts, TextConfig(max_events=4), max_new_tokens=12)


def test_write_untrained_model_still_names_only_items_that_it_was_shown(writer, evening):
    texts = writer.write([evening, History("new", ())])
    assert texts[1] == ""
    assert set(mentioned(texts[0])) <= {event.item_id for event in evening.events[-4:]}


def test_write_batch_and_order_do_not_change_a_text(writer, evening):
    short = History("bob", evening.events[:2])
    assert writer.write([evening, short]) == writer.write([short, evening])[::-1]


def test_save_then_load_writes_the_same(writer, evening, tmp_path):
    writer.save(tmp_path)
    assert load_verbalizer(tmp_path).write([evening]) == writer.write([evening])


def test_load_damaged_weights_are_refused(writer, tmp_path):
    writer.save(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ArtifactError, match="holds no readable Verbalizer"):
        load_verbalizer(tmp_path)


@pytest.mark.parametrize("change", [{"text": None}, {"text": {"max_events": 1000}}, {"data": []}])
def test_load_description_that_cannot_be_is_refused(writer, tmp_path, change):
    writer.save(tmp_path)
    about = json.loads((tmp_path / "verbalizer.json").read_text())
    (tmp_path / "verbalizer.json").write_text(json.dumps({**about, **change}))
    with pytest.raises(ArtifactError, match="holds no readable Verbalizer"):
        load_verbalizer(tmp_path)


def test_load_folder_without_a_model_says_so(tmp_path):
    with pytest.raises(ArtifactError, match="no readable Verbalizer"):
        load_verbalizer(tmp_path)


def test_verbalizer_contract_never_takes_candidates():
    assert list(inspect.signature(Verbalizer.write).parameters) == ["self", "histories"]
    assert list(inspect.signature(RewriteVerbalizer.write).parameters) == ["self", "histories"]
