"""The page of full ranking: every part of the fused retriever, fitted twice, on the test users.

Everywhere else nothing is fitted on validation takes, since weights and thresholds are chosen by them. Published tables
of leave-one-out learn from every take but the last, so beside it stands what the same parts give then, under the
weights chosen before. Axis letters: B users.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from raconteur.config.ablation import AblateConfig
from raconteur.data.dataset import load_dataset
from raconteur.data.splits import TEST
from raconteur.evaluate.bootstrap import difference_interval
from raconteur.evaluate.full import FullRanking, rank_catalogue_at
from raconteur.retrieve.fusion import FusedRetriever
from raconteur.retrieve.load import load_retriever
from raconteur.train.ablate.machine import machine
from raconteur.train.ablate.models import Models
from raconteur.train.ablate.plan import fitting, models_of
from raconteur.train.ablate.stages import bring, spent, upstream
from raconteur.train.retrieval import Asked, asked
from raconteur.types import Retriever

Rankings = Mapping[str, Mapping[int, FullRanking]]  # by retriever and k

PAGE = "ranking.md"
K, RECALLED = 10, 100
SEQUENTIAL, FUSED = "sequential", "fused"
EXPLAINED = """\
HR@10, NDCG@10 and recall@100 over the whole catalogue, items that the user took before removed. The weights of the
fusion are those that validation takes chose. Fitted before validation: nothing has seen a validation take, as
everywhere in this project. Fitted before the test: on every take but the last, as published tables are. Intervals are
95 %, by a paired bootstrap over users.
"""


def select(ablation: AblateConfig, patterns: Sequence[str]) -> list[Models]:
    """The data sets and seeds whose name, `data/seed`, fits one of the shell patterns.

    Raises:
        ConfigError: a pattern fits none.
    """
    known = [models_of(ablation, path, seed) for path in ablation.data for seed in ablation.seeds]
    return fitting({f"{models.config.name}/{models.seed}": models for models in known}, patterns)


def describe(chosen: Sequence[Models]) -> str:
    """One line a stage: done or to do."""
    return "\n".join(
        f"{models.config.name}/{models.seed}  {one.name}: {'done' if one.done else 'to do'}"
        for models in chosen
        for one in upstream(models.retrieval_refit)
    )


def write_page(chosen: Sequence[Models], folder: Path, *, command: str) -> Path:
    """Makes what is missing, then the page in `folder`."""
    written = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    parts = [f"# Full ranking\n\nWritten {written} by `{command}` on {machine()}.\n\n{EXPLAINED.rstrip()}"]
    for models in chosen:
        parts += _section(models)
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / PAGE
    page.write_text("\n\n".join(parts) + "\n")
    return page


def _section(models: Models) -> list[str]:
    bring(models.retrieval_refit, lambda text: print(text, flush=True))
    users = asked(load_dataset(models.data.folder), TEST)
    before = rankings(models.retrieval.folder, models.sequential.folder, users)
    refitted = rankings(models.retrieval_refit.folder, models.sequential_refit.folder, users)
    minutes = spent(models.sequential_refit)["seconds"] / 60
    return [
        f"## {models.config.name}, seed {models.seed} ({len(users.truths)} users)",
        _figures(before, refitted),
        _differences({"before validation": before, "before the test": refitted}, models.seed),
        f"The sequential model before the test was trained in {minutes:.0f} minutes.",
    ]


def rankings(fused: Path, sequential: Path, users: Asked) -> Rankings:
    """What the sequential model, the parts of the fusion and the fusion itself rank."""
    whole = load_retriever(fused)
    assert isinstance(whole, FusedRetriever), f"{fused} was made by the stage of the fused retriever"
    retrievers: dict[str, Retriever] = {SEQUENTIAL: load_retriever(sequential), **whole.parts, FUSED: whole}
    return {
        name: rank_catalogue_at(one, users.taken, users.truths, seen=users.taken, ks=(K, RECALLED))
        for name, one in retrievers.items()
    }


def _figures(before: Rankings, refitted: Rankings) -> str:
    """Best part first, the fusion last."""
    names = sorted(before, key=lambda name: (name == FUSED, -before[name][K].ndcg.mean()))
    lines = [
        f"| part | HR@{K} | NDCG@{K} | recall@{RECALLED} | before the test: HR@{K} | NDCG@{K} | recall@{RECALLED} |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in names:
        figures = [
            figure
            for ranked in (before[name], refitted[name])
            for figure in (ranked[K].hit, ranked[K].ndcg, ranked[RECALLED].hit)
        ]
        lines.append(f"| {name} | {' | '.join(f'{figure.mean():.4f}' for figure in figures)} |")
    return "\n".join(lines)


def _differences(fits: Mapping[str, Rankings], seed: int) -> str:
    lines = [f"| {FUSED} − {SEQUENTIAL} | HR@{K} | NDCG@{K} |", "| --- | ---: | ---: |"]
    for fit, ranked in fits.items():
        fused, sequential = ranked[FUSED][K], ranked[SEQUENTIAL][K]
        found = [
            difference_interval(fused.hit, sequential.hit, seed=seed),
            difference_interval(fused.ndcg, sequential.ndcg, seed=seed),
        ]
        shown = [f"{one.value:+.4f} ({one.low:+.4f} to {one.high:+.4f})" for one in found]
        lines.append(f"| fitted {fit} | {' | '.join(shown)} |")
    return "\n".join(lines)
