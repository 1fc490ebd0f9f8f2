"""Trains the frozen Reasoner: it reads any way of writing a history and is tuned to none.

It starts from the sequential model (same body, its item embeddings as item tokens); one that reads titles alone starts
from nothing, since it has no item tokens. It is pretrained on a fixed, broad mixture (`mixture`) and the catalogue's
own text. The objective is the choice plus a small next-token loss. No Verbalizer exists yet when it is trained.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from raconteur.artifacts import new_folder
from raconteur.config.schema import Config
from raconteur.data.dataset import load_dataset
from raconteur.data.takes import takes_before
from raconteur.reason.choice import ChoiceModel, ChoiceReasoner
from raconteur.reason.prompts import LETTERS, Prompts
from raconteur.represent.citations import VOCABULARY, resolve
from raconteur.represent.facts import Facts
from raconteur.represent.mentions import expand, mention, plain
from raconteur.represent.styles import draw_style, written
from raconteur.represent.template import TemplateVerbalizer, event_text
from raconteur.represent.tokenizer import train_tokenizer
from raconteur.retrieve.sequential import SequentialRetriever, pad
from raconteur.train.choice import (
    Also,
    Batch,
    choice_loss,
    draw_batch,
    draw_targets,
    encode_examples,
    histories_of,
    next_token_loss,
)
from raconteur.train.examples import NegativeSampler, catalogue, facts_of, training_log
from raconteur.train.identity import OF_READERS, training_key
from raconteur.train.loop import fit
from raconteur.train.taste import Taste
from raconteur.types import FloatArray, History, Item

MAX_EXAMPLES = 24_000
TEMPLATE_SHARE = 0.25
TOKENIZER_TEXTS = 2_000
DOCUMENTS = 16  # catalogue entries read a step


def train_reasoner(config: Config, data: Path, retriever: Path, out: Path, checkpoints: Path) -> dict[str, float]:
    """Writes the frozen Reasoner's folder; returns the last loss and accuracy on training batches."""
    dataset = load_dataset(data)
    items = catalogue(dataset)
    item_ids = tuple(items)
    log = training_log(dataset)
    settings, rng = config.reasoner, np.random.default_rng([config.seed, 1])
    targets = draw_targets(log, min(MAX_EXAMPLES, settings.num_steps * settings.batch_size), rng)
    histories = histories_of(log, targets, config.text.max_events)
    documents = [_document(item) for item in items.values()]
    facts = facts_of(items, config)
    titles = {item_id: item.title for item_id, item in items.items()}
    tokenizer = _tokenizer(config, histories, facts, documents, titles, rng)
    prompts = Prompts(
        tokenizer,
        history_tokens=config.text.history_tokens,
        inputs=settings.inputs,
        head=settings.head,
        titles=titles,
    )
    texts = mixture(histories, facts, config, tokenizer, rng)
    sampler = NegativeSampler(log, item_ids)
    examples = encode_examples(texts, targets, prompts, sampler, item_ids)
    torch.manual_seed(config.seed)
    model = _untrained(prompts, config)
    taste = None
    if settings.inputs != "text":
        collaborative = SequentialRetriever.load(retriever)
        _start(model, collaborative, prompts, sampler.counts_V)
        if settings.head == "pointer":
            taste = _taste(collaborative, takes_before(log.events, targets), prompts, sampler.counts_V)
    encoded = prompts.encode_texts(documents)

    def loss_of(_step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        batch = draw_batch(examples, prompts, sampler, settings.batch_size, config.evaluate.num_candidates, rng)
        loss, figures = choice_loss(model, batch, settings.lm_weight, rng, settings.loss, taste)
        return loss + settings.lm_weight * _document_loss(model, encoded, prompts.pad_id, rng), figures

    key = training_key(config, OF_READERS, reads=[data, retriever])
    curves = fit(
        model,
        loss_of,
        name="reasoner",
        num_steps=settings.num_steps,
        learning_rate=settings.learning_rate,
        seed=config.seed,
        checkpoint=checkpoints / f"reasoner-{key}.pt",
        fingerprint=key,
    )
    with new_folder(out, kind="reasoner", config=config.model_dump(mode="json")) as folder:
        ChoiceReasoner(model, prompts).save(folder)
        (folder / "curves.json").write_text(json.dumps(curves))
    return {"loss": curves["choice"][-1], "accuracy": curves["accuracy"][-1]}


def _taste(
    retriever: SequentialRetriever, taken: Sequence[Sequence[str]], prompts: Prompts, counts_V: FloatArray
) -> Also:
    """Whom an item suits in the sequential model's eyes, popularity taken out, however the history is written."""
    taste = Taste(
        retriever.states(taken),
        retriever.model.items_VW.detach(),
        -torch.from_numpy(np.log1p(counts_V)).float(),
        torch.tensor([prompts.item_token(item_id) for item_id in retriever.item_ids]),
        share_V=(counts_V + 1.0) / (counts_V + 1.0).sum(),
    )

    def also(model: ChoiceModel, states_BLW: Tensor, batch: Batch, rng: np.random.Generator) -> Tensor:
        return taste(model, states_BLW, batch.choose_B, torch.from_numpy(batch.rows_B), rng)

    return also


def mixture(
    histories: Sequence[History],
    facts: Facts,
    config: Config,
    tokenizer: Tokenizer,
    rng: np.random.Generator,
) -> list[str]:
    """One text a history, fixed before any Verbalizer is trained.

    A quarter (`TEMPLATE_SHARE`) are raw template logs. The rest are written in a style that `styles.draw_style` draws
    for each, every setting on its own: takes alone (1/2), events with a value (1/4) or all events (1/4); a repeated
    item once with its count (2/5), once (2/5) or each time (1/5); nothing (1/2), the category (3/10) or the event as
    logged (1/5) behind an item; a summary of taste first, last or not at all; the newest 12, 32 or
    100 items.
    """
    template = TemplateVerbalizer(
        tokenizer, budget_tokens=config.text.history_tokens, max_events=config.text.max_events
    )
    texts = [None if rng.uniform() < TEMPLATE_SHARE else _styled(history, facts, rng) for history in histories]
    raw = iter(template.write([history for text, history in zip(texts, histories, strict=True) if text is None]))
    return [next(raw) if text is None else text for text in texts]


def _styled(history: History, facts: Facts, rng: np.random.Generator) -> str:
    return resolve(written(history.events, draw_style(rng), facts), history.events, facts)


def _document(item: Item) -> str:
    """Catalogue entry as text: `<item:17> Title drama crime. Description`."""
    parts = [mention(item.item_id), plain(item.title), *map(plain, item.categories)]
    return " ".join(parts) + (f". {plain(item.description)}" if item.description else "")


def _tokenizer(
    config: Config,
    histories: Sequence[History],
    facts: Facts,
    documents: Sequence[str],
    titles: Mapping[str, str],
    rng: np.random.Generator,
) -> Tokenizer:
    """BPE pieces learned from raw events, styles and documents, without the mentions in them.

    For a Reasoner that reads titles, these stand where the mentions were. Mentions stay tokens all the same: it reads
    none, but a Verbalizer shares the tokenizer.
    """
    sample = histories[:TOKENIZER_TEXTS]
    events = [event_text(event, history.events[-1].event_time) for history in sample for event in history.events]
    styled = [_styled(history, facts, rng) for history in sample]
    whole = (*events, *styled, *documents)
    reads_titles = config.reasoner.inputs == "text"
    texts = [f" {expand(text, titles)}" if reads_titles else _without_mentions(text) for text in whole]
    letters = LETTERS if config.reasoner.head == "letters" else ()
    named = [*map(mention, facts.categories), *VOCABULARY, *letters]
    return train_tokenizer(texts, named, config.text.vocab_size)


def _without_mentions(text: str) -> str:
    return " " + " ".join(word for word in text.split() if not word.startswith("<item:"))


def _untrained(prompts: Prompts, config: Config) -> ChoiceModel:
    """A body of the sequential model's shape, whether it starts from that model or not."""
    settings = config.sequential
    return ChoiceModel(
        prompts.tokenizer.get_vocab_size(),
        num_layers=settings.num_layers,
        width=settings.width,
        num_heads=settings.num_heads,
        dropout=config.reasoner.dropout,
        inputs=prompts.inputs,
        head=prompts.head,
    )


def _start(model: ChoiceModel, retriever: SequentialRetriever, prompts: Prompts, counts_V: FloatArray) -> None:
    """Copies the sequential model's body, and its item embeddings to the item tokens; takes popularity out of choices.

    Args:
        counts_V: takes of each item, in the retriever's order.
    """
    body = {
        name: value for name, value in retriever.model.body.state_dict().items() if not name.startswith("embed_tokens")
    }
    model.body.load_state_dict(body, strict=False)
    tokens = [prompts.item_token(item_id) for item_id in retriever.item_ids]
    with torch.no_grad():
        model.body.embed_tokens.weight[tokens] = retriever.model.items_VW
        if model.head == "pointer":
            model.prior.weight[tokens, 0] = -torch.from_numpy(np.log1p(counts_V)).float()


def _document_loss(
    model: ChoiceModel, documents: Sequence[Sequence[int]], pad_id: int, rng: np.random.Generator
) -> Tensor:
    chosen = [documents[number] for number in rng.integers(len(documents), size=DOCUMENTS)]
    ids_BL, _ = pad(chosen, pad_id)
    lengths_B = torch.tensor([len(ids) for ids in chosen])
    return next_token_loss(model, model.states(ids_BL), ids_BL, lengths_B, rng)
