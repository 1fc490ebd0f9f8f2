"""Where features come from: the Parquet tables of one run, and pushes from the serving path."""

import os

from feast import FileSource, PushSource

from raconteur.features import names as f

FOLDER = os.environ["RACONTEUR_FEATURES"]  # absolute: the offline store does not resolve relative paths


def _table(name: str) -> FileSource:
    return FileSource(
        name=f"{name}_table",
        path=f"{FOLDER}/{name}.parquet",
        timestamp_field=f.EVENT_TIMESTAMP,
        created_timestamp_column=f.CREATED,
    )


user_table = _table(f.USER_TABLE)
item_table = _table(f.ITEM_TABLE)
narrative_table = _table(f.NARRATIVE_TABLE)

user_push = PushSource(name=f.USER_PUSH, batch_source=user_table)
narrative_push = PushSource(name=f.NARRATIVE_PUSH, batch_source=narrative_table)
