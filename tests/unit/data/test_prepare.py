import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from raconteur import columns
from raconteur.config.schema import Config
from raconteur.data.dataset import load_dataset, load_quarantine
from raconteur.data.prepare import prepare
from raconteur.errors import DataError
from raconteur.retrieve.popularity import Popularity

NOW = datetime(2024, 1, 1, tzinfo=UTC)


def configure(folder: Path, *, data: dict | None = None, evaluate: dict | None = None, **about: object) -> Config:
    return Config.model_validate(
        {
            "workdir": folder / "run",
            "data": {"layout": "movielens", "path": str(folder)} | (data or {}),
            "evaluate": {"num_candidates": 2} | (evaluate or {}),
            **about,
        }
    )


def test_prepare_writes_events_by_user_and_time_with_targets(movielens_folder: Path, tmp_path: Path) -> None:
    prepare(configure(movielens_folder, data={"min_value": 3.0}), tmp_path / "data", now=NOW)
    events = load_dataset(tmp_path / "data").events
    wanted = [columns.USER_ID, columns.ITEM_ID, columns.POSITION, columns.IS_TARGET]
    assert events.filter(pl.col(columns.USER_ID).is_in(["1", "2"])).select(wanted).rows() == [
        ("1", "1", 0, True),
        ("1", "3", 1, True),
        ("1", "2", 2, True),
        ("2", "4", 0, False),
        ("2", "3", 1, False),
        ("2", "1", 2, True),
    ]


def test_prepare_counts_stand_in_metrics_and_manifest(movielens_folder: Path, tmp_path: Path) -> None:
    metrics = prepare(configure(movielens_folder), tmp_path / "data", now=NOW)
    manifest = load_dataset(tmp_path / "data").manifest
    expected = {
        "num_events": 11,
        "num_users": 4,
        "num_items": 4,
        "num_targets": 11,
        "num_rows_read": 15,
        "num_bad_rows": 0,
        "num_late": 1,  # user 1 rated film 3 before film 2, which stands first in the file
        "num_split_users": 3,
        "num_discovery_tests": 3,
        "num_candidate_lists": 6,
        "num_without_candidates": 0,
    }
    assert {name: manifest["counts"][name] for name in expected} == expected
    assert {name: metrics[name] for name in expected} == expected
    assert manifest["value_unit"] == "stars"
    assert manifest["config"]["evaluate"]["num_candidates"] == 2


def test_prepare_test_target_is_the_last_of_the_user(movielens_folder: Path, tmp_path: Path) -> None:
    prepare(configure(movielens_folder), tmp_path / "data", now=NOW)
    dataset = load_dataset(tmp_path / "data")
    tests = dataset.split.filter(pl.col(columns.SPLIT) == "test")
    assert tests.select(columns.USER_ID, columns.ITEM_ID).rows() == [("1", "2"), ("2", "1"), ("3", "4")]
    # Of four films each user left one: the list is the truth and that one.
    lists = dataset.candidates.filter(pl.col(columns.SPLIT) == "test")[columns.CANDIDATES]
    assert [sorted(candidates) for candidates in lists] == [["2", "4"], ["1", "2"], ["3", "4"]]


def test_prepare_same_config_gives_the_same_versions(movielens_folder: Path, tmp_path: Path) -> None:
    manifests = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        config = configure(movielens_folder, seed=seed, evaluate={"num_candidates": 2, "max_users": 2})
        prepare(config, tmp_path / name, now=NOW)
        manifests.append(load_dataset(tmp_path / name).manifest)
    first, again, other = manifests
    assert first["candidates_version"] == again["candidates_version"] != other["candidates_version"]
    assert first["catalogue_version"] == other["catalogue_version"]


def test_prepare_max_users_keeps_a_sample_and_the_whole_catalogue(movielens_folder: Path, tmp_path: Path) -> None:
    config = configure(movielens_folder, data={"max_users": 3})
    prepare(config, tmp_path / "data", now=NOW)
    dataset = load_dataset(tmp_path / "data")
    assert dataset.events[columns.USER_ID].n_unique() == 3
    assert dataset.items.height == 4


def test_prepare_evaluated_users_limit_candidates_not_the_split(movielens_folder: Path, tmp_path: Path) -> None:
    prepare(configure(movielens_folder, evaluate={"max_users": 1}), tmp_path / "data", now=NOW)
    dataset = load_dataset(tmp_path / "data")
    assert dataset.split[columns.USER_ID].n_unique() == 3
    assert dataset.candidates[columns.USER_ID].n_unique() == 1
    assert dataset.candidates[columns.SPLIT].to_list() == ["validation", "test"]


def test_prepare_bad_rows_land_in_quarantine_with_their_line(movielens_folder: Path, tmp_path: Path) -> None:
    with (movielens_folder / "ratings.csv").open("a") as file:
        file.write("5,99,4.0,100\n5,1,4.0\n,1,4.0,100\n4,4,4.5,101\n5,1,4.0,4102444800\n")
    prepare(configure(movielens_folder, data={"max_quarantine": 0.5}), tmp_path / "data", now=NOW)
    assert load_quarantine(tmp_path / "data").select(columns.LINE, columns.REASON).rows() == [
        (13, "unknown item"),
        (14, "malformed line"),
        (15, "empty user_id"),
        (16, "exact duplicate event"),
        (17, "event in the future"),
    ]
    manifest = load_dataset(tmp_path / "data").manifest
    assert manifest["quarantine"]["events"]["unknown item"] == 1
    assert manifest["counts"]["num_bad_rows"] == 5


def test_prepare_failure_leaves_the_last_data_set_as_it_was(movielens_folder: Path, tmp_path: Path) -> None:
    prepare(configure(movielens_folder), tmp_path / "data", now=NOW)
    before = (tmp_path / "data" / "manifest.json").read_text()
    (movielens_folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,99,4.0,100\n")
    with pytest.raises(DataError, match=r"1 of 1 rows of events .*unknown item 1"):
        prepare(configure(movielens_folder), tmp_path / "data", now=NOW)
    assert (tmp_path / "data" / "manifest.json").read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "movielens"]


def test_prepare_last_discovery_tests_the_last_film_rated_for_the_first_time(
    movielens_folder: Path, tmp_path: Path
) -> None:
    with (movielens_folder / "ratings.csv").open("a") as file:
        file.write("1,1,2.0,400\n1,3,2.0,500\n")  # user 1 rates films 1 and 3 again, after 1, 3, 2
    for target, last in (("last", "3"), ("last_discovery", "2")):
        prepare(configure(movielens_folder, data={"target": target}), tmp_path / target, now=NOW)
        dataset = load_dataset(tmp_path / target)
        tests = dataset.split.filter(pl.col(columns.SPLIT) == "test")
        assert tests.filter(pl.col(columns.USER_ID) == "1")[columns.ITEM_ID].to_list() == [last]
        assert dataset.manifest["counts"]["num_discovery_tests"] == (3 if target == "last_discovery" else 2)
        assert dataset.events[columns.IS_TARGET].sum() == 13  # a repeat stays a take, to learn from


def test_prepare_retrieved_negatives_come_from_the_given_model_and_leave_the_others(
    movielens_folder: Path, tmp_path: Path
) -> None:
    for name, kinds in (("one", ["popularity"]), ("both", ["retrieved", "popularity"])):
        config = configure(movielens_folder, evaluate={"negatives": kinds})
        prepare(config, tmp_path / name, now=NOW, fit_retriever=Popularity.fit)
    one, both = (load_dataset(tmp_path / name).candidates for name in ("one", "both"))
    assert both.filter(pl.col(columns.NEGATIVES) == "popularity").equals(one)
    # Of four films each user left one.
    tests = both.filter((pl.col(columns.NEGATIVES) == "retrieved") & (pl.col(columns.SPLIT) == "test"))
    assert [sorted(row) for row in tests[columns.CANDIDATES]] == [["2", "4"], ["1", "2"], ["3", "4"]]


def test_prepare_no_user_with_three_targets_names_the_event_types(movielens_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"no user has three targets \(data.targets = play.* rating 11; set data.targets"
    ):
        prepare(configure(movielens_folder, data={"targets": ["play"]}), tmp_path / "data", now=NOW)


def test_prepare_world_is_generated_once_and_read_again(tmp_path: Path) -> None:
    config = Config.model_validate(
        {
            "workdir": tmp_path / "run",
            "world": {"num_users": 40, "num_items": 60, "num_days": 20, "mean_intents": 10.0},
        }
    )
    first = prepare(config, tmp_path / "a")
    written = (tmp_path / "run" / "world" / "events.parquet").stat().st_mtime_ns
    second = prepare(config, tmp_path / "b")
    assert (tmp_path / "run" / "world" / "events.parquet").stat().st_mtime_ns == written
    first.pop("seconds"), second.pop("seconds")
    assert first == second
    dataset = load_dataset(tmp_path / "a")
    assert dataset.manifest["value_unit"] == "minutes"
    assert dataset.users is not None
    assert dataset.events[columns.CONTEXT].list.len().sum() > 0
    assert json.loads(load_quarantine(tmp_path / "a")["row"][0])[columns.USER_ID].startswith("u")
