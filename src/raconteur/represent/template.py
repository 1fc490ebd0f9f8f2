"""The template Verbalizer: every event of the log, its fields concatenated, within a token budget.

This is the raw log that an LLM would be handed, and the arm that every other Verbalizer is measured against. It is
also the source text that the rewriting Verbalizer reads. Oldest event first; the newest that fit the budget are kept.
"""

from collections.abc import Sequence
from datetime import datetime

from tokenizers import Tokenizer

from raconteur.represent.mentions import mention, plain
from raconteur.represent.tokenizer import encode
from raconteur.types import Event, History

MAX_FIELD = 24  # characters of one context value


def event_text(event: Event, as_of: datetime) -> str:
    """`12d play 43 tv S1E3 <item:17>`: age in days, type, value, context in key order, item.

    The item comes last: a causal model then knows at the item what happened to it.
    """
    context = [plain(event.context[key])[:MAX_FIELD] for key in sorted(event.context)]
    value = [] if event.value is None else [value_text(event.value)]
    age = f"{max(0, (as_of - event.event_time).days)}d"
    return " ".join([age, plain(event.event_type), *value, *context, mention(event.item_id)])


def value_text(value: float) -> str:
    """Two figures below ten (3.5 stars), whole numbers above (114 minutes)."""
    return f"{value:.0f}" if abs(value) >= 9.95 else f"{value:.2g}"


class TemplateVerbalizer:
    """Implements `types.Verbalizer`."""

    def __init__(self, tokenizer: Tokenizer, *, budget_tokens: int, max_events: int) -> None:
        self._tokenizer = tokenizer
        self._budget_tokens = budget_tokens
        self._max_events = max_events

    def write(self, histories: Sequence[History]) -> list[str]:
        lines = [_lines(history, self._max_events) for history in histories]
        flat = [line for group in lines for line in group]
        counts = iter(len(ids) for ids in encode(self._tokenizer, flat))
        texts = [newest_within(group, [next(counts) for _ in group], self._budget_tokens) for group in lines]
        # An event that is longer than the budget by itself is named at least.
        return [text or self._newest_item(history) for text, history in zip(texts, histories, strict=True)]

    def _newest_item(self, history: History) -> str:
        named = [mention(event.item_id) for event in history.events[-1:]]
        return newest_within(named, [len(ids) for ids in encode(self._tokenizer, named)], self._budget_tokens)


def _lines(history: History, max_events: int) -> list[str]:
    events = history.events[-max_events:]
    return [event_text(event, events[-1].event_time) for event in events]


def newest_within(lines: Sequence[str], num_tokens: Sequence[int], budget_tokens: int) -> str:
    """The last lines whose tokens fit the budget, in one line."""
    start, left = len(lines), budget_tokens
    while start > 0 and num_tokens[start - 1] <= left:
        start -= 1
        left -= num_tokens[start]
    return " ".join(lines[start:])
