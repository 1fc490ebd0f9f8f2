"""The component as Kubeflow would call it, on real artefacts; what it publishes is tested in tests/feature_repo."""

import json
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from kfp import dsl

from components.features.component import features
from components.narrate.component import narrate
from raconteur.config.schema import Config
from serving.path.features import OnlineFeatures

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def data(tmp_path):
    """One user who takes a, b and c."""
    events = pl.DataFrame(
        {
            "user_id": "u",
            "item_id": ["a", "b", "c"],
            "event_time": pl.Series([START + timedelta(days=day) for day in range(3)], dtype=pl.Datetime("us", "UTC")),
            "event_type": "play",
            "value": [1.0, 2.0, 3.0],
            "session_id": pl.Series([None] * 3, dtype=pl.String),
            "context": pl.Series([[]] * 3, dtype=pl.List(pl.Struct({"key": pl.String, "value": pl.String}))),
            "position": [0, 1, 2],
            "is_target": True,
        }
    )
    items = pl.DataFrame({"item_id": ["a", "b", "c"], "title": ["A", "B", "C"]}).with_columns(
        categories=pl.lit(["x"]), released=pl.lit(None, pl.Date), available=pl.lit(True)
    )
    split = events[1:].select(
        "user_id",
        pl.Series("split", ["validation", "test"]),
        "item_id",
        "event_time",
        "position",
        discovery=pl.lit(True),
        num_targets="position",
    )
    folder = tmp_path / "data"
    folder.mkdir()
    for name, table in {"events": events, "items": items, "split": split}.items():
        table.write_parquet(folder / f"{name}.parquet")
    return dsl.Dataset(uri=str(folder))


def test_features_component_publishes_and_logs_metrics(data, tmp_path):
    out, metrics = dsl.Dataset(uri=str(tmp_path / "out")), dsl.Metrics(uri=str(tmp_path / "metrics"))
    store = tmp_path / "features"
    features.python_func(config=Config().model_dump_json(), data=data, store=str(store), out=out, metrics=metrics)
    logged = json.loads((tmp_path / "metrics").read_text())
    assert (logged["num_users"], logged["num_online_user_features"], logged["num_training_rows"]) == (1, 1, 2)
    assert pl.read_parquet(tmp_path / "out" / "training_set.parquet")["user_features__num_targets"].to_list() == [1, 2]
    assert OnlineFeatures(store).read("u").recent_items == ("a", "b", "c")


@pytest.mark.parametrize("component", [features, narrate])
def test_component_inputs_are_those_of_the_pipeline(component):
    inputs = set(component.component_spec.inputs)
    expected = {"config", "data", "store"} | ({"verbalizer"} if component is narrate else set())
    assert inputs == expected
    assert set(component.component_spec.outputs) == {"out", "metrics"}
