import polars as pl
import pytest

from raconteur.artifacts import verify
from raconteur.config.schema import Config
from raconteur.errors import DataError
from raconteur.features.build import build_features, latest
from raconteur.features.rules import Rules, load_rules


@pytest.fixture
def config() -> Config:
    return Config.model_validate({"data": {"targets": ["play"], "min_value": 10.0}})


@pytest.fixture
def data(tmp_path, events, items, split):
    folder = tmp_path / "data"
    folder.mkdir()
    for name, table in {"events": events, "items": items, "split": split}.items():
        table.write_parquet(folder / f"{name}.parquet")
    return folder


def test_build_features_writes_a_sealed_folder(config, data, tmp_path):
    metrics = build_features(config, data, tmp_path / "out")
    assert metrics["num_users"] == 2
    assert metrics["num_user_rows"] == 4
    assert metrics["mean_num_events"] == 3.5
    assert set(verify(tmp_path / "out")["files"]) == {
        "user_features.parquet",
        "item_features.parquet",
        "rules.json",
    }


def test_build_features_rules_are_those_of_the_config(config, data, tmp_path):
    build_features(config, data, tmp_path / "out")
    assert load_rules(tmp_path / "out") == Rules.of(config)


def test_build_features_without_events_says_what_to_do(config, data, events, tmp_path):
    events.clear().write_parquet(data / "events.parquet")
    with pytest.raises(DataError, match="no event"):
        build_features(config, data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_build_features_without_a_table_names_it(config, data, tmp_path):
    (data / "split.parquet").unlink()
    with pytest.raises(DataError, match=r"split\.parquet cannot be read"):
        build_features(config, data, tmp_path / "out")


def test_load_rules_malformed_is_refused(tmp_path):
    (tmp_path / "rules.json").write_text('{"targets": 3}')
    with pytest.raises(DataError, match="run the features step again"):
        load_rules(tmp_path)


def test_latest_prefers_the_last_computation_then_the_latest_moment():
    table = pl.DataFrame({"user_id": ["u"] * 3, "event_timestamp": [9, 1, 2], "created": [0, 1, 1]})
    assert latest(table, "user_id")["event_timestamp"].to_list() == [2]
