"""Writes what light rankers answer to the fixed lists of the test users, and what a request costs them.

The Reasoner is timed in the same turns, since milliseconds of two processes do not compare; `retrieval` is the time in
which the evidence is found, which a ranker of retrieved candidates does not spend again. Axis letters: B requests.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from pydantic import TypeAdapter

from raconteur import columns as c
from raconteur.artifacts import new_folder, verify, write_json
from raconteur.config.schema import Config
from raconteur.data.dataset import load_dataset
from raconteur.data.takes import takes_before
from raconteur.errors import DataError
from raconteur.evaluate.routing import COSTS, REASONER, Cost
from raconteur.reason.choice import ChoiceReasoner
from raconteur.reason.light import Evidence, LightRanker
from raconteur.retrieve.sequential import SequentialRetriever
from raconteur.train.ablate.texts import TEXT, TEXTS
from raconteur.train.evidence import evidence_of, load_fused
from raconteur.train.examples import choices
from raconteur.train.requests import TIMED
from raconteur.train.turns import Call, costs_in_turns
from raconteur.types import FloatArray

ANSWERS = "answers.parquet"
RETRIEVAL = "retrieval"  # among the costs


@dataclass(frozen=True)
class Answers:
    scores: Mapping[str, FloatArray]  # [B, N] of each light ranker
    costs: Mapping[str, Cost]  # theirs, and those of REASONER and RETRIEVAL


def read_answers(folder: Path, user_ids_B: Iterable[str]) -> Answers:
    """What `write_answers` wrote, in the order of these users.

    Raises:
        ArtifactError: the folder is unfinished, or a file in it was changed.
        DataError: a user was not asked.
    """
    verify(folder)
    asked = pl.DataFrame({c.USER_ID: list(user_ids_B)}, schema={c.USER_ID: pl.String})
    table = asked.join(pl.read_parquet(folder / ANSWERS), on=c.USER_ID, how="left", maintain_order="left")
    names = [name for name in table.columns if name != c.USER_ID]
    missing = table.filter(pl.any_horizontal(pl.col(names).is_null()))
    if missing.height:
        raise DataError(f"{folder} holds no answers to {missing.height} users, '{missing[c.USER_ID][0]}' first")
    costs = TypeAdapter(dict[str, Cost]).validate_json((folder / COSTS).read_text())
    return Answers({name: np.array(table[name].to_list()) for name in names}, costs)


def write_answers(
    config: Config,
    data: Path,
    retriever: Path,
    sequential: Path,
    reasoner: Path,
    texts: Path,
    lights: Mapping[str, Path],
    out: Path,
) -> dict[str, float]:
    """Writes `answers.parquet` (user_id and the scores of each light ranker) and `costs.json`; returns milliseconds.

    Args:
        texts: folder of `ablate.texts`, with the texts that the Reasoner is tuned on.
        lights: folders by name.
    """
    dataset = load_dataset(data)
    rows = choices(dataset, "test", config.evaluate.negatives[0]).join(
        pl.read_parquet(texts / TEXTS), on=c.USER_ID, how="left", maintain_order="left"
    )
    taken, read, candidates = takes_before(dataset.events, rows), rows[TEXT].to_list(), rows[c.CANDIDATES].to_list()
    fused, states = load_fused(retriever), SequentialRetriever.load(sequential)
    known = evidence_of(fused, states, taken, candidates)
    teacher = ChoiceReasoner.load(reasoner)
    rankers = {name: LightRanker.load(folder) for name, folder in lights.items()}
    answers = {name: ranker.score(read, candidates, known).tolist() for name, ranker in rankers.items()}
    calls: dict[str, Call] = {
        RETRIEVAL: lambda asked: evidence_of(fused, states, taken[asked], candidates[asked]),
        REASONER: lambda asked: teacher.score(read[asked], candidates[asked]),
    }
    for name, ranker in rankers.items():
        calls[name] = _light_call(ranker, read, candidates, known)
    costs = costs_in_turns(calls, min(TIMED, rows.height))
    num_tokens = float(np.mean([len(ids) for ids in teacher.prompts.encode_texts(read)]))
    costs |= {name: replace(costs[name], tokens=num_tokens) for name in rankers}
    with new_folder(out, kind="answers", config=config.model_dump(mode="json")) as folder:
        scores = [pl.Series(name, lists, dtype=pl.List(pl.Float32)) for name, lists in answers.items()]
        rows.select(c.USER_ID).with_columns(*scores).write_parquet(folder / ANSWERS)
        write_json(folder / COSTS, {name: asdict(cost) for name, cost in costs.items()})
    return {f"{name}_ms": cost.ms for name, cost in costs.items()}


def _light_call(ranker: LightRanker, read: Sequence[str], candidates: Sequence[Sequence[str]], known: Evidence) -> Call:
    return lambda asked: ranker.score(read[asked], candidates[asked], known[asked])
