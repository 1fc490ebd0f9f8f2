import numpy as np
import pytest
import torch

from raconteur.errors import ArtifactError
from raconteur.reason.choice import ChoiceModel, ChoiceReasoner
from raconteur.reason.load import load_reasoner
from raconteur.reason.prompts import Prompts
from raconteur.represent.mentions import mention
from raconteur.represent.tokenizer import train_tokenizer


@pytest.fixture
def reasoner():
    tokenizer = train_tokenizer([" likes drama crime"] * 20, [mention(item) for item in "12345678"], 280)
    torch.manual_seed(0)
    model = ChoiceModel(tokenizer.get_vocab_size(), num_layers=2, width=32, num_heads=2, dropout=0.0)
    torch.nn.init.normal_(model.query.weight, std=0.5)  # an untrained model leaves the second term at zero
    return ChoiceReasoner(model, Prompts(tokenizer, history_tokens=8))


def test_score_batch_mates_and_padding_do_not_change_a_row(reasoner):
    texts = ["likes drama <item:1>", "likes crime crime drama <item:2> <item:3>"]
    lists = [list("4567"), list("5678")]
    together = reasoner.score(texts, lists)
    alone = np.concatenate([reasoner.score([text], [row]) for text, row in zip(texts, lists, strict=True)])
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_score_unknown_item_is_nan_and_others_are_numbers(reasoner):
    scores = reasoner.score(["likes drama"], [["1", "99", "2"]])[0]
    assert np.isnan(scores).tolist() == [False, True, False]


def test_score_text_longer_than_the_budget_keeps_its_newest_end(reasoner):
    long = "likes drama " * 20 + "crime <item:1> <item:2> <item:3> <item:4> <item:5> <item:6> <item:7>"
    kept = "crime <item:1> <item:2> <item:3> <item:4> <item:5> <item:6> <item:7>"
    np.testing.assert_allclose(reasoner.score([long], [list("12")]), reasoner.score([kept], [list("12")]), atol=1e-5)


def test_score_empty_text_and_empty_batch_are_answered(reasoner):
    assert np.isfinite(reasoner.score([""], [list("123")])).all()
    assert reasoner.score([], []).shape[0] == 0


def test_forward_second_term_at_zero_scores_like_the_sequential_model(reasoner):
    """With the pointer at its starting point, the order of candidates cannot matter: the prior alone decides."""
    torch.nn.init.zeros_(reasoner.model.query.weight)
    first = reasoner.score(["likes <item:1>"], [list("2345")])[0]
    turned = reasoner.score(["likes <item:1>"], [list("5432")])[0]
    np.testing.assert_allclose(first, turned[::-1], atol=1e-5)


def test_save_then_load_scores_alike(reasoner, tmp_path):
    reasoner.save(tmp_path)
    lists = [list("1234")]
    np.testing.assert_array_equal(load_reasoner(tmp_path).score(["a"], lists), reasoner.score(["a"], lists))


def test_load_weights_of_another_shape_are_refused(reasoner, tmp_path):
    reasoner.save(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace('"width": 32', '"width": 64'))
    with pytest.raises(ArtifactError, match="no readable Reasoner"):
        load_reasoner(tmp_path)
