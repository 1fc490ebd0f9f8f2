"""Untrained Reasoners of every arm over eight films."""

import pytest
import torch

from raconteur.reason.choice import ChoiceModel, ChoiceReasoner
from raconteur.reason.prompts import LETTERS, Prompts
from raconteur.represent.mentions import mention
from raconteur.represent.tokenizer import train_tokenizer

TITLES = {
    "1": "Harbour Lights",
    "2": "The Clockmaker",
    "3": "Snow Foxes",
    "4": "Night Ferry",
    "5": "Blue Hour",
    "6": "霧の町",
    "7": "Two <choose> Doors",
    "8": "Ash",
}


@pytest.fixture(scope="session")
def tokenizer():
    return train_tokenizer([" likes drama crime"] * 20, [*map(mention, TITLES), *LETTERS], 280)


@pytest.fixture(scope="session")
def build(tokenizer):
    """Makes a Reasoner of an arm; equal arguments give equal weights."""

    def built(inputs="both", head="pointer", history_tokens=8, titles=TITLES):
        torch.manual_seed(0)
        shape = {"num_layers": 2, "width": 32, "num_heads": 2, "dropout": 0.0}
        model = ChoiceModel(tokenizer.get_vocab_size(), **shape, inputs=inputs, head=head)
        if head == "pointer":  # an untrained model leaves the second term at zero
            torch.nn.init.normal_(model.query.weight, std=0.5)
        prompts = Prompts(tokenizer, history_tokens=history_tokens, inputs=inputs, head=head, titles=titles)
        return ChoiceReasoner(model, prompts)

    return built
