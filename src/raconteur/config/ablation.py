"""The settings of `raconteur ablate`: which cells the table has.

The data sets are ordinary config files; an ablation names them and what is crossed over them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, ValidationError, model_validator

from raconteur.config.load import load, read_toml
from raconteur.config.schema import Config, Settings
from raconteur.errors import ConfigError

VerbalizerName = Literal["template", "clean", "zero-shot", "action", "rewrite", "rewrite-2"]
ReasonerName = Literal["frozen", "raw", "own", "linked"]
NegativeKind = Literal["popularity", "retrieved", "uniform"]
EXAMPLE = "configs/ablation-quick.toml"
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]


class Variant(Settings):
    """Cells under other settings, compared with the main ones on the first seed."""

    name: Name
    set: tuple[str, ...] = ()  # overrides, section.key=value, of every stage
    tune: tuple[str, ...] = ()  # overrides of stage 2 alone: the frozen Reasoner and the texts stay the main ones
    verbalizers: tuple[VerbalizerName, ...] = ("template",)
    reasoners: tuple[ReasonerName, ...] = ("frozen",)


class AblateConfig(Settings):
    """The table: data x seeds x Verbalizers x Reasoners, and named variants of it."""

    name: Name
    workdir: Path  # stages, cells and the report
    data: tuple[Path, ...] = Field(min_length=1)  # config files; relative ones from this file's folder
    seeds: tuple[NonNegativeInt, ...] = Field((0,), min_length=1)  # of the models; the data are prepared once
    verbalizers: tuple[VerbalizerName, ...] = ("template", "clean", "zero-shot", "action", "rewrite")
    # Untuned; tuned on the template's text; on that text; and then with retrieval beside it.
    reasoners: tuple[ReasonerName, ...] = ("frozen", "raw", "own", "linked")
    negatives: tuple[NegativeKind, ...] = Field(("popularity", "retrieved", "uniform"), min_length=1)
    controls: bool = True  # also measure every cell on the texts of other users
    set: tuple[str, ...] = ()  # overrides of every data set's config
    variants: tuple[Variant, ...] = ()

    @model_validator(mode="after")
    def _variants_are_told_apart(self) -> Self:
        names = [variant.name for variant in self.variants]
        if len(set(names)) < len(names):
            raise ValueError(f"two variants have the same name; got {', '.join(names)}")
        return self


def load_ablation(path: Path, overrides: Sequence[str] = ()) -> AblateConfig:
    """Reads the `[ablation]` of a TOML file; overrides apply to every data set, after the file's own.

    Raises:
        ConfigError: the file is missing, no TOML, or a setting is refused.
    """
    found = read_toml(path, example=EXAMPLE)
    try:
        config = AblateConfig.model_validate(found["ablation"])
    except KeyError:
        raise ConfigError(f"config file {path} has no [ablation]; see {EXAMPLE}") from None
    except ValidationError as error:
        raise ConfigError(f"config file {path}: {_first(error)}") from None
    return config.model_copy(
        update={"data": tuple(path.parent / data for data in config.data), "set": (*config.set, *overrides)}
    )


def data_config(ablation: AblateConfig, data: Path, overrides: Sequence[str] = ()) -> Config:
    """One data set's config under this ablation: its overrides and its kinds of negatives.

    Raises:
        ConfigError: the file or an override is refused.
    """
    negatives = f"evaluate.negatives={list(ablation.negatives)}"
    return load([data], [negatives, *ablation.set, *overrides])


def _first(error: ValidationError) -> str:
    issue = error.errors()[0]
    place = ".".join(["ablation", *(str(part) for part in issue["loc"])])
    message = "unknown setting" if issue["type"] == "extra_forbidden" else issue["msg"].removeprefix("Value error, ")
    return f"{place}: {message}"
