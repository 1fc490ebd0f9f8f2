"""The programs of the service on one machine, from its config.

Only the recommender may listen wider than loopback: it alone asks for keys.
"""

import sys
from pathlib import Path

from raconteur.config.schema import Config
from serving.machine.state import Part
from serving.ports import LOOPBACK, grpc_port


def parts_of(config: Config, config_json: Path) -> list[Part]:
    """In the order of their start: first what takes longest."""
    serve = config.serve
    return [
        Part(
            "recommender",
            (sys.executable, "-m", "serving.recommender", "--config-json", str(config_json)),
            (serve.port, serve.grpc_port),
            f"http://{serve.host}:{serve.port}/v2/health/ready",
        ),
        _ranker("student", config, port=serve.student_port),
        _ranker("reasoner", config, port=serve.reasoner_port),
        _dashboard(config),
    ]


def _ranker(kind: str, config: Config, *, port: int) -> Part:
    models = config.workdir / "models"
    where = ("--host", LOOPBACK, "--port", str(port))
    command = (sys.executable, "-m", "serving.predictor", "--kind", kind, "--models", str(models), *where)
    return Part(kind, command, (port, grpc_port(port)), f"http://{LOOPBACK}:{port}/v2/models/{kind}/ready")


def _dashboard(config: Config) -> Part:
    port = config.serve.evidently_port
    workspace = config.workdir / "monitoring" / "workspace"
    command = ("ui", "--workspace", str(workspace), "--host", LOOPBACK, "--port", str(port))
    evidently = (sys.executable, "-m", "evidently.cli", *command)
    return Part("dashboard", evidently, (port,), f"http://{LOOPBACK}:{port}/api/version")
