import json
import subprocess
import sys
from pathlib import Path

import pytest

from monitoring.claims import Claim, Process, take, write_claim
from raconteur.errors import DataError


def rewrite(causes: Path, claim: Claim, **changes: object) -> None:
    write_claim(causes, claim.model_copy(update=changes))


def test_take_run_of_a_dead_process_is_taken_over_once(tmp_path: Path):
    claim, _ = take("drift-1", causes=tmp_path, timeout_s=60)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    rewrite(tmp_path, claim, processes=(Process(pid=dead.pid, started=1.0),))
    second, ours = take("drift-1", causes=tmp_path, timeout_s=60)
    assert (second.took_over, ours) == (claim.run_id, True)
    assert take("drift-1", causes=tmp_path, timeout_s=60) == (second, False)
    assert (tmp_path / f"drift-1.{claim.run_id}.crashed").exists()


def test_take_reused_pid_is_another_process(tmp_path: Path):
    claim, _ = take("drift-1", causes=tmp_path, timeout_s=60)
    reused = claim.processes[0].model_copy(update={"started": claim.processes[0].started - 100})
    rewrite(tmp_path, claim, processes=(reused,))
    assert take("drift-1", causes=tmp_path, timeout_s=60)[1]


@pytest.mark.parametrize(("timeout_s", "ours"), [(60.0, False), (-1.0, True)])
def test_take_claim_of_another_host_stands_until_its_deadline(tmp_path: Path, timeout_s: float, ours: bool):
    claim, _ = take("drift-1", causes=tmp_path, timeout_s=timeout_s)
    rewrite(tmp_path, claim, host="elsewhere", processes=())
    assert take("drift-1", causes=tmp_path, timeout_s=60)[1] is ours


def test_take_unreadable_claim_is_named_and_not_taken(tmp_path: Path):
    (tmp_path / "drift-1.json").write_text(json.dumps({"cause": "drift-1"}))
    with pytest.raises(DataError, match="no claim of a retraining"):
        take("drift-1", causes=tmp_path, timeout_s=60)
