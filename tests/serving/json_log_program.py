"""A program that logs in all the ways that a process of the service can; its stderr is what the test reads.

json_log_program.py uncaught                       writes lines, then ends by an exception that nobody catches
json_log_program.py serve MODELS PORT GRPC_PORT    a model server of the four-film world
"""

import logging
import sys
import threading
import warnings
from pathlib import Path

from serving.records.json_log import configure_json_logs, request_id_var


def uncaught():
    import ray  # noqa: F401  # as in a replica, where its logger has a handler already

    configure_json_logs("recommender")
    request_id_var.set("r-1")
    for name in ("serving", "uvicorn", "uvicorn.error", "uvicorn.access", "kserve", "kserve.trace", "ray", "ray.serve"):
        logging.getLogger(name).warning("from %s", name)
    logging.getLogger("serving").info('ends\n{"level": "critical", "message": "forged"}\r\x1b[31m \u2028 \x00 \ud800')
    logging.getLogger("serving").debug("too fine to be seen")
    logging.getLogger("httpx").info("GET /a/line/per/request")
    logging.getLogger("ray.serve").info("GET /users/user-4711 200", extra={"serve_access_log": True})  # as Ray marks it
    warnings.warn("from warnings", stacklevel=1)
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    raise RuntimeError("first line\nsecond line")


def serve(models, port, grpc_port):
    from serving_world import load_ranker

    from serving.models import model_server

    configure_json_logs("student")
    model_server.serve("student", Path(models), load_ranker, host="127.0.0.1", port=int(port), grpc_port=int(grpc_port))


if __name__ == "__main__":
    mode, *arguments = sys.argv[1:]
    sys.argv = sys.argv[:1]  # kserve reads the arguments at import
    {"uncaught": uncaught, "serve": serve}[mode](*arguments)
