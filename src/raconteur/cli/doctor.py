"""`raconteur doctor`: is this machine fit for the whole loop? Every row says what to do where it is not."""

import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from raconteur.cli.settings import ConfigFiles, Overrides, resolve

if TYPE_CHECKING:
    from raconteur.config.schema import Config

CONSTRAINTS = Path("constraints.txt")
MIN_MEMORY_GIB = 8.0
MIN_DISK_GIB = 5.0
OPTIONAL_PROGRAMS = {
    "uv": "a faster `make env`; pip does without it",
    "kubectl": "renders the manifests in the tests",
    "redis-server": "the online store of a cluster",
    "docker": "builds the images of a cluster",
}


@dataclass(frozen=True, slots=True)
class Finding:
    what: str
    state: Literal["ok", "absent", "bad"]  # absent: optional and not there
    detail: str


def doctor(config: ConfigFiles = None, overrides: Overrides = None) -> None:
    """Check Python, packages, cores, memory, disk, ports and optional programs."""
    from rich.console import Console
    from rich.table import Table

    findings = list(examine(resolve(config, overrides)))
    colours = {"ok": "green", "absent": "yellow", "bad": "red"}
    table = Table("check", "state", "detail")
    for finding in findings:
        table.add_row(finding.what, f"[{colours[finding.state]}]{finding.state}[/]", finding.detail)
    Console().print(table)
    if any(finding.state == "bad" for finding in findings):
        raise typer.Exit(1)


def examine(config: "Config") -> Iterator[Finding]:
    yield _python()
    yield _packages(CONSTRAINTS)
    yield Finding("cores", "ok", f"{os.cpu_count()}")
    yield _memory()
    yield _disk(config.workdir)
    serving = config.serve
    for name in ("port", "student_port", "reasoner_port", "grpc_port", "evidently_port"):
        yield _port(f"serve.{name}", serving.host, getattr(serving, name))
    for program, use in OPTIONAL_PROGRAMS.items():
        yield _program(program, use)
    logs = Path("../shared/data")
    yield Finding("real logs", "ok" if logs.is_dir() else "absent", f"{logs}: read by tests marked `shared`")


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    fits = (3, 11) <= sys.version_info[:2] < (3, 13)
    return Finding("python", "ok" if fits else "bad", version if fits else f"{version}; 3.11 or 3.12 is needed")


def _packages(constraints: Path) -> Finding:
    """Installed versions against the lock; a package that is not installed is no matter (optional extras)."""
    if not constraints.is_file():
        return Finding("packages", "absent", f"no {constraints} here; run this in the project's folder")
    pins = dict(line.strip().split("==") for line in constraints.read_text().splitlines() if "==" in line)
    other = [
        f"{name} {found} (lock: {pin})" for name, pin in pins.items() if (found := _version(name)) not in (pin, None)
    ]
    if other:
        return Finding("packages", "bad", f"{', '.join(other[:5])}; run `make env`")
    return Finding("packages", "ok", f"as in {constraints} ({len(pins)} pins)")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name).split("+")[0]  # 2.13.0+cpu is the 2.13.0 of the lock
    except metadata.PackageNotFoundError:
        return None


def _memory() -> Finding:
    import psutil

    gib = psutil.virtual_memory().available / 2**30
    return Finding("memory", *_enough(gib, MIN_MEMORY_GIB, "available"))


def _disk(workdir: Path) -> Finding:
    place = next(path for path in (workdir, *workdir.parents) if path.exists())
    return Finding("disk", *_enough(shutil.disk_usage(place).free / 2**30, MIN_DISK_GIB, f"free at {place}"))


def _enough(gib: float, wanted: float, what: str) -> tuple[Literal["ok", "bad"], str]:
    text = f"{gib:.1f} GiB {what}"
    return ("ok", text) if gib >= wanted else ("bad", f"{text}; the demo needs {wanted:.0f} GiB")


def _port(name: str, host: str, port: int) -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            remedy = "stop what uses it (`raconteur serve --down`?) or set another"
            return Finding(name, "bad", f"{host}:{port}: {error.strerror}; {remedy}")
    return Finding(name, "ok", f"{host}:{port} is free")


def _program(name: str, use: str, which: Callable[[str], str | None] = shutil.which) -> Finding:
    place = which(name)
    return Finding(name, "ok" if place else "absent", f"{place or 'not found'}: {use}")
