"""`python -m serving.predictor --kind student|reasoner --models DIR`: one KServe model server.

Arguments are parsed before kserve is imported, because kserve reads `sys.argv` itself while it is imported.
"""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from raconteur.artifacts import Registry
from raconteur.errors import RaconteurError
from serving.ports import grpc_port
from serving.records.json_log import configure_json_logs

if TYPE_CHECKING:
    from serving.models.verbalizer import VerbalizerModel
    from serving.records.metrics import ModelMetrics


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m serving.predictor", description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=("student", "reasoner"), required=True)
    parser.add_argument("--models", type=Path, required=True, help="model registry; its champion.json is followed")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="REST")
    parser.add_argument("--grpc-port", type=int, help="default: the REST port plus 10")
    options = parser.parse_args(arguments)
    if options.grpc_port is None:
        options.grpc_port = grpc_port(options.port)
    return options


def main() -> int:
    options = parse(sys.argv[1:])
    sys.argv = sys.argv[:1]
    configure_json_logs(options.kind)
    from raconteur.reason.load import load_reasoner, load_student
    from serving.models.model_server import serve

    load = {"student": load_student, "reasoner": load_reasoner}[options.kind]
    try:
        serve(
            options.kind,
            options.models,
            load,
            host=options.host,
            port=options.port,
            grpc_port=options.grpc_port,
            # Both need torch, and a narrative is written so seldom that it needs no process of its own.
            beside=partial(_beside, options),
        )
    except RaconteurError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _beside(options: argparse.Namespace, metrics: "ModelMetrics") -> "list[VerbalizerModel]":
    """The Verbalizer beside the Reasoner, if the champion has one."""
    if options.kind != "reasoner" or not (Registry(options.models).champion_folder() / "verbalizer").is_dir():
        return []
    from serving.models.verbalizer import open_verbalizer  # loads torch, which the student's server does without

    return [open_verbalizer(options.models, metrics)]


if __name__ == "__main__":
    sys.exit(main())
