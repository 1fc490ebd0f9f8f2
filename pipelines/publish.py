"""Lays what a local run made where people, servers and monitoring look for it."""

import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.progress import RunProgress
from raconteur.artifacts import read_manifest, write_json


def write_steps(path: Path, progress: RunProgress, outputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Writes seconds and metrics of every step; a kept step keeps the seconds of the run that did it."""
    rows = [
        {
            "step": name,
            "seconds": round(seconds, 2),
            "cached": name in progress.cached,
            "metrics": dict(outputs[name].metadata) if name in outputs else {},
        }
        for name, seconds in progress.seconds.items()
    ]
    write_json(path, rows)
    return rows


def publish_folder(source: Path, target: Path) -> None:
    """Copies a finished artefact; a reader of `target` sees the old folder or the new one."""
    read_manifest(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    copy = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.tmp"
    old = copy.with_suffix(".old")
    try:
        shutil.copytree(source, copy)
        if target.exists():
            target.rename(old)
        copy.rename(target)
    finally:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
