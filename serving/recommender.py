"""The recommender under Ray Serve. `python -m serving.recommender --config-json FILE` runs it until SIGTERM.

One replica holds retrieval, features and the student, since a hop between Ray processes costs more than any of them. In
a cluster KubeRay calls `build` itself (import path `serving.recommender:build`, argument `config_json`).

To end: the replica says that it is not ready, refuses new requests and finishes those in work; then its logs are
flushed, and Ray and HAProxy stop. In a cluster Ray does the same in its own way: HAProxy hears that the replica drains.
"""

import argparse
import asyncio
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from raconteur.errors import RaconteurError, ServingError
from serving.door.access import refuse_unguarded
from serving.machine.local_ray import keep_replica_on_loopback, local_ray
from serving.settings import read_config

if TYPE_CHECKING:
    from fastapi import FastAPI
    from ray.serve import Application

NAME = "recommender"
DRAIN_S = 10.0  # requests in work may take this long when the recommender is told to end
CLOSE_S = 10.0  # and the logs this long to be flushed
# Requests that Ray lets into the replica. The door turns away sooner, and says why (serve.max_waiting).
MAX_ONGOING = 512
LOGGING = {"encoding": "JSON", "enable_access_log": False}  # of Ray Serve's own loggers
WAIT_S = 30.0  # a request waits at most this long for a replica that is started again


class Recommender:
    """The deployment. The app is built in the replica, so that models and connections never leave their process.

    Args:
        config_json: a resolved config.
        on_loopback: no other machine calls the replica (see `local_ray`).
    """

    def __init__(self, config_json: Path, *, on_loopback: bool) -> None:
        self._config_json = config_json
        self._on_loopback = on_loopback

    def __serve_build_asgi_app__(self) -> "FastAPI":  # Ray Serve asks for it by this name
        from serving.machine.lean_feast import import_feast

        import_feast()  # before what follows imports it in its slow way
        from serving.records.json_log import configure_json_logs

        configure_json_logs(NAME)
        from serving.door.app import create_app
        from serving.door.readiness import Readiness
        from serving.path.service import open_service

        if self._on_loopback:
            keep_replica_on_loopback()
        self._readiness = Readiness()
        return create_app(open_service(read_config(self._config_json)), self._readiness, with_grpc=True)

    async def drain(self) -> int:
        """Requests that were still in work when the time was up."""
        return await self._readiness.drain(DRAIN_S)


def build(args: dict[str, str]) -> "Application":
    """The Ray Serve application, as KubeRay asks for it.

    Args:
        args: `config_json`, the path of a resolved config.
    """
    return application(Path(args["config_json"]), on_loopback=False)


def application(config_json: Path, *, on_loopback: bool) -> "Application":
    from ray import serve

    deployment: serve.Deployment = serve.deployment(serve.ingress()(Recommender))  # type: ignore[assignment]  # Ray's overloads
    return deployment.options(
        name=NAME,
        num_replicas=1,
        max_ongoing_requests=MAX_ONGOING,
        max_queued_requests=MAX_ONGOING,
        logging_config=LOGGING,
        health_check_period_s=1.0,  # a replica that died is noticed, and started again, this soon
        ray_actor_options={"num_cpus": 1},
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=DRAIN_S + CLOSE_S,
    ).bind(config_json.resolve(), on_loopback=on_loopback)


def run(config_json: Path) -> None:
    """Serves until SIGTERM or Ctrl-C.

    Raises:
        ServingError: the application did not start; its log says why.
    """
    config = read_config(config_json)
    refuse_unguarded(config)
    with local_ray():
        from ray import serve

        from serving.records.json_log import configure_json_logs

        configure_json_logs(NAME)  # after Ray has put its own handlers in place
        http = {"host": config.serve.host, "port": config.serve.port, "request_timeout_s": WAIT_S}
        serve.start(http_options={**http, "location": "HeadOnly"}, logging_config=LOGGING)
        try:
            serve.run(application(config_json, on_loopback=True), name=NAME, route_prefix="/")
        except RuntimeError as error:
            raise ServingError(f"the recommender did not start: {error}") from error
        print(f"recommender: http://{config.serve.host}:{config.serve.port}", flush=True)
        try:
            threading.Event().wait()
        finally:
            asyncio.run(_end())


async def _end() -> None:
    """Has the replica finish what is in work while HAProxy still stands before it; Ray would stop both at once."""
    from ray import serve

    try:
        async with asyncio.timeout(DRAIN_S + 2):
            num_left = await serve.get_app_handle(NAME).drain.remote()
        print(f"recommender: drained, {num_left} requests were left", flush=True)
    except Exception as error:  # a replica that is gone has nothing in work; the end goes on whatever it says
        print(f"recommender: not drained: {error!r}", flush=True)
    await serve.shutdown_async()  # in the event loop of the handle, which Ray wants to close in it


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
