"""Windows of the prediction log, and how often the served first choice was the item that the user took next."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from monitoring.windows import Windows, side_by_side
from raconteur.columns import USER_ID
from raconteur.errors import DataError
from raconteur.evaluate.feedback import next_takes
from raconteur.evaluate.routing import NUM_EVENTS

_COLUMNS: dict[str, pl.DataType] = {
    "time": pl.Datetime("us", "UTC"),
    "user_id": pl.String(),  # a pseudonym
    "route": pl.String(),
    "version": pl.String(),
    "narrative": pl.String(),
    "scores": pl.List(pl.Float32),
    "items": pl.List(pl.String),
    "margin": pl.Float32(),
    "num_events": pl.Int64(),
    "latency_ms": pl.Float32(),
    "probability": pl.Float32(),
    "gain": pl.Float32(),
}
# Null where no calibrated router decided; absent from the logs of older services.
_CALIBRATED = ("probability", "gain")


def read_predictions(folder: Path, *, version: str) -> pl.DataFrame:
    """What one model version answered, oldest first; empty where nothing was logged.

    Raises:
        DataError: a file is no Parquet or has other columns.
    """
    files = sorted(folder.glob("[!.]*.parquet"))
    if not files:
        return pl.DataFrame(schema=_COLUMNS)
    return pl.concat([_read(file, version) for file in files]).sort("time")


def prediction_windows(predictions: pl.DataFrame, *, rows: int) -> Windows:
    """The champion's newest answers against its first ones: a change that no new model explains."""
    size = min(rows, predictions.height // 2)
    reference, current = predictions.head(size), predictions.tail(size)
    judged = [name for name in _CALIBRATED if reference[name].null_count() < size > current[name].null_count()]
    return side_by_side(_features(reference, judged), _features(current, judged), table="served answers")


def labelled(predictions: pl.DataFrame, incoming: Path, *, key: bytes, rows: int) -> Sequence[bool]:
    """Whether the first item was the user's next take, for the newest answers whose next take is known.

    Args:
        key: of the pseudonyms by which the prediction log names its users.
    """
    known = _known(predictions, incoming, key).tail(rows)
    return (known["first"] == known["taken"]).to_list()


def calibration_note(predictions: pl.DataFrame, incoming: Path, *, key: bytes, rows: int) -> tuple[str, ...]:
    """Expected against realised share of right first choices, of the answers that the student gave; empty if none."""
    by_student = predictions.filter(pl.col("route") == "student", pl.col("probability").is_not_null())
    known = _known(by_student, incoming, key).tail(rows)
    if known.is_empty():
        return ()
    expected = known["probability"].to_numpy().mean()
    right = (known["first"] == known["taken"]).to_numpy().mean()
    return (f"the student's first choice was right in {right:.1%} of {known.height} answers, {expected:.1%} expected",)


def _known(predictions: pl.DataFrame, incoming: Path, key: bytes) -> pl.DataFrame:
    """Answers whose next take is known, oldest first: `first` shown, `taken`, and the calibrated `probability`."""
    answers = predictions.select(
        USER_ID, "time", "probability", NUM_EVENTS, first=pl.col("items").list.first()
    ).drop_nulls("first")
    return next_takes(answers, incoming, key=key).sort("time")


def _features(predictions: pl.DataFrame, calibrated: Sequence[str]) -> pl.DataFrame:
    return predictions.select(
        served_route="route",
        served_margin="margin",
        served_top_score=pl.col("scores").list.max(),
        served_narrative_length=pl.col("narrative").str.len_chars(),
        served_num_events="num_events",
        served_latency_ms="latency_ms",
        **{f"served_{name}": name for name in calibrated},
    )


def _read(file: Path, version: str) -> pl.DataFrame:
    try:
        joint = pl.col("version").str.split("+").list.first()  # the champion's, before that of another server's model
        with file.open("rb") as opened:  # once: a newer file of this name may come meanwhile
            rows = pl.read_parquet(opened).filter(joint == version)
        rows = rows.with_columns(pl.lit(None).alias(name) for name in _CALIBRATED if name not in rows.columns)
        return rows.select(pl.col(column).cast(dtype) for column, dtype in _COLUMNS.items())
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"prediction log {file} cannot be read: {error}; move it away and check again") from None
