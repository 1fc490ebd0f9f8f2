"""Starts a retraining once per cause, waits for it and writes down how it ended."""

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from monitoring.claims import Claim, State, identity, take, write_claim
from raconteur import artifacts
from raconteur.errors import PipelineError


def start_once(
    command: Sequence[str], cause: str, *, causes: Path, models: Path, timeout_s: float
) -> tuple[Claim, bool]:
    """Runs the command unless the cause was claimed before, and waits for it.

    Args:
        command: the training pipeline, as a list of arguments.
        causes: folder of the claims; the log of a run lies beside its claim.
        models: the registry, read for champion and gate record before and after.

    Returns:
        The claim, and whether this call started the run.

    Raises:
        DataError: a claim cannot be read.
        PipelineError: the command cannot be started.
    """
    claim, ours = take(cause, causes=causes, timeout_s=timeout_s, champion=_champion(models))
    if not ours:
        return claim, False
    state: State = "interrupted"
    code: int | None = None
    try:
        process = _start(command, Path(claim.log))
        claim = claim.model_copy(update={"processes": (*claim.processes, identity(process.pid))})
        write_claim(causes, claim)
        code = _wait(process, timeout_s)
        state = "finished" if code == 0 else "failed"
    except PipelineError:
        state = "failed"
        raise
    finally:
        claim = _ended(claim, state, code, models)
        write_claim(causes, claim)
    return claim, True


def _start(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        try:
            return subprocess.Popen(
                list(command), stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
            )
        except OSError as error:
            raise PipelineError(f"the retraining `{' '.join(command)}` does not start: {error}") from None


def _wait(process: subprocess.Popen[bytes], timeout_s: float) -> int | None:
    """Exit code of the run, None where it had to be ended. Its children go with it, also when we are stopped."""
    try:
        return process.wait(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            _reap(process)


def _reap(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(timeout=20.0)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _ended(claim: Claim, state: State, code: int | None, models: Path) -> Claim:
    after = _champion(models)
    return claim.model_copy(
        update={
            "state": state,
            "ended": datetime.now(UTC),
            "exit_code": code,
            "champion_after": after,
            "gate": _newest_gate(models, since=claim.started),
        }
    )


def _champion(models: Path) -> str | None:
    pointer = artifacts.Registry(models).champion()
    return pointer["version"] if pointer else None


def _newest_gate(models: Path, *, since: datetime) -> dict | None:
    """The record that the release step wrote in the run, if it came that far."""
    written = [path for path in models.glob("*/gate.json") if path.stat().st_mtime >= since.timestamp()]
    if not written:
        return None
    return json.loads(max(written, key=lambda path: path.stat().st_mtime).read_text())
