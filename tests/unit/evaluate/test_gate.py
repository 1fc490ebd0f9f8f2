import json

import numpy as np
import pytest
from pydantic import ValidationError

from raconteur.errors import ArtifactError
from raconteur.evaluate.gate import GateInputs, decide, read_record, replay, student_lift, write_record

HALF = (1.0, 0.0) * 100
MOST = (1.0, 1.0, 1.0, 0.0) * 50
NONE = (0.0,) * 200


def _inputs(challenger=MOST, champion=HALF, max_loss=0.0, popularity=NONE, **more):
    return GateInputs(
        challenger="v2",
        champion=None if champion is None else "v1",
        challenger_outcomes=challenger,
        champion_outcomes=champion,
        popularity_outcomes=popularity,
        max_loss=max_loss,
        **more,
    )


def test_gate_clearly_better_challenger_is_promoted():
    decision = decide(_inputs())
    assert decision.promote
    assert decision.difference == pytest.approx(0.25)
    assert decision.difference_low > 0
    assert (decision.rival, decision.num_users) == ("v1", 200)
    assert "against v1: the lower end is above +0.0000" in decision.reason


def test_gate_clearly_worse_challenger_is_not_promoted():
    assert not decide(_inputs(challenger=HALF, champion=MOST)).promote


def test_gate_equal_challenger_is_promoted_only_with_a_tolerance():
    assert not decide(_inputs(challenger=HALF, champion=HALF)).promote
    assert decide(_inputs(challenger=HALF, champion=HALF, max_loss=0.01)).promote


def test_gate_unsettled_gain_is_not_promoted():
    # one user of 200 better: the interval reaches 0
    assert not decide(_inputs(challenger=(1.0, 1.0, *HALF[2:]))).promote


def test_gate_student_that_lost_its_reasoner_is_refused_though_it_is_better():
    reasoner = np.full(200, 0.3)
    kept, lost, unsettled = (
        student_lift(student, reasoner, min_share=0.5)
        for student in (np.full(200, 0.15), np.full(200, 0.1), np.tile([0.5, -0.25], 100))
    )
    assert kept.excess_high == pytest.approx(0.0)
    assert decide(_inputs(student=kept)).promote
    assert decide(_inputs(student=unsettled)).promote  # .125 of .3, but it may as well be more than half
    decision = decide(_inputs(student=lost))
    assert not decision.promote
    assert (
        "the student's NDCG@10 is +0.1000 above chance, the Reasoner's +0.3000: clearly less than 50%"
        in decision.reason
    )


def test_gate_first_model_above_the_popularity_floor_is_promoted():
    decision = decide(_inputs(champion=None, popularity=HALF))
    assert decision.promote
    assert decision.rival == "popularity"
    assert "no champion yet, and above the popularity floor" in decision.reason


def test_gate_first_model_no_better_than_popularity_is_not_promoted():
    decision = decide(_inputs(champion=None, challenger=HALF, popularity=HALF))
    assert not decision.promote
    assert "not above the popularity floor" in decision.reason


@pytest.mark.parametrize("champion", [HALF, None])
def test_gate_record_replays_to_the_same_decision(tmp_path, champion):
    path = tmp_path / "decisions" / "gate.json"
    decision = write_record(path, _inputs(champion=champion))
    assert replay(path) == decision == read_record(path)


def test_gate_record_that_was_changed_does_not_replay(tmp_path):
    write_record(tmp_path / "gate.json", _inputs())
    record = json.loads((tmp_path / "gate.json").read_text())
    record["inputs"]["challenger_outcomes"] = list(NONE)
    (tmp_path / "gate.json").write_text(json.dumps(record))
    with pytest.raises(ArtifactError, match=r"says promote=True .* its inputs give promote=False"):
        replay(tmp_path / "gate.json")


def test_gate_hash_follows_the_inputs():
    assert decide(_inputs()).inputs_hash == decide(_inputs()).inputs_hash
    assert decide(_inputs()).inputs_hash != decide(_inputs(seed=1)).inputs_hash


@pytest.mark.parametrize("content", ["", "{}", '{"inputs": 1}'])
def test_gate_unreadable_record_is_refused(tmp_path, content):
    (tmp_path / "gate.json").write_text(content)
    with pytest.raises(ArtifactError, match="is no gate record"):
        replay(tmp_path / "gate.json")


@pytest.mark.parametrize(
    "wrong",
    [
        {"challenger": (1.0,)},
        {"champion": (1.0,)},
        {"popularity": (1.0,)},
        {"challenger": ()},
        {"max_loss": float("nan")},
    ],
)
def test_gate_inputs_that_do_not_fit_are_refused(wrong):
    with pytest.raises(ValidationError):
        _inputs(**wrong)


def test_gate_champion_without_outcomes_is_refused():
    with pytest.raises(ValidationError, match="give both or none"):
        GateInputs(
            challenger="v2",
            champion="v1",
            challenger_outcomes=(1.0,),
            champion_outcomes=None,
            popularity_outcomes=(0.0,),
            max_loss=0.0,
        )
