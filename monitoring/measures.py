"""What is watched: one row a column, with its drift measure, threshold and what a drift of it means.

The measures are effect sizes. A p-value would say "drift" for any difference once a window is large, and window sizes
are a setting; a distance answers how far two windows lie apart, whatever their size.

- categories: Jensen-Shannon distance with natural logarithms, 0 (same shares) to 0.83 (nothing in common);
- numbers: Wasserstein distance in standard deviations of the reference, 0 upwards.

Two windows of 2,000 rows from one distribution lie about 0.03 (five categories) to 0.06 (thirty) apart by chance, and
numbers about 0.03; the thresholds leave that room, and windows under `MIN_ROWS` rows are not judged. Ordinary releases
of the embedded world move `take_new_item` by 0.08 and `take_popularity` by 0.12 in two weeks, a new catalogue by 0.34
and 0.65; a moved taste moves `take_taste_match` by 0.31, quiet weeks by up to 0.08.
"""

from dataclasses import dataclass
from typing import Literal

Role = Literal["behaviour", "log", "served", "watched"]
"""What a drifted column says: `behaviour` people or catalogue changed, which a new model can learn; `log` the recording
changed, which a new model would learn wrongly; `served` our own answers changed; `watched` shown, never judged."""

MIN_ROWS = 500  # a smaller window is left out of the comparison
MAX_CATEGORIES = 30  # the rarer values of a column are shown as one
OTHER = "(other)"
MISSING = "(none)"

NEW_ITEM = "new item"
KNOWN_ITEM = "known item"


@dataclass(frozen=True, slots=True)
class Measure:
    """How one column of the windows is compared."""

    column: str
    role: Role
    kind: Literal["category", "number"]
    threshold: float
    meaning: str

    @property
    def method(self) -> Literal["jensenshannon", "wasserstein"]:
        """The name by which Evidently knows the measure."""
        return "jensenshannon" if self.kind == "category" else "wasserstein"


MEASURES = (
    # every event of the log
    Measure("log_event_type", "log", "category", 0.1, "what kinds of events are recorded"),
    Measure("log_value", "log", "number", 0.2, "the recorded amount: minutes, stars or price"),
    Measure("log_device", "log", "category", 0.1, "the device that the context names"),
    Measure(
        "log_day_part", "watched", "category", 0.1, "four-hour part of the day, UTC; moves with season and activity"
    ),
    # the events by which a user takes an item
    Measure("take_category", "behaviour", "category", 0.1, "the first category of the taken item"),
    Measure("take_popularity", "behaviour", "number", 0.2, "popularity rank, 0 most to 1 least popular or unknown"),
    Measure("take_new_item", "behaviour", "category", 0.15, "whether the champion's data held the item"),
    Measure("take_taste_match", "behaviour", "number", 0.2, "share of the user's earlier takes in the item's category"),
    # the prediction log
    Measure("served_route", "served", "category", 0.1, "which model answered"),
    Measure("served_margin", "served", "number", 0.2, "gap between the student's two best probabilities"),
    Measure(
        "served_probability", "served", "number", 0.2, "calibrated chance that the student's first choice is right"
    ),
    Measure("served_gain", "served", "number", 0.2, "expected gain in NDCG of asking the Reasoner"),
    Measure("served_top_score", "served", "number", 0.2, "score of the best candidate"),
    Measure("served_narrative_length", "served", "number", 0.2, "characters of the user's text"),
    Measure("served_num_events", "watched", "number", 0.2, "events known of the user; grows with age"),
    Measure("served_latency_ms", "watched", "number", 0.2, "time of an answer; alerts watch it"),
)
