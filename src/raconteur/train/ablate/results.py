"""Gathers the finished cells of one data set and averages each user's outcomes over the seeds.

The unit of all intervals is the user: a user's outcome is the mean over the seeds, and users are resampled.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from raconteur import columns as c
from raconteur.errors import ArtifactError
from raconteur.evaluate.arms import ORACLE
from raconteur.evaluate.bootstrap import Interval, difference_interval, mean_interval, relative_interval
from raconteur.evaluate.choice import ALL, COLD, DISCOVERY, TAIL
from raconteur.train.ablate.cells import CELL, OUTCOMES_FILE, OWN
from raconteur.train.ablate.plan import BASELINES, Cell
from raconteur.train.ablate.stages import check, spent

METRICS = ("recall", "ndcg", "mrr")
GENERATED = ("zero-shot", "rewrite", "rewrite-2")  # Verbalizers that write their text token by token
TITLES = {"clean": "template-clean"}


@dataclass(frozen=True)
class Results:
    """One data set's finished cells.

    Attributes:
        outcomes: columns of `cells.OUTCOMES`, with arms as the table calls them, and `seed`.
        costs: one row an arm and seed: tokens_in, tokens_out, ms, seconds, resumed.
        facts: what each finished cell's `cell.json` holds, the `cell`, and the `title` of its arm.
        baselines: arms that read no text and do not know the truth.
    """

    data: str
    outcomes: pl.DataFrame
    costs: pl.DataFrame
    facts: list[dict[str, Any]]
    baselines: list[str]
    num_resamples: int

    @property
    def arms(self) -> list[str]:
        return list(self.outcomes["arm"].unique(maintain_order=True))

    @property
    def negatives(self) -> list[str]:
        return list(self.outcomes[c.NEGATIVES].unique(maintain_order=True))

    def seeds(self, arm: str) -> set[int]:
        return set(self.outcomes.filter(pl.col("arm") == arm)["seed"])

    def users(self, arm: str, negatives: str, slice_name: str, seeds: set[int]) -> pl.DataFrame:
        """Mean outcomes over the seeds, one row a user of the slice, by user."""
        wanted = (pl.col("arm") == arm) & (pl.col(c.NEGATIVES) == negatives) & pl.col("seed").is_in(list(seeds))
        inside = pl.lit(True) if slice_name == ALL else pl.col(slice_name)
        rows = self.outcomes.filter(wanted, inside)
        return rows.group_by(c.USER_ID).agg(pl.col(METRICS).mean()).sort(c.USER_ID)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    arm: str
    num_users: int
    num_seeds: int
    recall: Interval
    spread: tuple[float, float]  # lowest and highest Recall@1 of a seed
    ndcg: float
    mrr: float
    slices: dict[str, float | None]  # Recall@1
    cost: dict[str, Any]


@dataclass(frozen=True)
class Paired:
    """Recall@1 of an arm less that of its base on the same users and seeds; relative is None over a base of 0."""

    arm: str
    base: str
    slice_name: str
    difference: Interval
    relative: Interval | None


def damaged(cells: Sequence[Cell]) -> dict[str, str]:
    """Finished cells whose files were changed or cut short since, by name, with what to do about each."""
    found = {}
    for cell in cells:
        if cell.stage.done:
            try:
                check(cell.stage)
            except ArtifactError as error:
                found[cell.name] = str(error)
    return found


def gather(cells: Sequence[Cell]) -> list[Results]:
    """The finished ones among the cells, a data set after another."""
    done = [cell for cell in cells if cell.stage.done]
    names = dict.fromkeys(cell.data for cell in done)
    return [_results(name, [cell for cell in done if cell.data == name]) for name in names]


def table(results: Results, negatives: str) -> list[Row]:
    return [row for arm in results.arms if (row := _row(results, arm, negatives)) is not None]


def paired(results: Results, arm: str, base: str, negatives: str, slice_name: str) -> Paired | None:
    """None where one of the arms was not run, the slice is empty, or the arms share no seed or not their users."""
    seeds = results.seeds(arm) & results.seeds(base)
    of_arm, of_base = (results.users(name, negatives, slice_name, seeds) for name in (arm, base))
    if of_arm.is_empty() or not of_arm[c.USER_ID].equals(of_base[c.USER_ID]):
        return None
    arm_U, base_U = of_arm["recall"].to_numpy(), of_base["recall"].to_numpy()
    resamples = {"num_resamples": results.num_resamples}
    relative = relative_interval(arm_U, base_U, **resamples) if base_U.mean() > 0 else None
    return Paired(arm, base, slice_name, difference_interval(arm_U, base_U, **resamples), relative)


def best_baseline(results: Results, negatives: str, slice_name: str) -> str | None:
    """The baseline with the highest Recall@1 on the test itself, which favours it."""
    means = {arm: recall_on(results, arm, negatives, slice_name) for arm in results.baselines}
    known = {arm: mean for arm, mean in means.items() if mean is not None}
    return max(known, key=lambda arm: known[arm]) if known else None


def recall_on(results: Results, arm: str, negatives: str, slice_name: str) -> float | None:
    """Recall@1; None over a slice without users."""
    users = results.users(arm, negatives, slice_name, results.seeds(arm))
    return _mean(users, "recall") if users.height else None


def arm_title(verbalizer: str, reasoner: str, variant: str, arm: str = OWN) -> str:
    """`own + template-clean (pointwise), shuffled user`."""
    title = f"{reasoner} + {TITLES.get(verbalizer, verbalizer)}"
    return title + (f" ({variant})" if variant else "") + ("" if arm == OWN else f", {arm}")


def _results(name: str, cells: Sequence[Cell]) -> Results:
    outcomes, costs, facts = [], [], []
    for cell in cells:
        about = json.loads((cell.stage.folder / CELL).read_text())
        about["spent"][cell.stage.folder.name] = spent(cell.stage)
        frame = pl.read_parquet(cell.stage.folder / OUTCOMES_FILE)
        titles = {arm: _title(cell, arm) for arm in frame["arm"].unique(maintain_order=True)}
        outcomes.append(frame.with_columns(pl.col("arm").replace_strict(titles), pl.lit(cell.seed).alias("seed")))
        costs += [{"arm": title, "seed": cell.seed, **_cost(cell, about, arm)} for arm, title in titles.items()]
        facts.append(about | {"cell": cell, "title": titles.get(OWN)})
    all_outcomes, all_costs = pl.concat(outcomes), pl.DataFrame(costs, infer_schema_length=None)
    reading = {row["arm"] for row in costs if row["tokens_in"] is not None}
    arms = all_outcomes["arm"].unique(maintain_order=True)
    classical = [arm for arm in arms if arm not in reading and arm != ORACLE]
    return Results(name, all_outcomes, all_costs, facts, classical, cells[0].config.evaluate.num_bootstrap)


def _title(cell: Cell, arm: str) -> str:
    return arm if cell.reasoner == BASELINES else arm_title(cell.verbalizer, cell.reasoner, cell.variant, arm)


def _cost(cell: Cell, about: dict[str, Any], arm: str) -> dict[str, Any]:
    """Tokens and CPU milliseconds a user, and the seconds of all stages that the arm is made from."""
    cost, texts = about["arms"].get(arm, {}), about.get("texts")
    behind = list(about["spent"].values())
    if texts is None:
        trained = ("data", "sequential") if arm.startswith("sequential") else ("data",)
        behind = [step for step in behind if step["stage"] in trained]
        known = {"tokens_in": None, "tokens_out": None, "ms": cost.get("ms_per_user")}
    else:
        written = texts["tokens"] if cell.verbalizer in GENERATED else 0.0
        read_ms = cost["ms_per_user"] + texts["ms_per_user"]
        known = {"tokens_in": cost["tokens_in"], "tokens_out": written, "ms": read_ms}
    seconds = float(sum(step["seconds"] for step in behind))
    return {**known, "seconds": seconds, "resumed": any(step["resumed"] for step in behind)}


def _row(results: Results, arm: str, negatives: str) -> Row | None:
    seeds = results.seeds(arm)
    users = results.users(arm, negatives, ALL, seeds)
    if users.is_empty():
        return None
    by_seed = [_mean(results.users(arm, negatives, ALL, {seed}), "recall") for seed in seeds]
    return Row(
        arm=arm,
        num_users=users.height,
        num_seeds=len(seeds),
        recall=mean_interval(users["recall"].to_numpy(), num_resamples=results.num_resamples),
        spread=(min(by_seed), max(by_seed)),
        ndcg=_mean(users, "ndcg"),
        mrr=_mean(users, "mrr"),
        slices={name: recall_on(results, arm, negatives, name) for name in (DISCOVERY, COLD, TAIL)},
        cost=_mean_cost(results.costs.filter(pl.col("arm") == arm)),
    )


def _mean(users: pl.DataFrame, metric: str) -> float:
    return float(users[metric].to_numpy().mean())


def _mean_cost(costs: pl.DataFrame) -> dict[str, Any]:
    means = costs.select("tokens_in", "tokens_out", "ms", "seconds").mean().row(0, named=True)
    return {**means, "resumed": bool(costs["resumed"].any())}
