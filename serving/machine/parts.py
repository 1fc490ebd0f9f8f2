"""The programs of the service on one machine: how each is started, where it listens, how to see that it is ready."""

import sys
from dataclasses import dataclass
from pathlib import Path

from raconteur.config.schema import Config
from serving.ports import grpc_port


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    command: tuple[str, ...]
    ports: tuple[int, ...]  # the first one is what people and probes talk to
    ready: str  # answers 200 when the part is ready


def parts_of(config: Config, config_json: Path) -> list[Part]:
    """In the order of their start, which is also the order of a cold path: models, recommender, dashboard."""
    serve = config.serve
    return [
        _ranker("student", config, port=serve.student_port),
        _ranker("reasoner", config, port=serve.reasoner_port),
        Part(
            "recommender",
            (sys.executable, "-m", "serving.recommender", "--config-json", str(config_json)),
            (serve.port,),
            f"http://{serve.host}:{serve.port}/v2/health/ready",
        ),
        _dashboard(config),
    ]


def _ranker(kind: str, config: Config, *, port: int) -> Part:
    host, models = config.serve.host, config.workdir / "models"
    command = ("-m", "serving.predictor", "--kind", kind, "--models", str(models), "--host", host, "--port", str(port))
    return Part(
        kind, (sys.executable, *command), (port, grpc_port(port)), f"http://{host}:{port}/v2/models/{kind}/ready"
    )


def _dashboard(config: Config) -> Part:
    host, port = config.serve.host, config.serve.evidently_port
    workspace = config.workdir / "monitoring" / "workspace"
    command = ("ui", "--workspace", str(workspace), "--host", host, "--port", str(port))
    evidently = (sys.executable, "-m", "evidently.cli", *command)
    return Part("dashboard", evidently, (port,), f"http://{host}:{port}/api/version")
