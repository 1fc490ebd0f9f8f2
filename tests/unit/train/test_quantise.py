"""The export keeps the answer: torch, ONNX FP32 and ONNX INT8 on the same prompts, at shapes that were not traced."""

import numpy as np
import pytest
import torch

from raconteur.reason.choice import ChoiceModel, ChoiceReasoner
from raconteur.reason.onnx import MODEL, OnnxReasoner
from raconteur.reason.prompts import Prompts
from raconteur.represent.mentions import mention
from raconteur.represent.tokenizer import train_tokenizer
from raconteur.train.quantise import export, to_int8

ITEMS = [str(number) for number in range(40)]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("student")
    tokenizer = train_tokenizer([" likes drama crime"] * 20, [mention(item) for item in ITEMS], 280)
    torch.manual_seed(0)
    model = ChoiceModel(tokenizer.get_vocab_size(), num_layers=1, width=32, num_heads=2, dropout=0.0)
    torch.nn.init.normal_(model.query.weight, std=0.3)
    source = ChoiceReasoner(model, Prompts(tokenizer, history_tokens=24))
    source.save(folder)
    export(model, folder / "fp32.onnx")
    to_int8(folder / "fp32.onnx", folder / MODEL)
    return source, folder


@pytest.mark.parametrize("num_texts", [1, 7])
@pytest.mark.parametrize("num_candidates", [2, 10, 20])
def test_onnx_any_shape_scores_like_torch(exported, num_texts, num_candidates):
    source, folder = exported
    rng = np.random.default_rng(num_texts)
    texts = [
        " ".join(f"likes <item:{item}>" for item in rng.choice(ITEMS, rng.integers(1, 9))) for _ in range(num_texts)
    ]
    lists = [list(rng.choice(ITEMS, num_candidates, replace=False)) for _ in texts]
    expected, got = source.score(texts, lists), OnnxReasoner.load(folder).score(texts, lists)
    assert np.abs(expected - got).max() < 0.15 * expected.std() + 0.05


def test_onnx_unknown_item_is_nan(exported):
    _, folder = exported
    assert np.isnan(OnnxReasoner.load(folder).score(["likes"], [["1", "99"]])).tolist() == [[False, True]]
