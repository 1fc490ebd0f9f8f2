"""The recommender under Ray Serve. `python -m serving.recommender --config-json FILE` runs it until SIGTERM.

One replica holds retrieval and features, since a hop between Ray processes costs more than either. In a cluster KubeRay
calls `build` itself (import path `serving.recommender:build`, argument `config_json`).
"""

import argparse
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from raconteur.errors import RaconteurError, ServingError
from serving.machine.local_ray import keep_replica_on_loopback, local_ray
from serving.settings import read_config

if TYPE_CHECKING:
    from fastapi import FastAPI
    from ray.serve import Application

NAME = "recommender"
MAX_ONGOING = 64  # requests in the replica; as many again wait, further ones are answered 503


def build(args: dict[str, str]) -> "Application":
    """The Ray Serve application, as KubeRay asks for it.

    Args:
        args: `config_json`, the path of a resolved config.
    """
    return application(Path(args["config_json"]), on_loopback=False)


def application(config_json: Path, *, on_loopback: bool) -> "Application":
    """
    Args:
        on_loopback: no other machine calls the replica (see `local_ray`).
    """
    from ray import serve

    config_json = config_json.resolve()

    def app() -> "FastAPI":  # called in the replica, so that models and connections never leave their process
        # In this order: Feast, once imported, makes prometheus_client keep its values in files, for several processes.
        from serving.door.app import create_app
        from serving.path.service import open_service

        if on_loopback:
            keep_replica_on_loopback()
        return create_app(open_service(read_config(config_json)))

    deployment: serve.Deployment = serve.deployment(serve.ingress(app)())  # type: ignore[assignment]  # Ray's overloads
    return deployment.options(
        name=NAME,
        num_replicas=1,
        max_ongoing_requests=MAX_ONGOING,
        max_queued_requests=MAX_ONGOING,
        ray_actor_options={"num_cpus": 1},
        graceful_shutdown_timeout_s=5,
    ).bind()


def run(config_json: Path) -> None:
    """Serves until SIGTERM or Ctrl-C.

    Raises:
        ServingError: the application did not start; its log says why.
    """
    config = read_config(config_json)
    with local_ray():
        from ray import serve

        serve.start(http_options={"host": config.serve.host, "port": config.serve.port, "location": "HeadOnly"})
        try:
            serve.run(application(config_json, on_loopback=True), name=NAME, route_prefix="/")
        except RuntimeError as error:
            raise ServingError(f"the recommender did not start: {error}") from error
        print(f"recommender: http://{config.serve.host}:{config.serve.port}", flush=True)
        threading.Event().wait()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m serving.recommender", description="The recommender, under Ray.")
    parser.add_argument("--config-json", type=Path, required=True, help="a resolved config")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # unwinds, so that Ray is stopped
    try:
        run(options.config_json)
    except RaconteurError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
