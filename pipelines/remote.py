"""Compiles a pipeline to KFP's intermediate representation and hands it to a Kubeflow endpoint."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import httpx
from kfp import Client, compiler

from raconteur.errors import PipelineError

PROBE_TIMEOUT_S = 10.0
SUBMIT_TIMEOUT_S = 60.0


def compile_to(pipeline: Any, out: Path) -> Path:
    """Writes the pipeline as IR YAML; the old file stays until the new one is complete."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out.parent, prefix=".compile-") as folder:
            compiled = Path(folder) / "pipeline.yaml"
            compiler.Compiler().compile(pipeline, str(compiled))
            compiled.replace(out)
    except OSError as error:
        raise PipelineError(f"{out} cannot be written: {error}") from None
    return out


def submit(
    pipeline: Any,
    arguments: Mapping[str, str],
    *,
    endpoint: str,
    experiment: str,
    probe_timeout_s: float = PROBE_TIMEOUT_S,
    timeout_s: float = SUBMIT_TIMEOUT_S,
) -> str:
    """Starts a run on a Kubeflow endpoint and returns its id.

    Raises:
        PipelineError: nothing answers as Kubeflow at the endpoint, or it refused the run or did not answer in time.
    """
    probe(endpoint, timeout_s=probe_timeout_s)
    with TemporaryDirectory() as folder:
        package = compile_to(pipeline, Path(folder) / "pipeline.yaml")

        def start() -> str:
            run = Client(host=endpoint).create_run_from_pipeline_package(
                str(package), arguments=dict(arguments), experiment_name=experiment
            )
            return str(run.run_id)

        try:
            return _within(timeout_s, start)
        except TimeoutError:
            raise PipelineError(
                f"{endpoint} did not take the run within {timeout_s:g} s; look there if it runs"
            ) from None
        except Exception as error:  # the client raises its own, urllib3's and plain errors; all mean: not started
            raise PipelineError(f"{endpoint} refused the run: {type(error).__name__}: {error}") from error


def probe(endpoint: str, *, timeout_s: float) -> None:
    """Asks for Kubeflow's health, so that a wrong address fails in seconds and in plain words."""
    url = f"{endpoint.rstrip('/')}/apis/v2beta1/healthz"
    try:
        answer = httpx.get(url, timeout=timeout_s, follow_redirects=True)
        answer.raise_for_status()
        answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise PipelineError(
            f"no Kubeflow Pipelines API answers at {endpoint} ({type(error).__name__}: {error}); "
            "check the address, for instance through `kubectl port-forward -n kubeflow svc/ml-pipeline 8888`"
        ) from None


def _within(timeout_s: float, call: Callable[[], str]) -> str:
    """The client of kfp takes no timeout, so the call runs in a thread that does not keep the program alive."""
    outcome: Future[str] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except Exception as error:
            outcome.set_exception(error)

    Thread(target=run, daemon=True).start()
    return outcome.result(timeout_s)
