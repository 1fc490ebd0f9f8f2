"""The features of a real log: counts follow from the position of the row, and the rules are those of prepare."""

from pathlib import Path

import polars as pl
import pytest

from raconteur.config.schema import Config
from raconteur.data.prepare import prepare
from raconteur.features.build import build_features
from raconteur.features.moments import with_target_moments
from raconteur.features.rules import Rules

LOG = Path(__file__).parents[3].parent / "shared" / "data" / "ml-latest-small"


@pytest.mark.shared
def test_features_of_movielens_agree_with_the_split(tmp_path):
    if not LOG.is_dir():
        pytest.skip(f"{LOG} is not here; the real logs are optional")
    settings = {"layout": "movielens", "path": str(LOG), "targets": ["rating"], "min_value": 3.0}
    config = Config.model_validate({"workdir": tmp_path, "data": settings})
    prepare(config, tmp_path / "data")
    metrics = build_features(config, tmp_path / "data", tmp_path / "out")
    events, split = (pl.read_parquet(tmp_path / "data" / f"{name}.parquet") for name in ("events", "split"))

    takes = [Rules.of(config).takes(kind, value) for kind, value in events.select("event_type", "value").iter_rows()]
    assert takes == events["is_target"].to_list()
    users = pl.read_parquet(tmp_path / "out" / "user_features.parquet")
    before = with_target_moments(split, events).join(users, on=["user_id", "event_timestamp"], suffix="_then")
    assert before.height == split.height
    assert before["num_events"].equals(before["position"])
    assert before["num_targets_then"].equals(before["num_targets"])
    assert metrics["num_users"] == events["user_id"].n_unique()
