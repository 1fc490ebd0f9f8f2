"""What the Dockerfiles promise, read from their text: there is no Docker daemon where the tests run."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = {"serving": ["serving"], "pipelines": ["components", "pipelines", "monitoring"]}


def instructions(name: str) -> list[tuple[str, str]]:
    text = (ROOT / "images" / f"{name}.Dockerfile").read_text().replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines()]
    return [tuple(line.split(maxsplit=1)) for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("name", FILES)
def test_dockerfile_runs_as_an_ordinary_user_with_pinned_packages(name: str):
    steps = instructions(name)
    assert steps[0] == ("FROM", "python:3.11-slim")
    assert [value for step, value in steps if step == "USER"] == ["10001:10001"]
    installs = [value for step, value in steps if step == "RUN" and "pip install" in value]
    assert len(installs) == 1
    assert "--constraint constraints.txt" in installs[0]
    assert not any(step == "ADD" for step, _ in steps)


@pytest.mark.parametrize(("name", "packages"), FILES.items())
def test_dockerfile_copies_what_it_runs_and_its_ignore_file_lets_it_through(name: str, packages: list[str]):
    copied = [source for step, value in instructions(name) if step == "COPY" for source in value.split()[:-1]]
    assert {"src", "feature_repo", *packages} <= set(copied)
    allowed = (ROOT / "images" / f"{name}.Dockerfile.dockerignore").read_text().splitlines()
    assert {f"!{source}" for source in copied} <= set(allowed)
    missing = [source for source in copied if not (ROOT / source).exists()]
    assert missing == []


def test_dockerfile_build_commands_name_the_project_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for name in FILES:
        assert f"-t raconteur/{name}:{version} ." in (ROOT / "images" / f"{name}.Dockerfile").read_text()
