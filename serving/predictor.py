"""`python -m serving.predictor --kind student|reasoner --models DIR`: one KServe model server.

Arguments are parsed before kserve is imported, because kserve reads `sys.argv` itself while it is imported.
"""

import argparse
import logging
import sys
from pathlib import Path

from raconteur.errors import RaconteurError
from serving.ports import grpc_port


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
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
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
        )
    except RaconteurError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
