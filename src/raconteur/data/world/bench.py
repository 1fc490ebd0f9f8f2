"""How fast the world is made, writing included; `raconteur bench` prints it."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

from raconteur.config.schema import WorldConfig
from raconteur.data.world.write import write_world


def bench_world(config: WorldConfig) -> dict[str, float]:
    """Writes the world once to a temporary folder: seconds, events, and events a second (wall time)."""
    with TemporaryDirectory() as folder:
        start = time.perf_counter()
        num_events = write_world(config, Path(folder) / "world")["num_events"]
        seconds = time.perf_counter() - start
    return {"world_seconds": seconds, "world_events": num_events, "world_events_per_s": num_events / seconds}
