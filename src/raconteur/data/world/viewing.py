"""Intended plays: sessions of a day, and what each person chooses in them.

A choice is the next episode of a started series, or a draw from the softmax of
utility = TASTE_WEIGHT * taste . item + appeal + SESSION_WEIGHT * last . item over titles that the person has not seen.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raconteur.data.world.catalogue import Catalogue
from raconteur.data.world.people import People
from raconteur.data.world.rows import INTENDED, OTHER, OTHER_PERSON, PLAY, SELF, Rows, new_rows
from raconteur.data.world.space import QUERY_STEP, Bools, Doubles, Floats, Ints, on_grid
from raconteur.data.world.streams import MINUTE_US, day_start_us

TASTE_WEIGHT = 12.0  # beta
SESSION_WEIGHT = 2.0  # delta
CONTINUE_PROB = 0.3  # of going on with a started series, while there is one
SESSION_PLAYS = 1.8  # plays a session of an ordinary person
MAX_PLAYS = 8  # a session
FAVOURITE_DEVICE = 0.75


@dataclass
class Viewers:
    """What each person has watched so far; grows day by day."""

    seen: Bools  # [persons, items]
    progress: npt.NDArray[np.int16]  # [persons, items], episodes watched
    last: Ints  # [persons], the last intended item or -1

    @classmethod
    def fresh(cls, num_people: int, num_items: int) -> "Viewers":
        shape = (num_people, num_items)
        return cls(np.zeros(shape, bool), np.zeros(shape, np.int16), np.full(num_people, -1, np.int32))


@dataclass(frozen=True)
class Watched:
    """Intended plays of one day; row by row the minutes that passed before the play, where dirt happens."""

    rows: Rows
    gap: Doubles


def draw_num_plays(people: People, day: int, factor: float, rng: np.random.Generator) -> Ints:
    """Plays of each person [persons] on a day: mostly 0, else one session; at least the first ones on joining."""
    mean = people.rate * factor
    session_prob = -np.expm1(-mean / SESSION_PLAYS)
    starts = rng.random(people.num_people) < session_prob
    # Given a session, the plays must average mean / session_prob.
    more = rng.poisson(np.where(mean > 0, mean / np.maximum(session_prob, 1e-9), 1.0) - 1.0)
    plays = np.where(starts, 1 + more, 0)
    plays = np.where(people.joined == day, np.maximum(plays, people.first_intents), plays)
    silent = people.is_bot | (people.joined > day)
    return np.where(silent, 0, np.minimum(plays, MAX_PLAYS))


def watch(
    viewers: Viewers,
    people: People,
    catalogue: Catalogue,
    *,
    plays: Ints,
    tastes: Floats,
    appeal: Floats,
    day: int,
    rng: np.random.Generator,
) -> Watched:
    """Lets everybody choose the day's plays one after the other, and places them in time.

    Args:
        plays: number of plays [persons].
        appeal: utility [listed items] of each item for everybody; items beyond are not listed yet.
    """
    choosing, placing = rng.spawn(2)
    chosen = np.full((people.num_people, MAX_PLAYS), -1, np.int32)
    for step in range(int(plays.max(initial=0))):
        # Drawn for everybody, so that nobody's luck depends on who else is watching.
        luck = choosing.random((3, people.num_people))
        who = np.flatnonzero(plays > step)
        chosen[who, step] = _choose(viewers, who, catalogue, tastes=tastes, appeal=appeal, luck=luck[:, who])
    return _place(viewers, people, catalogue, chosen, day=day, rng=placing)


def utilities(tastes: Floats, vectors: Floats, appeal: Floats, last: Floats) -> Floats:
    """True utility [people, items].

    Args:
        tastes: [people, 16].
        vectors: [items, 16], on the grid of items.
        appeal: [items].
        last: vector of the last intended item [people, 16]; zero where there is none.
    """
    query = on_grid(TASTE_WEIGHT * tastes + SESSION_WEIGHT * last, QUERY_STEP)
    return query @ vectors.T + appeal


def _choose(
    viewers: Viewers, who: npt.NDArray[np.intp], catalogue: Catalogue, *, tastes: Floats, appeal: Floats, luck: Doubles
) -> Ints:
    """Items that the persons `who` take next; marks them as seen."""
    listed = len(appeal)
    vectors = catalogue.vectors[:listed]
    last = np.where((viewers.last[who] >= 0)[:, None], vectors[viewers.last[who]], 0).astype(np.float32)
    scores = utilities(tastes[who], vectors, appeal, last)
    unseen = np.where(viewers.seen[who, :listed], -np.inf, scores)
    exhausted = ~np.isfinite(unseen.max(axis=1))
    unseen[exhausted] = scores[exhausted]  # who has seen everything watches something again
    items = _softmax_draw(unseen, luck[0])
    items = _continue_series(viewers, who, catalogue, items, appeal=appeal, luck=luck[1:])
    viewers.seen[who, items] = True
    viewers.progress[who, items] += 1
    viewers.last[who] = items
    return items


def _softmax_draw(scores: Floats, luck: Doubles) -> Ints:
    edges = np.cumsum(np.exp(scores - scores.max(axis=1, keepdims=True)), axis=1)
    below = edges <= (luck * edges[:, -1] * (1 - 1e-6))[:, None]
    return below.sum(axis=1)


def _continue_series(
    viewers: Viewers, who: npt.NDArray[np.intp], catalogue: Catalogue, items: Ints, *, appeal: Floats, luck: Doubles
) -> Ints:
    """Replaces some new choices by a started series, each unfinished one being equally likely."""
    keen = np.flatnonzero(luck[0] < CONTINUE_PROB)
    listed = len(appeal)
    progress = viewers.progress[who[keen], :listed]
    unfinished = (progress > 0) & (progress < catalogue.episodes[:listed]) & np.isfinite(appeal)
    count = unfinished.sum(axis=1)
    pick = (luck[1, keen] * count).astype(np.int64)
    place = (np.cumsum(unfinished, axis=1) > pick[:, None]).argmax(axis=1)
    items[keen] = np.where(count > 0, place, items[keen])
    return items


def _place(
    viewers: Viewers, people: People, catalogue: Catalogue, chosen: Ints, *, day: int, rng: np.random.Generator
) -> Watched:
    """Rows of the day's plays [persons, MAX_PLAYS; -1: none]: a session a person, with start, gaps, device and id."""
    num_people = len(chosen)
    item = np.maximum(chosen, 0)
    minutes = np.maximum(10.0, catalogue.minutes[item] * (1 - 0.15 * rng.random(chosen.shape) ** 2))
    gap = 1.0 + 11.0 * rng.random(chosen.shape)
    taken = chosen >= 0
    length = ((minutes + gap) * taken).sum(axis=1)
    start = _session_starts(rng, num_people, day) * 60
    start = np.clip(start, 1.0, np.maximum(1.0, 1435.0 - length))  # a session ends on its day
    before = np.cumsum((minutes + gap) * taken, axis=1) - minutes
    time = day_start_us(day) + ((start[:, None] + before) * MINUTE_US).astype(np.int64)
    favourite = rng.random(num_people) < FAVOURITE_DEVICE
    device = people.devices[np.arange(num_people), np.where(favourite, 0, rng.integers(1, 4, num_people))]
    session = rng.integers(0, 2**47, num_people)
    person, step = np.nonzero(taken)
    owner = people.is_owner[person]
    rows = new_rows(
        len(person),
        user=people.user[person],
        item=chosen[person, step],
        time=time[person, step],
        kind=PLAY,
        value=minutes[person, step],
        session=session[person],
        device=device[person],
        episode=_episodes(viewers, catalogue, chosen)[person, step],
        actor=np.where(owner, SELF, OTHER),
        cause=np.where(owner, INTENDED, OTHER_PERSON),
    )
    return Watched(rows, gap[person, step])


def _session_starts(rng: np.random.Generator, count: int, day: int) -> Doubles:
    """Hour of the day: evenings, and afternoons at the weekend."""
    evening = rng.normal(20.0, 1.8, count)
    afternoon = rng.normal(14.5, 3.0, count)
    return np.where(rng.random(count) < (0.5 if day % 7 >= 5 else 0.2), afternoon, evening)


def _episodes(viewers: Viewers, catalogue: Catalogue, chosen: Ints) -> Ints:
    """0-based episode of each play [persons, steps]: the day's plays end at the person's present progress."""
    later = np.zeros(chosen.shape, np.int32)
    for step in range(chosen.shape[1] - 1):
        later[:, step] = (chosen[:, step + 1 :] == chosen[:, step, None]).sum(axis=1)
    item = np.maximum(chosen, 0)
    number = viewers.progress[np.arange(len(chosen))[:, None], item] - 1 - later
    return np.where(catalogue.episodes[item] > 0, number % np.maximum(catalogue.episodes[item], 1), -1)
