"""Whatever is written of the test users is written from what lies before their targets, and from nothing else."""

import polars as pl
import pytest

from raconteur import columns as c
from raconteur.data.dataset import load_dataset
from raconteur.reason.choice import ChoiceModel, ChoiceReasoner
from raconteur.reason.prompts import Prompts
from raconteur.represent.mentions import mention
from raconteur.represent.tokenizer import train_tokenizer
from raconteur.train import requests
from raconteur.train.ablate import texts
from raconteur.train.examples import choices
from raconteur.train.table import test_choices as choices_of_the_table


class Recorder:
    """A Verbalizer that keeps what it is handed."""

    def write(self, histories):
        self.seen = list(histories)
        return [""] * len(histories)


@pytest.fixture(scope="module")
def dataset(small):
    return load_dataset(small.workdir / "data")


def assert_past_only(dataset, histories, max_events):
    targets = pl.read_parquet(dataset.folder / "split.parquet").filter(pl.col(c.SPLIT) == "test")
    position_of = dict(targets.select(c.USER_ID, c.POSITION).iter_rows())
    assert histories
    for history in histories:
        before = (pl.col(c.USER_ID) == history.user_id) & (pl.col(c.POSITION) < position_of[history.user_id])
        expected = dataset.events.filter(before).sort(c.POSITION)[c.ITEM_ID].to_list()[-max_events:]
        assert [event.item_id for event in history.events] == expected


def test_texts_of_the_ablation_are_of_the_past(small, dataset, monkeypatch, tmp_path):
    recorder = Recorder()
    monkeypatch.setattr(texts, "load_writer", lambda *_: recorder)
    tokenizer = train_tokenizer([" 0d play"] * 9, [*map(mention, dataset.items[c.ITEM_ID])], 300)
    model = ChoiceModel(tokenizer.get_vocab_size(), num_layers=1, width=16, num_heads=2, dropout=0.0)
    ChoiceReasoner(model, Prompts(tokenizer, history_tokens=96)).save(tmp_path)
    texts.write_texts(small, dataset.folder, tmp_path, "template", None, tmp_path / "texts")
    assert_past_only(dataset, recorder.seen, small.text.max_events)


def test_texts_of_the_loops_table_are_of_the_past(small, dataset):
    assert_past_only(dataset, choices_of_the_table(small, dataset).histories, small.text.max_events)


def test_texts_of_routed_requests_are_of_the_past(small, dataset):
    recorder = Recorder()
    requests._texts(choices(dataset, "test", "popularity"), dataset, recorder, small)
    assert_past_only(dataset, recorder.seen, small.text.max_events)
