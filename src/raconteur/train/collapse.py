"""Tells from the curves of a training by rewards whether the writer has collapsed; means over a window of steps.

Why each can happen: a policy gradient may find a text that always earns a little (one text for everybody, nothing, or
words until the limit), or run away from the language that it was started with.
"""

from collections.abc import Mapping, Sequence

import numpy as np

WINDOW = 10  # steps
FALL = 4.0  # standard errors of the difference by which the reward's newest window lies under its first
MIN_FALL = 0.02  # of the reward; less is never a fall
MAX_SHARE = 0.9  # of texts that are empty, or end at the limit
MIN_DISTINCT = 0.1  # of the other samples of a group that differ


def collapsed(curves: Mapping[str, Sequence[float]], max_kl: float) -> str | None:
    """The reason for which training should stop, or None.

    Args:
        curves: a value a step of reward, and of those of empty, at_limit, distinct, kl that are known.
        max_kl: nats a token from the start.
    """
    if len(curves["reward"]) < WINDOW:
        return None
    recent = {name: float(np.mean(values[-WINDOW:])) for name, values in curves.items()}
    reasons = {
        f"{recent.get('empty', 0):.0%} of the texts are empty": recent.get("empty", 0) > MAX_SHARE,
        f"{recent.get('at_limit', 0):.0%} of the texts end at the limit": recent.get("at_limit", 0) > MAX_SHARE,
        f"the samples of a prompt are alike ({recent.get('distinct', 1):.0%} differ)": recent.get("distinct", 1)
        < MIN_DISTINCT,
        f"the KL to the start is {recent.get('kl', 0):.2f} nats a token": recent.get("kl", 0) > max_kl,
        f"the reward fell to {recent['reward']:.3f} from {np.mean(curves['reward'][:WINDOW]):.3f}": _fell(
            curves["reward"]
        ),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _fell(rewards: Sequence[float]) -> bool:
    if len(rewards) < 2 * WINDOW:
        return False
    first, newest = np.array(rewards[:WINDOW]), np.array(rewards[-WINDOW:])
    error = np.sqrt((first.var(ddof=1) + newest.var(ddof=1)) / WINDOW)
    return bool(first.mean() - newest.mean() > max(FALL * error, MIN_FALL))
