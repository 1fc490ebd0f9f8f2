"""The four-film world in a real Feast store; not in `serving_world`, so that a model server does not import Feast."""

from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from serving_world import START, catalogue

from components.features.publish import publish_narratives, publish_tables
from raconteur.config.schema import Config
from raconteur.data.dataset import EVENTS, SPLIT
from raconteur.features.build import build_features


def write_store(features):
    """A real Feast store of three users; `sure` and `torn` have a narrative, `shy` only ever looked."""
    rows = [("sure", "i1", "play"), ("torn", "i1", "play"), ("torn", "i2", "look"), ("shy", "i1", "look")]
    rows += [("fan", "i1", "play"), ("fan", "i2", "play")]
    events = pl.DataFrame(
        [
            (user, item, START + timedelta(hours=hour), kind, None, None, [], 0, kind == "play")
            for hour, (user, item, kind) in enumerate(rows)
        ],
        schema=EVENTS,
        orient="row",
    ).with_columns(pl.int_range(pl.len(), dtype=pl.Int64).over("user_id").alias("position"))
    narratives = pl.DataFrame(
        {
            "user_id": ["sure", "torn"],
            "text": ["court court", "drama"],
            "as_of": [START + timedelta(hours=12)] * 2,
            "verbalizer_version": "verbalizer-1",
            "catalogue_version": "catalogue-1",
            "num_tokens": [2, 1],
        }
    )
    with TemporaryDirectory() as folder:
        data, built = Path(folder) / "data", Path(folder) / "built"
        data.mkdir()
        events.sort("user_id", "position").write_parquet(data / "events.parquet")
        catalogue().write_parquet(data / "items.parquet")
        pl.DataFrame(schema=SPLIT).write_parquet(data / "split.parquet")
        build_features(Config(), data, built)
        publish_tables(built, features)
        narratives.write_parquet(Path(folder) / "narratives.parquet")
        publish_narratives(Path(folder), features)
