"""Which way of writing the frozen Reasoner reads best: rejection sampling, a whole style at a time.

Choosing the best of a few texts of one log would mostly choose by luck of the draw; the mean over many logs does not.
Styles that come near each other differ by less than the noise of a few hundred logs, so the better ones are tried again
on more. One style is learned, not the best few: a writer of two cannot tell which is wanted, and mixes them.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import NamedTuple

import numpy as np

from raconteur.config.schema import TextConfig
from raconteur.represent.citations import resolve
from raconteur.represent.facts import Facts
from raconteur.represent.styles import Style, draw_style, written
from raconteur.train.rewards import PLATEAU, Rewards, Rollouts

NUM_STYLES = 32  # distinct styles that are tried
ROUNDS = ((256, 8), (1024, 1))  # logs on which a style is tried, and how many styles are kept


def best_style(rewards: Rewards, rollouts: Rollouts, facts: Facts, text: TextConfig, rng: np.random.Generator) -> Style:
    """The best by mean reward on the same logs, of the styles drawn from the mixture.

    One whose texts have a length outside `rewards.PLATEAU` is chosen only where all have.
    """
    styles = _distinct(rng)
    rows = [int(row) for row in rng.permutation(rollouts.discoveries())]
    for num_logs, num_kept in ROUNDS:
        tried = [_tried(style, rows[:num_logs], rewards, rollouts, facts, text) for style in styles]
        best = sorted(range(len(styles)), key=lambda number: tried[number], reverse=True)[:num_kept]
        _say([styles[number] for number in best], [tried[number].reward for number in best])
        styles = [styles[number] for number in best]
    return styles[0]


class Tried(NamedTuple):
    """Compared field by field: the right length first."""

    fits: bool
    reward: float


def _say(styles: Sequence[Style], earned: Sequence[float]) -> None:
    for style, reward in zip(styles, earned, strict=True):
        words = "  ".join(f"{name} {value}" for name, value in asdict(style).items())
        print(f"best style: {reward:.3f}  {words}", flush=True)


def _distinct(rng: np.random.Generator) -> list[Style]:
    found: dict[Style, None] = {}
    while len(found) < NUM_STYLES:
        found[draw_style(rng)] = None
    return list(found)


def _tried(
    style: Style, rows: Sequence[int], rewards: Rewards, rollouts: Rollouts, facts: Facts, text: TextConfig
) -> Tried:
    shown = [rollouts.histories[row].events[-text.max_events :] for row in rows]
    texts = [resolve(written(events, style, facts), events, facts) for events in shown]
    terms = rewards.terms(texts, rows, step=0)
    low, high = PLATEAU
    return Tried(low <= terms["ratio"].mean() <= high, float(rewards.total(terms).mean()))
