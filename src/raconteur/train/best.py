"""Which ways of writing the frozen Reasoner reads best: rejection sampling, a whole style at a time.

Choosing the best of a few texts of one log would mostly choose by luck of the draw; the mean over many logs does not.
"""

from dataclasses import asdict

import numpy as np

from raconteur.config.schema import TextConfig
from raconteur.represent.citations import resolve
from raconteur.represent.facts import Facts
from raconteur.represent.styles import Style, draw_style, written
from raconteur.train.rewards import Rewards, Rollouts

NUM_STYLES = 32  # distinct styles that are tried
NUM_LOGS = 256  # logs on which each of them is tried
KEPT_SHARE = 0.125


def best_styles(
    rewards: Rewards, rollouts: Rollouts, facts: Facts, text: TextConfig, rng: np.random.Generator
) -> list[Style]:
    """The best eighth of the styles drawn from the mixture by mean reward on the same logs, best first."""
    styles = _distinct(rng)
    rows = [int(row) for row in rng.permutation(rollouts.discoveries())[:NUM_LOGS]]
    earned = [_mean_reward(style, rows, rewards, rollouts, facts, text) for style in styles]
    best = np.argsort(earned)[::-1][: max(1, round(KEPT_SHARE * len(styles)))]
    for number in best:
        words = "  ".join(f"{name} {value}" for name, value in asdict(styles[number]).items())
        print(f"best styles: {earned[number]:.3f}  {words}", flush=True)
    print(f"best styles: mean of all {np.mean(earned):.3f}", flush=True)
    return [styles[number] for number in best]


def _distinct(rng: np.random.Generator) -> list[Style]:
    found: dict[Style, None] = {}
    while len(found) < NUM_STYLES:
        found[draw_style(rng)] = None
    return list(found)


def _mean_reward(
    style: Style, rows: list[int], rewards: Rewards, rollouts: Rollouts, facts: Facts, text: TextConfig
) -> float:
    shown = [rollouts.histories[row].events[-text.max_events :] for row in rows]
    texts = [resolve(written(events, style, facts), events, facts) for events in shown]
    return float(rewards.total(rewards.terms(texts, rows, step=0)).mean())
