"""What each Verbalizer of the table writes of the test users; texts are written once and read by every Reasoner."""

import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl

from raconteur import columns as c
from raconteur.artifacts import new_folder, write_json
from raconteur.config.schema import Config
from raconteur.data.dataset import Dataset, load_dataset
from raconteur.data.histories import history_before
from raconteur.errors import ConfigError
from raconteur.evaluate import faithful, habits
from raconteur.reason.choice import ChoiceReasoner
from raconteur.reason.prompts import Prompts
from raconteur.represent.load import load_verbalizer
from raconteur.represent.mentions import expand
from raconteur.represent.styles import CLEAN, StyleVerbalizer
from raconteur.represent.template import TemplateVerbalizer
from raconteur.represent.tokenizer import encode
from raconteur.train.examples import catalogue, choices, facts_of
from raconteur.types import Verbalizer

TEXTS, FACTS, CHECKED = "texts.parquet", "texts.json", "checked.parquet"
TEXT = "text"
NUM_EXAMPLES, EXAMPLES_SEED = 4, 7  # before/after pairs a Verbalizer


def write_texts(
    config: Config, data: Path, reasoner: Path, name: str, verbalizer: Path | None, out: Path
) -> dict[str, float]:
    """Writes `texts.parquet` (user_id, text), `checked.parquet` (what in them is true) and `texts.json`, their figures.

    Args:
        reasoner: the frozen Reasoner, whose tokens are counted.
        verbalizer: folder of a trained one; None: `name` is a rule.
    """
    dataset = load_dataset(data)
    rows = tested_users(config, dataset)
    histories = history_before(dataset.events, rows, config.text.max_events)
    prompts = ChoiceReasoner.load(reasoner).prompts
    raw = _template(config, prompts).write(histories)
    began = time.process_time()
    texts = load_writer(config, dataset, reasoner, name, verbalizer).write(histories)
    spent_ms = 1000 * (time.process_time() - began) / max(1, len(texts))
    tokens = _num_tokens(prompts, texts)
    items = catalogue(dataset)
    known = facts_of(items, config)
    checked = faithful.check(texts, histories, known, num_tokens=tokens, template_tokens=_num_tokens(prompts, raw))
    rates = habits.measure(raw, texts, histories, known)
    titles = {item_id: item.title for item_id, item in items.items()}
    rng = np.random.default_rng(EXAMPLES_SEED)
    examples = habits.pairs(raw, texts, num=NUM_EXAMPLES, rng=rng, expand=lambda text: expand(text, titles))
    figures = {"tokens": float(np.mean(tokens)), "ms_per_user": spent_ms}
    facts = {
        **figures,
        "faithful": faithful.summary(checked),
        "habits": {habit: rate.value for habit, rate in rates.items()},
        "examples": [asdict(example) for example in examples],
    }
    with new_folder(out, kind="texts", verbalizer=name, config=config.model_dump(mode="json")) as folder:
        rows.select(c.USER_ID).with_columns(pl.Series(TEXT, texts, dtype=pl.String)).write_parquet(folder / TEXTS)
        checked.write_parquet(folder / CHECKED)
        write_json(folder / FACTS, facts)
    return figures


def tested_users(config: Config, dataset: Dataset) -> pl.DataFrame:
    """Users with a test list of any kind, and the position of their target."""
    rows = pl.concat([choices(dataset, "test", kind) for kind in config.evaluate.negatives])
    return rows.select(c.USER_ID, c.POSITION).unique(maintain_order=True)


def load_writer(config: Config, dataset: Dataset, reasoner: Path, name: str, verbalizer: Path | None) -> Verbalizer:
    """The Verbalizer that the table calls `name`.

    Raises:
        ConfigError: a trained Verbalizer without its folder.
    """
    if verbalizer is not None:
        return load_verbalizer(verbalizer)
    if name == "template":
        return _template(config, ChoiceReasoner.load(reasoner).prompts)
    if name == "clean":
        return StyleVerbalizer(CLEAN, facts_of(catalogue(dataset), config), max_events=config.text.max_events)
    raise ConfigError(f"the Verbalizer '{name}' is trained; give its folder")


def _template(config: Config, prompts: Prompts) -> TemplateVerbalizer:
    text = config.text
    return TemplateVerbalizer(prompts.tokenizer, budget_tokens=text.history_tokens, max_events=text.max_events)


def _num_tokens(prompts: Prompts, texts: list[str]) -> list[int]:
    return [len(ids) for ids in encode(prompts.tokenizer, texts)]
