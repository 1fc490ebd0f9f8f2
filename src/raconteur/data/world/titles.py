"""Names and blurbs of the catalogue: unique readable titles, and descriptions that tell genre, mood and setting.

Text follows the latent truth on purpose: what a title is about can be read, as in a real catalogue.
"""

from collections.abc import Sequence

import numpy as np

from raconteur.data.world.vocabulary import ADJECTIVES, HEROES, NOUNS, PLACES, SETTINGS, TURNS

ALL_NOUNS = tuple(noun for nouns in NOUNS.values() for noun in nouns)


def item_texts(
    rng: np.random.Generator,
    kinds: Sequence[str],
    genres: Sequence[Sequence[str]],
    moods: Sequence[Sequence[str]],
    *,
    prequels: Sequence[int],
    taken: set[str],
) -> tuple[list[str], list[str]]:
    """A new title and a description for each item.

    Args:
        kinds: "film" or "series".
        genres: of each item, the main one first; its nouns make the title.
        prequels: index of the item that this one continues, or -1; a sequel is called "<prequel> 2" and so on.
        taken: titles in use; the new ones are added.
    """
    titles = _make_titles(rng, [names[0] for names in genres], prequels, taken)
    return titles, [_describe(rng, *row) for row in zip(kinds, genres, moods, strict=True)]


def _make_titles(
    rng: np.random.Generator, genres: Sequence[str], prequels: Sequence[int], taken: set[str]
) -> list[str]:
    titles: list[str] = []
    for genre, prequel in zip(genres, prequels, strict=True):
        title = _sequel(titles[prequel], taken) if prequel >= 0 else _fresh(rng, NOUNS[genre], taken)
        taken.add(title)
        titles.append(title)
    return titles


def _describe(rng: np.random.Generator, kind: str, genres: Sequence[str], moods: Sequence[str]) -> str:
    """One or two sentences that name kind, genres and moods."""
    setting, hero, turn = _pick(rng, SETTINGS), _pick(rng, HEROES), _pick(rng, TURNS)
    tone = " and ".join(moods)
    about = " ".join(genre.lower() for genre in genres)
    patterns = (
        f"{_article(tone)} {tone} {about} {kind} set in {setting}. {hero.capitalize()} {_agree(hero, turn)}.",
        f"In {setting}, {hero} {_agree(hero, turn)}. {_article(tone)} {tone} {about} {kind}.",
        f"{_article(tone)} {tone} {about} {kind} in which {hero} {_agree(hero, turn)}.",
    )
    return _pick(rng, patterns)


def _fresh(rng: np.random.Generator, nouns: Sequence[str], taken: set[str]) -> str:
    title = _compose(rng, nouns)
    while title in taken:  # a large catalogue runs out of short titles: lengthen until it is unique
        other = _compose(rng, nouns)
        title = other if other not in taken else f"{title}: {_pick(rng, ALL_NOUNS)}"
    return title


def _compose(rng: np.random.Generator, nouns: Sequence[str]) -> str:
    noun, adjective, place = _pick(rng, nouns), _pick(rng, ADJECTIVES), _pick(rng, PLACES)
    patterns = (
        f"The {adjective} {noun}",
        f"{adjective} {noun}",
        f"{noun} of {place}",
        f"The {noun} at {place}",
    )
    return _pick(rng, patterns)


def _sequel(title: str, taken: set[str]) -> str:
    stem, _, number = title.rpartition(" ")
    stem, part = (stem, int(number)) if number.isdigit() else (title, 1)
    while f"{stem} {part + 1}" in taken:
        part += 1
    return f"{stem} {part + 1}"


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def _article(phrase: str) -> str:
    return "An" if phrase[0] in "aeiou" else "A"


def _agree(hero: str, turn: str) -> str:
    """'a young teacher learns', 'two sisters learn'."""
    if hero.startswith(("two", "three")):
        return turn
    verb, _, rest = turn.partition(" ")
    return f"{verb}s {rest}"
