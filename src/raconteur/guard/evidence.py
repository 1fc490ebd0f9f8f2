"""Why an item is shown, in one or two plain sentences: `Because you took “Night Ferry” and like crime.`

Made for every item of every answer, so it only reads what retrieval knows already: how much each item of the history
added to the score of an item-item model (`retrieve.contributions`), and which categories those items share with the
item. No word of a sentence was written by a model; titles and categories are the catalogue's, cleaned and cut, since
they are text of others. What each part of a text adds to a language model's score is told by `occlusion`.
"""

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache
from heapq import nlargest

MAX_TITLE, MAX_CATEGORY, MAX_QUERY = 60, 24, 40  # characters shown
MAX_REASON = 300  # characters of a reason at most, by the limits above
MAX_NAMED = 2  # titles, and categories, in one reason
SECOND_SHARE = 0.5  # of the first title's weight, for a second one to be named
CATEGORY_SHARE = 1 / 3  # of the weight, that items of a category must carry together for it to be named
MIN_LIKED = 2  # items of a category, for the user to like it
MAX_CARRIED = 12  # items of the history that count, the strongest
HISTORY = 50  # newest items that count where no model says which of them mattered

BY_SOURCE = {
    "popularity": "Taken by many.",
    "recent_popularity": "Taken by many of late.",
    "request": "One of the items that you asked about.",
}
LIKE_HISTORY = "Close to what you took before."
QUOTES = str.maketrans(dict.fromkeys('“”"', "’"))
_TAG = re.compile(r"<[^<>]*>")


def reason_of(
    item_id: str,
    history: Sequence[str],
    contributions: Mapping[str, float],
    *,
    categories: Mapping[str, Sequence[str]],
    titles: Mapping[str, str],
    source: str,
    query: str = "",
) -> str:
    """What carried this item, by the strongest evidence that there is; at most `MAX_REASON` characters, never empty.

    Args:
        history: items that the user took, oldest first.
        contributions: what items of the history added to this item's score, in any unit; others are left out.
        source: retriever that proposed the item.
        query: text typed by the user, if the item matches it.
    """
    typed = plain(query, MAX_QUERY)
    matched = f"Matches “{typed}”." if typed else ""
    because = _because(item_id, history, contributions, categories, titles)
    if matched or because:
        return " ".join(sentence for sentence in (matched, because) if sentence)
    if source in BY_SOURCE or not history:
        return BY_SOURCE.get(source, BY_SOURCE["popularity"])
    newest = dict.fromkeys(reversed(history[-HISTORY:]), 1.0)
    return _sentence([], _liked(item_id, newest, categories)) or LIKE_HISTORY


@lru_cache(maxsize=16_384)  # the same titles come again and again
def plain(text: str, most: int) -> str:
    """Text of others on one line: no tags, no control or invisible characters, no quotation marks to break out of.

    Args:
        most: characters that are kept.
    """
    bare = _TAG.sub(" ", text).replace("<", "‹").replace(">", "›").translate(QUOTES)
    line = " ".join(bare.split())  # before control characters go: a line end is one
    if not line.isprintable():
        line = " ".join("".join(sign for sign in line if unicodedata.category(sign)[0] != "C").split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def _because(
    item_id: str,
    history: Sequence[str],
    contributions: Mapping[str, float],
    categories: Mapping[str, Sequence[str]],
    titles: Mapping[str, str],
) -> str:
    taken = set(history)
    counted = [(weight, one) for one, weight in contributions.items() if one in taken and 0 < weight < math.inf]
    carried = {one: weight for weight, one in nlargest(MAX_CARRIED, counted)}
    return _sentence(_named(carried, titles), _liked(item_id, carried, categories))


def _sentence(named: Sequence[str], liked: Sequence[str]) -> str:
    took = "took " + " and ".join(f"“{title}”" for title in named) if named else ""
    like = "like " + " and ".join(liked) if liked else ""
    said = " and ".join(part for part in (took, like) if part)
    return f"Because you {said}." if said else ""


def _named(carried: Mapping[str, float], titles: Mapping[str, str]) -> list[str]:
    """Titles of the items that carried most; a second one only if it comes near the first."""
    best = sorted(carried.items(), key=lambda pair: -pair[1])[:MAX_NAMED]
    shown = [plain(titles.get(one) or "", MAX_TITLE) for one, weight in best if weight >= SECOND_SHARE * best[0][1]]
    return [title for title in dict.fromkeys(shown) if title]


def _liked(item_id: str, carried: Mapping[str, float], categories: Mapping[str, Sequence[str]]) -> list[str]:
    """The item's categories that carried most, among those that several items of the history share with it."""
    weights: dict[str, list[float]] = {name: [] for name in categories.get(item_id) or ()}
    for other, weight in carried.items():
        for name in weights.keys() & set(categories.get(other) or ()):
            weights[name].append(weight)
    enough = CATEGORY_SHARE * sum(carried.values())
    liked = {name: sum(each) for name, each in weights.items() if len(each) >= MIN_LIKED and sum(each) >= enough}
    shown = (plain(name, MAX_CATEGORY) for name in sorted(liked, key=lambda name: -liked[name])[:MAX_NAMED])
    return [name for name in shown if name]
