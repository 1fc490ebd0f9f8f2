"""The graph that is exported gives the model's scores, whatever the arm, length or number of candidates."""

import numpy as np
import pytest
import torch

from raconteur.reason.choice import ChoiceModel
from raconteur.reason.prompts import LETTERS, Prompts
from raconteur.represent.mentions import mention
from raconteur.represent.tokenizer import train_tokenizer
from raconteur.train.graph import ServedGraph

TITLES = {"1": "Harbour Lights", "2": "The Clockmaker", "3": "Snow Foxes", "4": "Ash"}


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([" likes drama crime"] * 20, [*map(mention, TITLES), *LETTERS], 280)


@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize(
    ("inputs", "head"), [("both", "pointer"), ("tokens", "pointer"), ("text", "pointer"), ("both", "letters")]
)
def test_graph_scores_as_the_model(tokenizer, inputs, head, num_layers):
    torch.manual_seed(1)
    model = ChoiceModel(
        tokenizer.get_vocab_size(),
        num_layers=num_layers,
        width=32,
        num_heads=2,
        dropout=0.0,
        inputs=inputs,
        head=head,
    ).eval()
    if head == "pointer":
        torch.nn.init.normal_(model.query.weight, std=0.5)
        torch.nn.init.normal_(model.prior.weight)
    prompts = Prompts(tokenizer, history_tokens=12, inputs=inputs, head=head, titles=TITLES)
    graph = ServedGraph(model)
    for candidates in ([["1", "2"]], [["1", "2", "3", "4"], ["4", "3", "1", "2"], ["2", "4", "1", "3"]]):
        texts = ["likes <item:1> and drama <item:2> <item:3>", "", "crime <item:4>"][: len(candidates)]
        layout, _ = prompts.choices(texts, candidates)
        fields = [torch.from_numpy(field) for field in (layout.ids_BL, layout.choose_B, layout.places_BN)]
        with torch.inference_mode():
            np.testing.assert_allclose(graph(*fields), model(*fields), atol=2e-5)
