"""A version whose Verbalizer is a real language model, tiny and taught one lesson: what to write after a log.

The films are those of `serving_world`. It has learned to sum up the taste, to cite the newest event, and the one before
where there is one.
"""

from datetime import timedelta

import torch
from serving_world import START, TITLES, catalogue
from transformers import Qwen3ForCausalLM

from raconteur.artifacts import Registry, new_folder
from raconteur.config.schema import DataConfig, TextConfig
from raconteur.represent.citations import CATEGORY, COUNT, TASTE, VOCABULARY
from raconteur.represent.facts import Facts
from raconteur.represent.mentions import mention
from raconteur.represent.rewrite import RewriteVerbalizer
from raconteur.represent.tokenizer import for_transformers, train_tokenizer
from raconteur.retrieve.sequential import body_config
from raconteur.types import Event, History

MAX_EVENTS = 4
MAX_NEW_TOKENS = 16
LESSON = f" {TASTE} quiet evening <e2> {CATEGORY} <e1> {COUNT}"
FACTS = Facts({item_id: (title.split()[0],) for item_id, title in TITLES.items()}, DataConfig())


def taught_writer():
    texts = [" 2d play 43 tv quiet evening", " likes space war ."] * 20
    tokenizer = for_transformers(train_tokenizer(texts, [*map(mention, TITLES), *VOCABULARY], 300))
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(body_config(len(tokenizer), 1, 32, 2))
    text = TextConfig(max_events=MAX_EVENTS)
    writer = RewriteVerbalizer(model, tokenizer, FACTS, text, max_new_tokens=MAX_NEW_TOKENS)
    said = tokenizer(LESSON, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
    learning = torch.optim.Adam(model.parameters(), lr=1e-2)
    for number in range(120):
        ids = tokenizer(writer.prompt(history(1 + number % 6)), add_special_tokens=False)["input_ids"]
        labels = torch.tensor([[-100] * len(ids) + said])
        loss = model.train()(input_ids=torch.tensor([ids + said]), labels=labels).loss
        learning.zero_grad()
        loss.backward()
        learning.step()
    model.eval()
    return writer


def write_version(models, version, writer):
    """A finished version that holds the Verbalizer and the catalogue."""
    about = {"artefact": "version", "catalogue_version": "catalogue-7"}
    with new_folder(models / version, **about) as folder:
        with new_folder(folder / "verbalizer", kind="verbalizer") as verbalizer:
            writer.save(verbalizer)
        catalogue().write_parquet(folder / "items.parquet")
    return Registry(models)


def history(num_events, *, user_id="ann", event_type="play"):
    """An event a day, of the films in turn."""
    films = list(TITLES)
    return History(
        user_id,
        tuple(
            Event(films[number % len(films)], START + timedelta(days=number), event_type, 40.0 + number)
            for number in range(num_events)
        ),
    )
