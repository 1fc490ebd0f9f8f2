"""What every ranker does to a question before it is asked, and to an answer before it is believed."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from raconteur.errors import ServingError
from raconteur.types import FloatArray
from serving.protocol import MAX_TEXT_CHARS

MAX_VERSION_CHARS = 200


def readable(text: str, candidates: Sequence[str]) -> tuple[str, list[str]]:
    """Text and ids as UTF-8 holds them, the newest end of a long text kept.

    Raises:
        ServingError: nothing is to be ranked.
    """
    if not candidates:
        raise ServingError("there are no candidates to rank; ask about one at least")
    return _valid(text[-MAX_TEXT_CHARS:]), [_valid(item_id) for item_id in candidates]


def checked_scores(scores: npt.ArrayLike, unknown_N: npt.NDArray[np.bool_], *, name: str) -> FloatArray:
    """
    Args:
        scores: one number a candidate, in order.
        unknown_N: the candidates that the model does not know; their numbers mean nothing.

    Returns:
        float32 [N], NaN where unknown.

    Raises:
        ServingError: another number of them, or a known item's score is not finite.
    """
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, which is refused
        scores_N = np.array(scores, dtype=np.float32)
    if scores_N.shape != unknown_N.shape:
        raise ServingError(f"{name} answered scores of shape {scores_N.shape}; expected {unknown_N.shape}")
    scores_N[unknown_N] = np.nan
    odd_N = ~np.isfinite(scores_N) & ~unknown_N
    if odd_N.any():
        place = int(odd_N.argmax())
        raise ServingError(f"{name} scored candidate {place} as {scores_N[place]}; expected a finite number")
    return scores_N


def _valid(text: str) -> str:
    """Half a surrogate pair, which JSON can smuggle in, is no text that a tokenizer or a server takes."""
    return text.encode("utf-8", "replace").decode("utf-8")
