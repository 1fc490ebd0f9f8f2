"""Reads the source that a config names."""

from pathlib import Path

from raconteur.config.schema import DataConfig
from raconteur.data.raw import RawLog
from raconteur.data.readers.mapping import load_mapping
from raconteur.data.readers.movielens import read_movielens
from raconteur.data.readers.movietweetings import read_movietweetings
from raconteur.data.readers.retail import read_retail
from raconteur.data.readers.sequences import read_sequences
from raconteur.data.readers.table import read_table_log
from raconteur.data.readers.world import read_world

READERS = {
    "movielens": read_movielens,
    "movietweetings": read_movietweetings,
    "retail": read_retail,
    "sequences": read_sequences,
}


def read_source(config: DataConfig, *, world: Path) -> RawLog:
    """The raw tables of the configured layout.

    Args:
        world: folder of the embedded world's tables, which must exist for layout `world`.

    Raises:
        DataError: a file is missing, malformed or lacks a column.
        ConfigError: the mapping of layout `table` is refused.
    """
    if config.layout == "world":
        return read_world(config.path or str(world))
    assert config.path is not None  # the schema refuses such a config
    if config.layout == "table":
        assert config.mapping is not None
        return read_table_log(config.path, load_mapping(Path(config.mapping)))
    return READERS[config.layout](config.path)
