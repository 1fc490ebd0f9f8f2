"""The step `prepare`: a source becomes a checked, ordered, split data set with fixed candidate lists.

1. read the source (the embedded world is generated if it is not there yet)
2. check every row; put bad ones away
3. order each user's events, mark the targets
4. split, draw candidate lists
5. write the folder, all of it or nothing
"""

import hashlib
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from raconteur import columns
from raconteur.artifacts import new_folder, read_manifest
from raconteur.config.schema import Config
from raconteur.data.candidates import draw_candidates, sample_users
from raconteur.data.contracts import Checked, check
from raconteur.data.dataset import write_table
from raconteur.data.raw import EXPECTED_REASONS, RawLog
from raconteur.data.retrieved import FitRetriever
from raconteur.data.source import read_source
from raconteur.data.splits import TEST, count_late, leave_one_out, order_events
from raconteur.errors import DataError


def prepare(
    config: Config, out: Path, *, now: datetime | None = None, fit_retriever: FitRetriever | None = None
) -> dict[str, float]:
    """Writes the prepared data set to `out` and returns its counts.

    Args:
        now: aware; events after it are in the future. None: the clock's time.
        fit_retriever: fits the model whose ranking `retrieved` negatives come from (`Ease.fit`); the data know none.

    Raises:
        DataError: the source is missing or malformed, has too many bad rows, or no user with enough targets.
    """
    started = time.monotonic()
    raw = read_source(config.data, world=_world(config))
    checked = check(raw, now=now or datetime.now(UTC), max_quarantine=config.data.max_quarantine)
    events, users = _keep_users(checked, config)
    ordered = order_events(events, targets=config.data.targets, min_value=config.data.min_value)
    split = leave_one_out(ordered, discovery_only=config.data.target == "last_discovery")
    _require_targets(ordered, split, config)
    evaluated = sample_users(split[columns.USER_ID], config.evaluate.max_users, config.seed)
    candidates = draw_candidates(
        ordered,
        checked.items,
        split,
        users=evaluated,
        num_candidates=config.evaluate.num_candidates,
        kinds=config.evaluate.negatives,
        seed=config.seed,
        fit_retriever=fit_retriever,
    )
    counts = {
        **_counts(checked, ordered, split),
        "num_late": count_late(events),
        "num_evaluated": len(evaluated),
        "num_candidate_lists": candidates.height,
        "num_without_candidates": 2 * len(evaluated) * len(config.evaluate.negatives) - candidates.height,
    }
    tables = {
        "events": ordered,
        "items": checked.items,
        "quarantine": checked.quarantine,
        "split": split,
        "candidates": candidates,
    }
    with new_folder(Path(out), **_about(config, raw, checked, counts, candidates)) as folder:
        for name, frame in (tables | ({"users": users} if users is not None else {})).items():
            write_table(folder, name, frame)
    return {**{name: float(count) for name, count in counts.items()}, "seconds": time.monotonic() - started}


def _world(config: Config) -> Path:
    folder = config.workdir / "world"
    if config.data.layout == "world" and config.data.path is None and not _is_world_of(folder, config):
        from raconteur.data.world import write_world  # the simulator is loaded only where it is run

        write_world(config.world, folder)
    return folder


def _is_world_of(folder: Path, config: Config) -> bool:
    """Whether the folder holds the world of these settings; one of other settings is generated anew."""
    return folder.exists() and read_manifest(folder).get("config") == config.world.model_dump(mode="json")


def _keep_users(checked: Checked, config: Config) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """The seeded sample of users that data.max_users asks for."""
    if config.data.max_users is None:
        return checked.events, checked.users
    kept = sample_users(checked.events[columns.USER_ID], config.data.max_users, config.seed).implode()
    users = None if checked.users is None else checked.users.filter(pl.col(columns.USER_ID).is_in(kept))
    return checked.events.filter(pl.col(columns.USER_ID).is_in(kept)), users


def _require_targets(events: pl.DataFrame, split: pl.DataFrame, config: Config) -> None:
    if split.height:
        return
    types = events[columns.EVENT_TYPE].value_counts(sort=True).head(8)
    found = ", ".join(f"{name} {count:,}" for name, count in types.iter_rows())
    raise DataError(
        f"no user has three targets (data.targets = {', '.join(config.data.targets)}, data.min_value = "
        f"{config.data.min_value}, data.target = {config.data.target}); event types in the log: {found}; "
        "set data.targets to those by which a user takes an item"
    )


def _counts(checked: Checked, events: pl.DataFrame, split: pl.DataFrame) -> dict[str, int]:
    is_expected = checked.quarantine[columns.REASON].is_in(list(EXPECTED_REASONS))
    return {
        "num_events": events.height,
        "num_users": events[columns.USER_ID].n_unique(),
        "num_items": checked.items.height,
        "num_untitled_items": checked.num_untitled,
        "num_targets": int(events[columns.IS_TARGET].sum()),
        "num_rows_read": sum(checked.num_rows.values()),
        "num_bad_rows": int((~is_expected).sum()),
        "num_expected_rows": int(is_expected.sum()),
        "num_split_users": split.filter(pl.col(columns.SPLIT) == TEST).height,
        "num_discovery_tests": split.filter((pl.col(columns.SPLIT) == TEST) & pl.col(columns.DISCOVERY)).height,
    }


def _quarantine_counts(checked: Checked) -> dict[str, dict[str, int]]:
    """Put-away rows by table and reason."""
    counts: dict[str, dict[str, int]] = {}
    for table, reason, count in checked.quarantine.group_by("table", columns.REASON).len().sort(pl.all()).iter_rows():
        counts.setdefault(table, {})[reason] = count
    return counts


def _about(
    config: Config, raw: RawLog, checked: Checked, counts: dict[str, int], candidates: pl.DataFrame
) -> dict[str, Any]:
    """The facts of the manifest."""
    return {
        "kind": "dataset",
        "source": raw.source,
        "layout": config.data.layout,
        "value_unit": raw.value_unit,
        "counts": counts,
        "quarantine": _quarantine_counts(checked),
        "catalogue_version": _content_hash(checked.items.sort(columns.ITEM_ID)),
        "candidates_version": _content_hash(candidates),
        "config": config.model_dump(mode="json"),
    }


def _content_hash(frame: pl.DataFrame) -> str:
    """Short hash of a table's content; independent of how Parquet packs it."""
    return hashlib.sha256(frame.write_ndjson().encode()).hexdigest()[:12]
