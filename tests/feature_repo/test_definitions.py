import polars as pl
import pytest

from components.features.store import apply, open_store
from components.features.tables import NARRATIVE_SCHEMA
from raconteur.errors import ConfigError, DataError
from raconteur.features import names as f


@pytest.fixture(scope="module")
def feast(store):
    return open_store(store)


@pytest.mark.parametrize("view", [f.USER_TABLE, f.ITEM_TABLE, f.NARRATIVE_TABLE])
def test_view_has_every_column_of_its_table(feast, store, view):
    declared = {field.name for field in feast.get_feature_view(view).schema}
    assert declared == set(pl.read_parquet_schema(store / f"{view}.parquet")) - {f.EVENT_TIMESTAMP, f.CREATED}


def test_views_never_expire_and_push_where_serving_writes(feast):
    views = {view.name: view for view in feast.list_feature_views()}
    assert all(not view.ttl for view in views.values())
    assert views[f.USER_TABLE].stream_source.name == f.USER_PUSH
    assert views[f.NARRATIVE_TABLE].stream_source.name == f.NARRATIVE_PUSH


def test_services_are_versioned(feast):
    assert {service.name for service in feast.list_feature_services()} == {"training_v1", "recommender_v1"}


def test_store_folder_names_no_variable_and_opens_alone(store, monkeypatch):
    monkeypatch.delenv("RACONTEUR_FEATURES", raising=False)
    settings = [line for line in (store / "feature_store.yaml").read_text().splitlines() if not line.startswith("#")]
    assert not any("${" in line for line in settings)
    assert open_store(store).project == "raconteur"


def test_narrative_schema_is_that_of_the_table(store):
    assert dict(pl.read_parquet_schema(store / "narratives.parquet")) == NARRATIVE_SCHEMA


def test_open_store_before_apply_says_what_to_run(tmp_path):
    with pytest.raises(DataError, match="features apply"):
        open_store(tmp_path)


def test_apply_without_tables_reports_what_feast_said(tmp_path):
    with pytest.raises(ConfigError, match="feast apply"):
        apply(tmp_path / "empty" / "features")
    assert not (tmp_path / "empty" / "features" / "feature_store.yaml").exists()
