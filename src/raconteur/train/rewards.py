"""What a text earns: how well the frozen Reasoner chooses after reading it, how long it is, whether it is sound.

reward = w * choice + (1 - w) * length + v * valid, with one of three forms of choice:

- accuracy: whether the Reasoner's first choice is the item that the user took (0/1);
- probability: the probability of that item. It is the mean accuracy of a Reasoner that samples its choice, so it pays
  for the same thing with less variance;
- gain: the item's log-probability after this text, less that after the template's text of the same log, in nats.

Source of the reward's shape: "From Logs to Language" (arXiv 2602.20558), w = .9.
Axis letters: S samples, D draws of candidates, N candidates, G groups.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from raconteur import columns as c
from raconteur.config.schema import Config
from raconteur.errors import DataError
from raconteur.reason.choice import ChoiceReasoner
from raconteur.represent.mentions import mentioned
from raconteur.represent.template import TemplateVerbalizer
from raconteur.train.choice import draw_targets, histories_of
from raconteur.train.examples import NegativeSampler, TrainingLog
from raconteur.types import Event, FloatArray, History

MAX_EXAMPLES = 12_000  # takes that a Verbalizer learns from
DRAWS = 4  # candidate lists over which one text is judged
PLATEAU = (0.3, 0.7)  # length of the text over that of the template, in tokens, that earns the full reward
MIN_PROBABILITY = 1e-6  # keeps one hopeless list from deciding a mean of logarithms
EQUAL = 1e-3  # samples of a group whose choice terms lie within this are equal: no sample is better than another
_REFERENCE = re.compile(r"<e\d+>|<item:[^<>\s]+>")

Lists = Sequence[Sequence[Sequence[str]]]  # candidates [N] of each draw [D] of each sample
Terms = dict[str, FloatArray]  # by name; one value a sample


@dataclass(frozen=True)
class Rollouts:
    """What a sample is drawn from: histories, the takes that follow them, and negatives."""

    histories: Sequence[History]
    targets: pl.DataFrame
    sampler: NegativeSampler
    item_ids: tuple[str, ...]

    def discoveries(self) -> npt.NDArray[np.int64]:
        """Rows of first-time takes that something happened before.

        Raises:
            DataError: there is none.
        """
        known = np.array([bool(history.events) for history in self.histories], dtype=bool)
        rows = np.flatnonzero(known & self.targets[c.DISCOVERY].to_numpy())
        if not len(rows):
            raise DataError(
                "a Verbalizer learns from first-time takes that something happened before, and the training log holds "
                "none; check data.targets"
            )
        return rows


def draw_rollouts(log: TrainingLog, item_ids: tuple[str, ...], config: Config) -> Rollouts:
    """At most `MAX_EXAMPLES` takes of the training log; the same ones for every Verbalizer of a config and seed."""
    targets = draw_targets(log, MAX_EXAMPLES, np.random.default_rng([config.seed, 2]))
    histories = histories_of(log, targets, config.text.max_events)
    return Rollouts(histories, targets, NegativeSampler(log, item_ids), item_ids)


class Rewards:
    """Judges texts by the frozen Reasoner, which the text's writer never sees, nor its candidates."""

    def __init__(self, judge: ChoiceReasoner, rollouts: Rollouts, config: Config) -> None:
        self._judge = judge
        self._rollouts = rollouts
        self._config = config
        self._users = np.array([rollouts.sampler.users[user] for user in rollouts.targets[c.USER_ID]])
        self._truths = rollouts.targets[c.ITEM_ID].to_list()
        self._template = TemplateVerbalizer(
            judge.prompts.tokenizer,
            budget_tokens=judge.prompts.history_tokens,
            max_events=config.text.max_events,
        )
        self._log_tokens: dict[int, float] = {}  # of the template's text, by row of the rollouts
        self._step: int | None = None
        self._log_logprobs: dict[int, float] = {}  # of the true item after the template's text, in that step

    def terms(
        self, texts: Sequence[str], rows: Sequence[int], step: int, completions: Sequence[str] | None = None
    ) -> Terms:
        """Each term by itself, one value a sample; what is random follows from the seed and the step alone.

        Args:
            texts: narratives as the Reasoner reads them, citations resolved.
            rows: for each text the number of its history and target in the rollouts.
            completions: what the model wrote before resolving; None where a text cannot refer to nothing.
        """
        seed = self._config.seed
        # One set of negatives a prompt and draw, so that a group is compared on equal terms; orders differ by sample.
        lists = {row: self._draw(row, np.random.default_rng([seed, 4, step, row])) for row in dict.fromkeys(rows)}
        drawn = [lists[row] for row in rows]
        orders = _orders(drawn, np.random.default_rng([seed, 4, step]))
        chosen_SD, logprob_SD = self._judged(texts, drawn, orders)
        log_logprobs = self._measured(lists, step)
        ratio = self.ratio(texts, rows)
        return {
            "accuracy": chosen_SD.mean(axis=1),
            "probability": np.exp(logprob_SD).mean(axis=1),
            "gain": logprob_SD.mean(axis=1) - np.array([log_logprobs[row] for row in rows]),
            "length": length_plateau(ratio),
            "ratio": ratio,
            "valid": self._valid(completions, rows) if completions is not None else np.ones(len(texts)),
        }

    def ratio(self, texts: Sequence[str], rows: Sequence[int]) -> FloatArray:
        """Tokens of each text over those of the template's text of the same log."""
        new = [row for row in dict.fromkeys(rows) if row not in self._log_tokens]
        self._log_tokens |= zip(new, self._num_tokens(self._templates(new)).tolist(), strict=True)
        return self._num_tokens(texts) / np.maximum([self._log_tokens[row] for row in rows], 1)

    def total(self, terms: Terms) -> FloatArray:
        """The weighted sum, one value a sample."""
        settings = self._config.verbalizer.grpo
        weight = settings.accuracy_weight
        return weight * self.choice(terms) + (1 - weight) * terms["length"] + settings.valid_weight * terms["valid"]

    def choice(self, terms: Terms) -> FloatArray:
        """The term by which the Reasoner's choice is paid."""
        return terms[self._config.verbalizer.grpo.reward]

    def equal_groups(self, terms: Terms, group_size: int) -> npt.NDArray[np.bool_]:
        """[G]: groups whose samples the Reasoner cannot tell apart.

        Divided by its spread, as GRPO does, such a group would be driven by the length term alone: it is to be dropped.
        """
        return np.ptp(self.choice(terms).reshape(-1, group_size), axis=1) < EQUAL

    def figures(self, terms: Terms, texts: Sequence[str], group_size: int) -> dict[str, float]:
        """What a step logs: means over its samples, and what `train.collapse` watches."""
        return {
            "reward": float(self.total(terms).mean()),
            **{name: float(values.mean()) for name, values in terms.items()},
            "equal_groups": float(self.equal_groups(terms, group_size).mean()),
            "distinct": distinct_share(texts, group_size),
            "empty": float(np.mean([not text for text in texts])),
        }

    def _measured(self, lists: Mapping[int, Sequence[Sequence[str]]], step: int) -> dict[int, float]:
        """The template's texts of these rows; kept while the step lasts, in which whole styles are tried on them."""
        if step != self._step:
            self._step, self._log_logprobs = step, {}
        new = [row for row in lists if row not in self._log_logprobs]
        if new:
            seed = self._config.seed
            # Of each row by itself: whatever else is judged in the step, a row's log is measured alike.
            orders = [
                order for row in new for order in _orders([lists[row]], np.random.default_rng([seed, 4, step, row, 1]))
            ]
            _, logprob_RD = self._judged(self._templates(new), [lists[row] for row in new], orders)
            self._log_logprobs |= zip(new, logprob_RD.mean(axis=1).tolist(), strict=True)
        return self._log_logprobs

    def _templates(self, rows: Sequence[int]) -> list[str]:
        return self._template.write([self._history(row) for row in rows])

    def _draw(self, row: int, rng: np.random.Generator) -> list[list[str]]:
        """Candidate lists [D][N] of a row, the truth first."""
        num = self._config.evaluate.num_candidates - 1
        drawn_DN = self._rollouts.sampler.draw(np.repeat(self._users[row], DRAWS), num, rng)
        ids = self._rollouts.item_ids
        return [[self._truths[row], *(ids[item] for item in drawn)] for drawn in drawn_DN]

    def _judged(
        self, texts: Sequence[str], lists: Lists, orders: Sequence[npt.NDArray[np.int64]]
    ) -> tuple[FloatArray, FloatArray]:
        """[S, D] each: whether the truth, first in its list, is chosen, and its log-probability.

        The Reasoner reads every list in an order of its own, so no text can earn by the place of the truth.
        """
        flat = [candidates for draws in lists for candidates in draws]
        shuffled = [[candidates[i] for i in order] for candidates, order in zip(flat, orders, strict=True)]
        repeated = [text for text in texts for _ in range(DRAWS)]
        logprobs = _log_softmax(self._judge.score(repeated, shuffled))
        places = np.array([int(np.argmin(order)) for order in orders])
        truth = logprobs[np.arange(len(flat)), places]
        chosen = logprobs.argmax(axis=1) == places
        return chosen.reshape(-1, DRAWS).astype(float), np.maximum(truth, np.log(MIN_PROBABILITY)).reshape(-1, DRAWS)

    def _valid(self, completions: Sequence[str], rows: Sequence[int]) -> FloatArray:
        max_events = self._config.text.max_events
        pairs = zip(completions, rows, strict=True)
        return np.array([valid_share(text, self._history(row).events[-max_events:]) for text, row in pairs])

    def _history(self, row: int) -> History:
        return self._rollouts.histories[row]

    def _num_tokens(self, texts: Sequence[str]) -> FloatArray:
        return np.array([len(ids) for ids in self._judge.prompts.encode_texts(texts)], dtype=np.float64)


def _orders(lists: Lists, rng: np.random.Generator) -> list[npt.NDArray[np.int64]]:
    """An order for every list of candidates."""
    return [rng.permutation(len(candidates)) for draws in lists for candidates in draws]


def length_plateau(ratio: FloatArray) -> FloatArray:
    """1 where text/log length lies in the plateau, falling in a straight line to 0 at ratios 0 and 1.

    A hand-worked case: a ratio of .15 earns .5; .3 to .7 earn 1; .85 earns .5; 1 or more earns 0.
    """
    low, high = PLATEAU
    return np.clip(np.minimum(ratio / low, (1 - ratio) / (1 - high)), 0.0, 1.0)


def valid_share(completion: str, events: Sequence[Event]) -> float:
    """Share of a completion's citations and mentions that stand for something; 1 where it refers to nothing.

    A citation stands for an event that was shown and not cited before, a mention for an item of the shown log; what
    does not is what `citations.resolve` drops.
    """
    items = {event.item_id for event in events}
    words = _REFERENCE.findall(completion)
    sound, seen = 0, set()
    for word in words:
        if word.startswith("<item:"):
            sound += mentioned(word)[0] in items
        else:
            number = int(word[2:-1])
            sound += 1 <= number <= len(events) and number not in seen
            seen.add(number)
    return sound / len(words) if words else 1.0


def distinct_share(texts: Sequence[str], group_size: int) -> float:
    """How many of the other samples of a group differ, mean over groups: 0 where each group wrote one text, else to 1.

    A hand-worked case: groups (a, a, b) and (c, c, c) have 1/2 and 0, so .25.
    """
    groups = [texts[start : start + group_size] for start in range(0, len(texts), group_size)]
    return float(np.mean([(len(set(group)) - 1) / (group_size - 1) for group in groups]))


def _log_softmax(scores_SN: FloatArray) -> FloatArray:
    """Log-probabilities of each row, float64; a candidate that the Reasoner does not know loses to any other."""
    known_SN = np.nan_to_num(scores_SN.astype(np.float64), nan=-1e30)
    shifted_SN = known_SN - known_SN.max(axis=1, keepdims=True)
    return shifted_SN - np.log(np.exp(shifted_SN).sum(axis=1, keepdims=True))
