"""The whole features step, and the part of it that starts from tables that were built before."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from components.features.materialize import materialize
from components.features.store import Online, apply
from components.features.tables import append_narratives, install_tables
from components.features.training_set import known_share, training_set
from raconteur.artifacts import new_folder
from raconteur.config.schema import Config
from raconteur.errors import DataError
from raconteur.features import names as f
from raconteur.features.build import build_features

TABLES = "tables"


def run_features(config: Config, data: Path, store: Path, out: Path) -> dict[str, float]:
    """Builds the tables, publishes them and joins the training set.

    `out` holds `tables/` (user_features, item_features, rules) and `training_set.parquet`.
    """
    with new_folder(out, kind="feature-set", config=config.model_dump(mode="json")) as folder:
        metrics = build_features(config, data, folder / TABLES)
        metrics |= publish_tables(folder / TABLES, store, online=config.features.online)
        rows = training_set(store, data)
        rows.write_parquet(folder / "training_set.parquet")
    return metrics | {"num_training_rows": float(rows.height), "known_share": known_share(rows)}


def publish_tables(built: Path, store: Path, *, online: Online = "sqlite") -> dict[str, float]:
    """Makes built tables the store's own: offline, in the registry and online."""
    install_tables(built, store)
    apply(store, online=online)
    return materialize(store)


def publish_narratives(narrated: Path, store: Path) -> dict[str, float]:
    """Adds the texts in `narrated/narratives.parquet` to the store, offline and online.

    A text that the serving path had written of later events since then stays online.

    Raises:
        DataError: the table is missing or unreadable.
    """
    path = narrated / f"{f.NARRATIVE_TABLE}.parquet"
    try:
        texts = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path} cannot be read ({error}); run the narrate step again") from None
    num_added = append_narratives(store, texts, created=datetime.now(UTC))
    return {"num_narratives": float(num_added), **materialize(store)}
