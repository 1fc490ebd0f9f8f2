"""The mapping TOML of layout `table`: which files and columns of a source are our tables and columns.

See configs/mappings/ for an example. Unknown keys are refused, so that a misspelt column is no silent null.
"""

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from raconteur.config.schema import Settings
from raconteur.data.raw import TimeFormat
from raconteur.errors import ConfigError


class FileMapping(Settings):
    file: str | None = None  # name in the folder data.path; None: data.path is the file
    separator: str = ","  # of a text file; "\t", "::" and so on. Files that end in .parquet have none
    quoted: bool = True  # whether " quotes a cell
    encoding: str = "utf-8"
    header: tuple[str, ...] = ()  # names of the columns of a text file without a header line


class EventsMapping(FileMapping):
    """Each of these settings names a column of the file."""

    user_id: str
    item_id: str
    event_time: str
    event_type: str | None = None  # None: every row is of `default_type`
    value: str | None = None
    session_id: str | None = None
    context: tuple[str, ...] = ()  # columns that go into the context map under their own names

    default_type: str = "play"
    value_unit: str | None = None  # stars, minutes, pounds ...
    time_unit: Literal["s", "ms", "us", "text"] = "text"  # of numbers since 1970; text: calendar dates
    time_pattern: str | None = None  # chrono pattern of a text; None: ISO 8601
    time_zone: str = "UTC"  # of texts without an offset

    def time(self) -> TimeFormat:
        return TimeFormat(unit=self.time_unit, pattern=self.time_pattern, zone=self.time_zone)


class ItemsMapping(FileMapping):
    """Each of these settings names a column of the file."""

    item_id: str
    title: str | None = None  # None: an item is called by its id
    description: str | None = None
    categories: str | None = None
    released: str | None = None  # ISO dates
    available: str | None = None  # true or false; None: all are
    attributes: tuple[str, ...] = ()  # columns that go into the attributes map

    category_separator: str = "|"  # within the cell of a text file


class UsersMapping(FileMapping):
    user_id: str
    attributes: tuple[str, ...] = ()


class Mapping(Settings):
    events: EventsMapping
    items: ItemsMapping | None = None  # None: the catalogue is what the events name
    users: UsersMapping | None = Field(default=None)


def load_mapping(path: Path) -> Mapping:
    """
    Raises:
        ConfigError: the file is missing, no TOML, or holds a key that is unknown or of the wrong type.
    """
    try:
        return Mapping.model_validate(tomllib.loads(path.read_text()))
    except FileNotFoundError:
        raise ConfigError(f"data.mapping {path} does not exist; see configs/mappings/ for an example") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"data.mapping {path} is no TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"data.mapping {path}: {place}: {first['msg']}") from None
