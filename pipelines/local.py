"""Runs a pipeline by kfp's own local runner: the components that a cluster would run, each in a process of its own.

Finished steps are kept in kfp's cache, so a run that failed or was killed goes on where it stopped. One run at a time
may use a folder. Called by `run`; knows nothing of what the steps do.
"""

import contextlib
import fcntl
import logging
import os
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from kfp import local

from pipelines.runlog import RunLog, StepEvent
from raconteur.errors import PipelineError
from raconteur.threads import wait_briefly


def run_locally(
    pipeline: Callable[..., Any], arguments: Mapping[str, str], *, folder: Path, notify: Callable[[StepEvent], None]
) -> dict[str, Any]:
    """Runs every step in order and returns the pipeline's outputs (artefacts by name).

    Args:
        folder: `root/` holds the artefacts, `cache/` the finished steps, `logs/<time>/` a file a step.
        notify: told of every step's start, lines and end.

    Raises:
        PipelineError: a step failed (the message ends with its last lines), or another run uses the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    logs = folder / "logs" / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    with _only_run(folder), _steps_end_with_us(), RunLog(logs, notify) as log, _captured(log):
        local.init(
            local.SubprocessRunner(use_venv=False),
            pipeline_root=str(folder / "root"),
            enable_caching=True,
            cache_root=str(folder / "cache"),
        )
        try:
            return dict(pipeline(**arguments).outputs)
        except RuntimeError as error:
            raise PipelineError(_failure(error, log)) from None


def _failure(error: RuntimeError, log: RunLog) -> str:
    if log.failed is None:
        return f"the pipeline failed: {error}; see {log.folder}"
    lines = "\n".join(f"  | {line}" for line in log.tail)
    return (
        f"step {log.failed} failed: {log.tail[-1] if log.tail else 'it printed nothing'}; its last lines:\n{lines}\n"
        f"the whole log is {log.folder / log.failed}.log; start again when it is mended: finished steps are kept"
    )


@contextlib.contextmanager
def _captured(log: RunLog) -> Iterator[None]:
    """Sends kfp's prints and log records to the run's log, and its steps' lines as they come."""
    os.environ["PYTHONUNBUFFERED"] = "1"  # a step's line is shown when it is printed
    wait_briefly()
    root = logging.getLogger()
    handler, level = logging.StreamHandler(log), root.level
    handler.setFormatter(logging.Formatter("%(asctime)s - %(levelname)s - %(message)s"))
    root.addHandler(handler)
    root.setLevel(logging.INFO)  # kfp tells of a cache hit at this level, outside its own logging context
    try:
        with contextlib.redirect_stdout(log), warnings.catch_warnings():
            # kfp suspects any image without "python" in its name
            warnings.filterwarnings("ignore", message="You may be attemping", category=RuntimeWarning)
            yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


@contextlib.contextmanager
def _only_run(folder: Path) -> Iterator[None]:
    """A lock that the system gives back when the process dies, however it dies."""
    with (folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PipelineError(f"another run uses {folder}; wait for its end, or set another workdir") from None
        yield


@contextlib.contextmanager
def _steps_end_with_us() -> Iterator[None]:
    """On SIGTERM the running step ends too; its checkpoint lets the next run resume it."""

    def stop(*_: object) -> None:
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.terminate()
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
