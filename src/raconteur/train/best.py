"""Which ways of writing the frozen Reasoner reads best: rejection sampling, a whole style at a time.

Choosing the best of a few texts of one log would mostly choose by luck of the draw; the mean over many logs does not.
Styles that come near each other differ by less than the noise of a few hundred logs, so the better ones are tried again
on more.
"""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from raconteur.config.schema import TextConfig
from raconteur.represent.citations import resolve
from raconteur.represent.facts import Facts
from raconteur.represent.styles import Style, draw_style, written
from raconteur.train.rewards import Rewards, Rollouts

NUM_STYLES = 32  # distinct styles that are tried
ROUNDS = ((256, 8), (1024, 2))  # logs on which a style is tried, and how many styles are kept


def best_styles(
    rewards: Rewards, rollouts: Rollouts, facts: Facts, text: TextConfig, rng: np.random.Generator
) -> list[Style]:
    """The best of the styles drawn from the mixture by mean reward on the same logs, best first."""
    styles = _distinct(rng)
    rows = [int(row) for row in rng.permutation(rollouts.discoveries())]
    for num_logs, num_kept in ROUNDS:
        earned = [_mean_reward(style, rows[:num_logs], rewards, rollouts, facts, text) for style in styles]
        best = np.argsort(earned)[::-1][:num_kept]
        _say([styles[number] for number in best], [earned[number] for number in best], float(np.mean(earned)))
        styles = [styles[number] for number in best]
    return styles


def _say(styles: Sequence[Style], earned: Sequence[float], mean: float) -> None:
    for style, reward in zip(styles, earned, strict=True):
        words = "  ".join(f"{name} {value}" for name, value in asdict(style).items())
        print(f"best styles: {reward:.3f}  {words}", flush=True)
    print(f"best styles: mean of all {mean:.3f}", flush=True)


def _distinct(rng: np.random.Generator) -> list[Style]:
    found: dict[Style, None] = {}
    while len(found) < NUM_STYLES:
        found[draw_style(rng)] = None
    return list(found)


def _mean_reward(
    style: Style, rows: Sequence[int], rewards: Rewards, rollouts: Rollouts, facts: Facts, text: TextConfig
) -> float:
    shown = [rollouts.histories[row].events[-text.max_events :] for row in rows]
    texts = [resolve(written(events, style, facts), events, facts) for events in shown]
    return float(rewards.total(rewards.terms(texts, rows, step=0)).mean())
