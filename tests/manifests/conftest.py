"""The manifests as kustomize renders them, once a session."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
REQUIRED = "RACONTEUR_REQUIRE_KUSTOMIZE"  # set where a missing kustomize must fail (CI)
FOLDERS = {"base": "manifests/base", "laptop": "manifests/overlays/laptop", "monitoring": "monitoring"}

Objects = dict[tuple[str, str], dict[str, Any]]


def kustomize() -> list[str]:
    """The command that renders a folder; kubectl before 1.22 carries a kustomize that is too old for the manifests."""
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    if shutil.which("kubectl"):
        return ["kubectl", "kustomize"]
    reason = "neither kustomize nor kubectl (1.22 or newer) is installed: the manifests were not rendered"
    if os.environ.get(REQUIRED):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def rendered() -> Callable[[str], Objects]:
    """Renders a folder of FOLDERS; the objects by kind and name."""
    known: dict[str, Objects] = {}

    def render(name: str) -> Objects:
        if name not in known:
            command = [*kustomize(), str(ROOT / FOLDERS[name])]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr
            assert done.stderr == ""  # deprecated fields warn there
            objects = [document for document in yaml.safe_load_all(done.stdout) if document]
            known[name] = {(item["kind"], item["metadata"]["name"]): item for item in objects}
        return known[name]

    return render
