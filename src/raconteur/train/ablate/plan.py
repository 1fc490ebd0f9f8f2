"""The cells of an ablation, in the order in which they are run, and the stages behind each.

A cell is named `data/seed/verbalizer/reasoner`, the baselines of a data set and seed `data/seed/baselines`, and a
variant's cell by its name behind: `world/0/template/own/pointwise`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

from raconteur.config.ablation import AblateConfig, data_config
from raconteur.config.schema import Config
from raconteur.errors import ConfigError
from raconteur.train.ablate.models import Models
from raconteur.train.ablate.stages import Stage, spent, stage, upstream

BASELINES = "baselines"
NAMES_SHOWN = 6
Named = TypeVar("Named")
MAIN = ""  # the variant of the cells that are compared with all others


@dataclass(frozen=True)
class Cell:
    """One line of the table, or the baselines.

    Attributes:
        verbalizer: empty for the baselines.
        reasoner: `frozen`, `raw`, `own`, `linked`, or `BASELINES`.
        variant: `MAIN`, or the name of other settings.
        config: of the data set, with the variant's overrides.
    """

    data: str
    seed: int
    verbalizer: str
    reasoner: str
    variant: str
    config: Config
    stage: Stage

    @property
    def name(self) -> str:
        parts = (self.data, str(self.seed), self.verbalizer, self.reasoner, self.variant)
        return "/".join(part for part in parts if part)


def plan(ablation: AblateConfig) -> list[Cell]:
    """All cells, a seed after another; two that would be the same (`raw` and `own` on the template) are one.

    Raises:
        ConfigError: a data set's config is refused, or two have the same name.
    """
    _names_differ([data_config(ablation, path).name for path in ablation.data])
    cells: dict[Path, Cell] = {}
    for seed in ablation.seeds:
        for path in ablation.data:
            for cell in _cells_of(ablation, path, seed):
                cells.setdefault(cell.stage.folder, cell)
    return list(cells.values())


def select(cells: Sequence[Cell], patterns: Sequence[str]) -> list[Cell]:
    """The cells whose name fits one of the shell patterns; all of them if there is no pattern.

    Raises:
        ConfigError: a pattern fits none.
    """
    return fitting({cell.name: cell for cell in cells}, patterns or ["*"])


def fitting(named: Mapping[str, Named], patterns: Sequence[str]) -> list[Named]:
    """What has a name that fits one of the shell patterns.

    Raises:
        ConfigError: a pattern fits none.
    """
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in named):
            shown = ", ".join(list(named)[:NAMES_SHOWN]) + (" ..." if len(named) > NAMES_SHOWN else "")
            raise ConfigError(f"nothing fits '{pattern}'; there are {shown} (see --dry-run)")
    return [one for name, one in named.items() if any(fnmatchcase(name, pattern) for pattern in patterns)]


def describe(cells: Sequence[Cell]) -> str:
    """One line a cell: done, or which stages behind it are there and which have to be made."""
    width = max((len(cell.name) for cell in cells), default=0)
    return "\n".join(f"{cell.name:<{width}}  {_state(cell)}" for cell in cells)


def _state(cell: Cell) -> str:
    if cell.stage.done:
        return "done"
    behind = upstream(cell.stage)[:-1]
    cached = [step.name for step in behind if step.done]
    missing = [step.name for step in behind if not step.done]
    parts = [("cached: " + ", ".join(cached)) if cached else "", "to do: " + ", ".join([*missing, "evaluate"])]
    return "; ".join(part for part in parts if part)


def _cells_of(ablation: AblateConfig, path: Path, seed: int) -> list[Cell]:
    main = models_of(ablation, path, seed)
    cells = [_baselines(main)]
    crossed = [(reasoner, name) for reasoner in ablation.reasoners for name in ablation.verbalizers]
    cells += [_cell(ablation, main, verbalizer, reasoner, MAIN) for reasoner, verbalizer in crossed]
    for variant in ablation.variants if seed == ablation.seeds[0] else ():
        models = models_of(ablation, path, seed, variant.set, variant.tune)
        crossed = [(reasoner, name) for reasoner in variant.reasoners for name in variant.verbalizers]
        cells += [_cell(ablation, models, verbalizer, reasoner, variant.name) for reasoner, verbalizer in crossed]
    return cells


def models_of(
    ablation: AblateConfig, path: Path, seed: int, overrides: Sequence[str] = (), tune: Sequence[str] = ()
) -> Models:
    """The stages of a data set and seed.

    Args:
        overrides: settings of all stages.
        tune: settings of stage 2 alone.
    """
    config = data_config(ablation, path, overrides)
    tuning = data_config(ablation, path, [*overrides, *tune])
    return Models(config, tuning, seed, (ablation.workdir / config.name).resolve())


def _cell(ablation: AblateConfig, models: Models, verbalizer: str, reasoner: str, variant: str) -> Cell:
    config, judge, texts = models.config, models.tuned(reasoner, verbalizer), models.texts(verbalizer)
    needs = (models.data, judge, texts)
    about = {
        "data": config.name,
        "seed": models.seed,
        "verbalizer": verbalizer,
        "reasoner": reasoner,
        "variant": variant,
    }

    def run(out: Path, _checkpoints: Path) -> object:
        from raconteur.train.ablate.cells import evaluate_cell

        folders = (models.data.folder, judge.folder, texts.folder, out)
        return evaluate_cell(config, *folders, controls=ablation.controls, about=about | _spent(needs))

    settings = {**_slices(config), "controls": ablation.controls}
    made = stage("cell", models.root / "cells", settings, needs, run)
    return Cell(config.name, models.seed, verbalizer, reasoner, variant, config, made)


def _baselines(models: Models) -> Cell:
    config, needs = models.config, (models.data, models.sequential)
    about = {"data": config.name, "seed": models.seed, "reasoner": BASELINES}

    def run(out: Path, _checkpoints: Path) -> object:
        from raconteur.train.ablate.cells import evaluate_baselines

        world = Path(config.data.path) if config.data.path else models.workdir / "world"
        folders = (models.data.folder, models.sequential.folder, world, out)
        return evaluate_baselines(config, *folders, about=about | _spent(needs))

    made = stage(BASELINES, models.root / "cells", _slices(config), needs, run)
    return Cell(config.name, models.seed, "", BASELINES, MAIN, config, made)


def _slices(config: Config) -> dict[str, Any]:
    return config.evaluate.model_dump(include={"cold_targets", "tail_share"})


def _spent(needs: Sequence[Stage]) -> dict[str, Any]:
    """What every stage behind a cell took, by the name of its folder."""
    return {"spent": {step.folder.name: spent(step) for need in needs for step in upstream(need)}}


def _names_differ(names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"two data sets of the ablation are called {', '.join(twice)}; change `name` in one config")
