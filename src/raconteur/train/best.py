"""Which way of writing the frozen Reasoner reads best: rejection sampling, a whole style at a time.

Choosing the best of a few texts of one log would mostly choose by luck of the draw; the mean over many logs does not.
Styles that come near each other differ by less than the noise of a few hundred logs, so the better ones are tried again
on more. Length is asked of a style before it is tried: its part of the reward is too small to turn the choice. One
style is learned, not the best few: a writer of two cannot tell which is wanted, and mixes them.
"""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import compress

import numpy as np

from raconteur.config.schema import TextConfig
from raconteur.represent.facts import Facts
from raconteur.represent.styles import Style, StyleVerbalizer, all_styles
from raconteur.train.rewards import PLATEAU, Rewards, Rollouts

LENGTH_LOGS = 256  # logs on which a style's length is measured
ROUNDS = ((64, 16), (256, 4), (1024, 1))  # logs on which a style is tried, and how many styles are kept


def best_style(rewards: Rewards, rollouts: Rollouts, facts: Facts, text: TextConfig, rng: np.random.Generator) -> Style:
    """The best read on the same logs, of the styles of the mixture whose texts have a mean length in the plateau.

    Where none has, all styles are tried.
    """
    rows = [int(row) for row in rng.permutation(rollouts.discoveries())]

    def texts(style: Style, num_logs: int) -> list[str]:
        writer = StyleVerbalizer(style, facts, max_events=text.max_events)
        return writer.write([rollouts.histories[row] for row in rows[:num_logs]])

    # Styles that write the same texts are one.
    distinct = {tuple(texts(style, LENGTH_LOGS)): style for style in all_styles()}
    low, high = PLATEAU
    fits = [low <= rewards.ratio(same, rows[:LENGTH_LOGS]).mean() <= high for same in distinct]
    styles = list(compress(distinct.values(), fits)) or list(distinct.values())
    for num_logs, num_kept in ROUNDS:
        read = [_read(rewards, texts(style, num_logs), rows[:num_logs]) for style in styles]
        best = sorted(range(len(styles)), key=read.__getitem__, reverse=True)[:num_kept]
        styles = [styles[number] for number in best]
        _say(styles, [read[number] for number in best])
    return styles[0]


def _read(rewards: Rewards, texts: Sequence[str], rows: Sequence[int]) -> float:
    return float(rewards.choice(rewards.terms(texts, rows, step=0)).mean())


def _say(styles: Sequence[Style], read: Sequence[float]) -> None:
    for style, value in zip(styles, read, strict=True):
        words = "  ".join(f"{name} {setting}" for name, setting in asdict(style).items())
        print(f"best style: {value:.3f}  {words}", flush=True)
