"""How a log is read: what counts as taking an item, and how much of a history a feature row keeps.

Saved beside the feature tables, so that the online updater reads a new event exactly as the batch build did.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from pydantic import TypeAdapter, ValidationError

from raconteur.artifacts import write_json
from raconteur.config.schema import Config
from raconteur.errors import DataError

RULES_FILE = "rules.json"


@dataclass(frozen=True, slots=True)
class Rules:
    targets: tuple[str, ...]  # event types by which a user takes an item
    min_value: float | None  # a take needs at least this value; None: any
    num_recent_items: int
    num_recent_events: int

    @classmethod
    def of(cls, config: Config) -> Self:
        return cls(
            targets=config.data.targets,
            min_value=config.data.min_value,
            num_recent_items=config.sequential.max_items,
            num_recent_events=config.text.max_events,
        )

    def takes(self, event_type: str, value: float | None) -> bool:
        return is_take(event_type, value, targets=self.targets, min_value=self.min_value)


def is_take(event_type: str, value: float | None, *, targets: Sequence[str], min_value: float | None) -> bool:
    """True where the event says that the user took the item; a missing value fails a set minimum."""
    enough = min_value is None or (value is not None and value >= min_value)
    return event_type in targets and enough


def save_rules(rules: Rules, folder: Path) -> None:
    write_json(folder / RULES_FILE, asdict(rules))


def load_rules(folder: Path) -> Rules:
    """
    Raises:
        DataError: the file is absent or malformed.
    """
    path = folder / RULES_FILE
    try:
        return TypeAdapter(Rules).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise DataError(f"{path} holds no feature rules ({error}); run the features step again") from None
