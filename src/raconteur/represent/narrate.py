"""Writes the narrative of every user, off the request path."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from raconteur import columns as c
from raconteur.artifacts import new_folder, read_manifest
from raconteur.config.schema import Config
from raconteur.data.dataset import load_dataset
from raconteur.data.histories import history_before
from raconteur.represent.rewrite import RewriteVerbalizer
from raconteur.represent.tokenizer import encode

CHUNK = 512
FILE = "narratives.parquet"


def narrate(config: Config, data: Path, verbalizer: Path, out: Path) -> dict[str, float]:
    """Writes `narratives.parquet`: user_id, text, as_of, verbalizer_version, catalogue_version, num_tokens, created."""
    dataset = load_dataset(data)
    writer = RewriteVerbalizer.load(verbalizer)
    ends = dataset.events.group_by(c.USER_ID, maintain_order=True).agg(
        (pl.col(c.POSITION).max() + 1).alias(c.POSITION), pl.col(c.EVENT_TIME).max().alias("as_of")
    )
    texts: list[str] = []
    for start in range(0, ends.height, CHUNK):
        part = ends[start : start + CHUNK].select(c.USER_ID, c.POSITION)
        texts += writer.write(history_before(dataset.events, part, config.text.max_events))
        print(f"narrate {len(texts)}/{ends.height} users", flush=True)
    num_tokens = [len(ids) for ids in encode(writer.tokenizer.backend_tokenizer, texts)]
    version = read_manifest(verbalizer)["files"]["model.safetensors"][:12]
    table = ends.select(c.USER_ID, "as_of").with_columns(
        pl.Series("text", texts, dtype=pl.String),
        pl.lit(version).alias("verbalizer_version"),
        pl.lit(dataset.manifest["catalogue_version"]).alias("catalogue_version"),
        pl.Series("num_tokens", num_tokens, dtype=pl.Int64),
        pl.lit(datetime.now(UTC)).dt.cast_time_unit("us").alias("created"),
    )
    with new_folder(out, kind="narratives", verbalizer_version=version) as folder:
        table.write_parquet(folder / FILE)
    return {"num_users": float(ends.height), "mean_tokens": float(sum(num_tokens) / max(1, len(num_tokens)))}
