import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.decision import ColumnDrift, DriftInputs, ServedQuality, decide, replay, write_decision
from monitoring.measures import MEASURES
from raconteur.errors import DataError

SCORES = st.fixed_dictionaries({measure.column: st.floats(0, 2) for measure in MEASURES})


def inputs(quality: ServedQuality | None = None, *, end: str = "2026-02-09T10:00:00+00:00", **scores: float):
    columns = tuple(
        ColumnDrift(column=m.column, role=m.role, score=scores.get(m.column, 0.0), threshold=m.threshold)
        for m in MEASURES
    )
    return DriftInputs(
        champion="v1",
        window_start="2026-01-30T00:00:00+00:00",
        window_end=end,
        columns=columns,
        quality=quality,
        drift_share=0.3,
        max_recall_drop=0.05,
    )


def test_decide_nothing_drifted_is_none():
    decision = decide(inputs())
    assert (decision.kind, decision.retrain) == ("none", False)
    assert decision.reason == "none of 16 columns drifted"


def test_decide_season_of_one_category_and_more_activity_is_none():
    decision = decide(inputs(take_category=0.3, log_day_part=0.4))  # one of four behaviour columns: 0.25 < 0.3
    assert (decision.kind, decision.retrain) == ("none", False)
    assert "take_category 0.30" in decision.reason


def test_decide_two_of_four_behaviour_columns_retrains():
    decision = decide(inputs(take_category=0.3, take_taste_match=0.6))
    assert (decision.kind, decision.retrain) == ("drift", True)


def test_decide_score_on_threshold_counts_as_drifted():
    assert decide(inputs(take_category=0.1, take_new_item=0.15)).kind == "drift"
    assert decide(inputs(take_category=0.1, take_new_item=0.1499)).kind == "none"


def test_decide_log_fault_is_drift_without_retraining():
    decision = decide(inputs(log_value=90.0))
    assert (decision.kind, decision.retrain) == ("drift", False)
    assert "Mend the logging" in decision.reason


def test_decide_behaviour_read_from_broken_log_does_not_retrain():
    broken = {"log_value": 90.0, "log_event_type": 0.4}  # two of three columns: more than half
    decision = decide(inputs(take_category=0.3, take_new_item=0.3, **broken))
    assert (decision.kind, decision.retrain) == ("drift", False)


def test_decide_behaviour_with_one_log_column_retrains():
    assert decide(inputs(take_category=0.3, take_new_item=0.3, log_device=0.2)).retrain


def test_decide_served_answers_changed_alone_does_not_retrain():
    decision = decide(inputs(served_route=0.5, served_margin=0.5))
    assert (decision.kind, decision.retrain) == ("drift", False)


def test_decide_quality_fall_beyond_interval_retrains_before_drift():
    # 30 of 200: Wilson's upper end is (0.15 + 0.0096 + 0.0514) / 1.0192 = 0.206, below the reference 0.25
    lost = ServedQuality(recall_at_1=0.15, num_labels=200, reference=0.25)
    assert lost.upper == pytest.approx(0.2061, abs=5e-4)
    decision = decide(inputs(lost, take_category=0.3, take_taste_match=0.6))
    assert (decision.kind, decision.retrain) == ("quality", True)
    assert decision.reason == "served Recall@1 fell from 0.250 to 0.150 over 200 answers, more than 0.050"


@pytest.mark.parametrize(
    "quality",
    [
        ServedQuality(recall_at_1=0.21, num_labels=2000, reference=0.25),  # fell by less than 0.05
        ServedQuality(recall_at_1=0.18, num_labels=110, reference=0.25),  # 110 answers may do that by chance
        ServedQuality(recall_at_1=0.0, num_labels=99, reference=0.25),  # too few answers
        ServedQuality(recall_at_1=0.0, num_labels=900, reference=None),  # nothing to hold it against
    ],
)
def test_decide_quality_without_proof_is_none(quality: ServedQuality):
    assert decide(inputs(quality)).kind == "none"


def test_cause_same_day_is_equal_and_next_day_differs():
    drifted = {"take_category": 0.3, "take_taste_match": 0.6}
    first = decide(inputs(**drifted)).cause
    assert decide(inputs(end="2026-02-09T23:00:00+00:00", **drifted)).cause == first
    assert decide(inputs(end="2026-02-10T01:00:00+00:00", **drifted)).cause != first
    assert decide(inputs(take_category=0.9, take_taste_match=0.7)).cause == first  # same columns, other distances
    assert decide(inputs(take_category=0.3, take_new_item=0.6)).cause != first


@given(SCORES)
def test_decide_order_of_columns_does_not_matter(scores: dict[str, float]):
    forward = inputs(**scores)
    backward = forward.model_copy(update={"columns": forward.columns[::-1]})
    first, second = decide(forward), decide(backward)
    assert (first.kind, first.cause, first.retrain) == (second.kind, second.cause, second.retrain)


@given(SCORES)
def test_decide_retrains_only_with_drifted_behaviour(scores: dict[str, float]):
    given_inputs = inputs(**scores)
    drifted = [column for column in given_inputs.columns if column.role == "behaviour" and column.drifted]
    assert not decide(given_inputs).retrain or len(drifted) >= 2


def test_replay_gives_the_same_decision(tmp_path: Path):
    decision = decide(inputs(take_category=0.3, take_taste_match=0.6))
    write_decision(decision, tmp_path / "d.json")
    assert replay(tmp_path / "d.json") == decision


def test_replay_edited_record_is_refused(tmp_path: Path):
    path = tmp_path / "d.json"
    write_decision(decide(inputs(take_category=0.3, take_taste_match=0.6)), path)
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "kind": "none", "retrain": False}))
    with pytest.raises(DataError, match="its inputs say drift"):
        replay(path)


def test_replay_other_file_is_refused(tmp_path: Path):
    (tmp_path / "d.json").write_text('{"kind": "drift"}')
    with pytest.raises(DataError, match="no record of a decision"):
        replay(tmp_path / "d.json")
