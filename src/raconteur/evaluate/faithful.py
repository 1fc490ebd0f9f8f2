"""How true narratives are, how much raw matter of the log they keep, and how short they are.

Called by the table of arms for the texts of every Verbalizer; `statements` tells what is held to be true.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import polars as pl

from raconteur import columns as c
from raconteur.errors import DataError
from raconteur.evaluate.statements import CONTEXT, KINDS, Catalogue, Reader, Reading, context_phrases
from raconteur.evaluate.wording import Phrases
from raconteur.types import History

SCHEMA = pl.Schema(
    {
        c.USER_ID: pl.String(),
        **{f"num_{kind}": pl.Int64() for kind in KINDS},  # statements by kind
        **{f"false_{kind}": pl.Int64() for kind in KINDS},  # those of them that are false
        "false": pl.List(pl.String),  # the false statements, `kind: words`
        "num_words": pl.Int64(),
        "num_unparsed": pl.Int64(),  # words that are no known statement
        "num_raw_ids": pl.Int64(),  # words that are an item, session or user id of the log, outside a mention
        "num_contexts": pl.Int64(),  # context values that the log holds (device, episode, query)
        "num_contexts_kept": pl.Int64(),  # how many of them stand in the text
        "num_tokens": pl.Int64(),  # of the text
        "template_tokens": pl.Int64(),  # of the user's template text
    }
)


def check(
    texts: Sequence[str],
    histories: Sequence[History],
    facts: Catalogue,
    *,
    num_tokens: Sequence[int],
    template_tokens: Sequence[int],
    titles: Mapping[str, str] | None = None,
) -> pl.DataFrame:
    """One row a text, in the texts' order: `SCHEMA`.

    Args:
        histories: exactly the events that the Verbalizer was shown: counts, ages and tastes are those of these events.
        facts: categories by item, and the rule for takes (`represent.facts.Facts`).
        num_tokens: of each text, by the tokenizer of whoever reads it.
        template_tokens: of each user's template text, by the same tokenizer.
        titles: titles by item id where the texts name items by quoted titles; None: by mentions only.

    Raises:
        DataError: the lists differ in length.
    """
    lengths = {len(texts), len(histories), len(num_tokens), len(template_tokens)}
    if len(lengths) > 1:
        raise DataError(f"texts, histories and token counts have {sorted(lengths)} entries; give one of each a user")
    reader = Reader(histories, facts, titles)
    rows = []
    for text, history, tokens, full in zip(texts, histories, num_tokens, template_tokens, strict=True):
        row = _row(reader.read(text, history), history)
        rows.append({**row, "num_tokens": tokens, "template_tokens": full})
    return pl.DataFrame(rows, schema=SCHEMA)


def summary(frame: pl.DataFrame) -> dict[str, float]:
    """Shares over all texts together.

    Returns:
        `share_false` and `share_false_<kind>` of the statements (0 where there is none: see `num_statements`,
        `num_<kind>`); `share_unparsed` and `share_raw_ids` of the words; `share_contexts_kept` of the log's context
        values; `compression`, tokens of a text / tokens of its template text, mean over users with a template text.
    """
    totals = {name: float(frame[name].sum()) for name in frame.columns if name.startswith(("num_", "false_"))}
    stated = sum(totals[f"num_{kind}"] for kind in KINDS)
    false = sum(totals[f"false_{kind}"] for kind in KINDS)
    ratios = frame.filter(pl.col("template_tokens") > 0).select(pl.col("num_tokens") / pl.col("template_tokens"))
    return {
        "num_statements": stated,
        **{f"num_{kind}": totals[f"num_{kind}"] for kind in KINDS},
        "share_false": _share(false, stated),
        **{f"share_false_{kind}": _share(totals[f"false_{kind}"], totals[f"num_{kind}"]) for kind in KINDS},
        "share_unparsed": _share(totals["num_unparsed"], totals["num_words"]),
        "share_raw_ids": _share(totals["num_raw_ids"], totals["num_words"]),
        "share_contexts_kept": _share(totals["num_contexts_kept"], totals["num_contexts"]),
        "compression": _share(float(ratios.to_series().sum()), ratios.height),
    }


def _row(reading: Reading, history: History) -> dict[str, object]:
    stated = Counter(one.kind for one in reading.statements)
    false = [one for one in reading.statements if not one.true]
    by_kind = Counter(one.kind for one in false)
    raw_ids = _raw_ids(history)
    contexts = Counter(" ".join(words) for event in history.events for words in context_phrases(event))
    return {
        c.USER_ID: history.user_id,
        **{f"num_{kind}": stated[kind] for kind in KINDS},
        **{f"false_{kind}": by_kind[kind] for kind in KINDS},
        "false": [f"{one.kind}: {one.text}" for one in false],
        "num_words": reading.num_words,
        "num_unparsed": len(reading.unparsed),
        "num_raw_ids": sum(word in raw_ids for word in reading.unparsed),
        "num_contexts": contexts.total(),
        "num_contexts_kept": (contexts & _contexts_in(reading, contexts)).total(),
    }


def _raw_ids(history: History) -> set[str]:
    sessions = {event.session_id for event in history.events if event.session_id is not None}
    return {name.casefold() for name in {history.user_id, *sessions, *(event.item_id for event in history.events)}}


def _contexts_in(reading: Reading, contexts: Counter[str]) -> Counter[str]:
    """Context values of the log in a text: those that it states in rows, and those among its unparsed words."""
    found = Counter(one.text for one in reading.statements if one.kind == CONTEXT)
    known = Phrases(tuple(value.split()) for value in contexts)
    start = 0
    while start < len(reading.unparsed):
        size = next(iter(known.lengths(reading.unparsed, start)), 0)
        found[" ".join(reading.unparsed[start : start + size])] += 1  # nothing found counts for "", which is no value
        start += max(1, size)
    return found


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
