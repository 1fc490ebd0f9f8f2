"""What a Verbalizer does to a log, as rates, and pairs of texts to look at; `page` shows both.

Rates are counted on the texts alone, by what `statements` reads in them, so hand-written and learned Verbalizers are
measured alike. Texts name items by mentions here; titles are written in for the pairs.
"""

import textwrap
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from raconteur.evaluate.statements import CATEGORY, CONTEXT, EVENT, PERIOD, TASTE, Catalogue, Reader, Reading
from raconteur.evaluate.wording import phrase
from raconteur.types import History

DEFINITIONS = {
    "syntax normalised": "Share of named items that stand without raw fields: age, event type, value, device, episode.",
    "noise dropped": "Share of the events that are no take and are left out; an item named more often than it was "
    "taken, or never taken, keeps as many of them as it is named beyond its takes.",
    "takes kept": "Share of the items that the user took that are named.",
    "metadata added": "Share of named items that are followed by a category of theirs that the raw log does not hold.",
    "repeats aggregated": "Share of the items taken more than once that are named exactly once.",
    "taste summarised": "Share of texts that state a taste.",
    "order kept": "Share of neighbouring named items that can be matched to events in the order of time.",
}
WIDTH = 110  # characters of a line of an example


@dataclass(frozen=True, slots=True)
class Rate:
    value: float | None  # 0 to 1; None: there was nothing to count
    definition: str


@dataclass(frozen=True, slots=True)
class Pair:
    """One user's raw log and the narrative written of it, with titles."""

    before: str
    after: str


def measure(
    raw_texts: Sequence[str], texts: Sequence[str], histories: Sequence[History], facts: Catalogue
) -> dict[str, Rate]:
    """The rates of `DEFINITIONS`, over all users together.

    Args:
        raw_texts: template text of each user.
        texts: narrative of each user.
        histories: exactly the events that the Verbalizer was shown.
    """
    reader = Reader(histories, facts)
    counted, out_of = Counter[str](), Counter[str]()
    for raw, text, history in zip(raw_texts, texts, histories, strict=True):
        for habit, (part, whole) in _tally(raw, reader.read(text, history), history, facts).items():
            counted[habit] += part
            out_of[habit] += whole
    return {
        habit: Rate(counted[habit] / out_of[habit] if out_of[habit] else None, definition)
        for habit, definition in DEFINITIONS.items()
    }


def pairs(
    raw_texts: Sequence[str],
    texts: Sequence[str],
    *,
    num: int,
    rng: np.random.Generator,
    expand: Callable[[str], str],
) -> list[Pair]:
    """Examples from the most to the least shortened text: one user drawn from each of `num` equal parts.

    Args:
        expand: writes titles into a text (`represent.mentions.expand`).
    """
    logged = [user for user, raw in enumerate(raw_texts) if raw.strip()]
    by_length = sorted(logged, key=lambda user: len(texts[user].split()) / len(raw_texts[user].split()))
    parts = np.array_split(np.array(by_length, dtype=np.int64), num)
    drawn = [int(rng.choice(part)) for part in parts if len(part)]
    return [Pair(expand(raw_texts[user]), expand(texts[user])) for user in drawn]


def page(rates: Mapping[str, Mapping[str, Rate]], examples: Mapping[str, Sequence[Pair]]) -> str:
    """Markdown.

    Args:
        rates: `measure` by Verbalizer.
        examples: `pairs` by Verbalizer.
    """
    lines = ["# What the Verbalizer learned", "", "Rates over all test users; – where there is nothing to count.", ""]
    lines += ["| " + " | ".join(["habit", "definition", *rates]) + " |", "|---|---|" + "---:|" * len(rates)]
    for habit, definition in DEFINITIONS.items():
        shares = [_shown(of_verbalizer[habit].value) for of_verbalizer in rates.values()]
        lines.append("| " + " | ".join([habit, definition, *shares]) + " |")
    lines += ["", "## Before and after", "", "From the most to the least shortened text; users are drawn by chance."]
    for verbalizer, drawn in examples.items():
        for number, pair in enumerate(drawn, 1):
            lines += ["", f"### {verbalizer}, user {number}", "", "The log:", "", *_fenced(pair.before)]
            lines += ["", "The narrative:", "", *_fenced(pair.after)]
    return "\n".join(lines) + "\n"


def _tally(raw: str, reading: Reading, history: History, facts: Catalogue) -> dict[str, tuple[int, int]]:
    """For one user and each habit: how many, out of how many."""
    rows: dict[str, list[int]] = {}
    for row, event in enumerate(history.events):
        rows.setdefault(event.item_id, []).append(row)
    takes = Counter(event.item_id for event in history.events if facts.is_take(event))
    named = {number: ids[0] for number, ids in enumerate(reading.mentions) if ids[0] in rows}
    times = Counter(named.values())
    others = {item_id: len(found) - takes[item_id] for item_id, found in rows.items()}
    kept = sum(min(others[item_id], max(0, times[item_id] - takes[item_id])) for item_id in rows)
    repeated = [item_id for item_id, count in takes.items() if count > 1]
    raw_fields = {one.mention for one in reading.statements if one.kind in (EVENT, PERIOD, CONTEXT)}
    known = f" {' '.join(phrase(raw))} "
    added = {
        one.mention for one in reading.statements if one.kind == CATEGORY and one.true and f" {one.text} " not in known
    }
    return {
        "syntax normalised": (len(named.keys() - raw_fields), len(named)),
        "noise dropped": (sum(others.values()) - kept, sum(others.values())),
        "takes kept": (len(takes.keys() & times.keys()), len(takes)),
        "metadata added": (len(named.keys() & added), len(named)),
        "repeats aggregated": (sum(times[item_id] == 1 for item_id in repeated), len(repeated)),
        "taste summarised": (int(any(one.kind == TASTE for one in reading.statements)), 1),
        "order kept": (_in_order([rows[item_id] for item_id in named.values()]), max(0, len(named) - 1)),
    }


def _in_order(named: Sequence[Sequence[int]]) -> int:
    """Of the events of each named item: how many mentions have an event after the one matched to the mention before.

    Each mention takes the earliest event that it can have, which leaves most room for those behind it.
    """
    kept, last = 0, -1
    for place, events in enumerate(named):
        later = [row for row in events if row > last]
        kept += bool(later) and place > 0
        last = min(later or events)
    return kept


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _fenced(text: str) -> list[str]:
    """The text as a code block, whatever it holds: its fence is longer than any run of backticks inside."""
    fence = "```"
    while fence in text:
        fence += "`"
    return [f"{fence}text", *textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False), fence]
