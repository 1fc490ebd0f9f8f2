"""Whole-repository checks: what must hold of every file of a kind, whoever wrote it."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from raconteur.config.ablation import data_config, load_ablation
from raconteur.config.load import load
from raconteur.config.schema import Config

ROOT = Path(__file__).parents[2]
IGNORED = {
    *(".venv", ".git", "runs", "build", "dist", "__pycache__", "raconteur.egg-info"),
    *(".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".import_linter_cache"),
}
SDKS = ("kfp", "kserve", "ray", "feast", "evidently", "tritonclient")
ABLATIONS = sorted(ROOT.glob("configs/ablation*.toml"))
CONFIGS = sorted({*ROOT.glob("configs/*.toml"), *ROOT.glob("configs/ablation/*.toml")} - {*ABLATIONS})
COMPONENTS = sorted(ROOT.glob("components/*/component.py"))
PIPELINES = [path for path in sorted(ROOT.glob("pipelines/*.py")) if "@dsl.pipeline" in path.read_text()]
# A path of somebody's machine, and the address of a package index of one's own.
FOREIGN = re.compile(r"(?<![\w.])/(work|home/\w+|Users/\w+|root)/|https?://[^\s/]*(?:artifactory|nexus|devpi)[^\s]*")


def repository_texts() -> list[Path]:
    """Text files that belong to the repository, tracked or not."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    names = listed.stdout.split("\n") if listed.returncode == 0 else []
    paths = [ROOT / name for name in names if name] or [path for path in ROOT.rglob("*") if path.is_file()]
    return [path for path in paths if path.is_file() and IGNORED.isdisjoint(path.relative_to(ROOT).parts)]


def names_of(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("path", CONFIGS, ids=names_of(CONFIGS))
def test_config_file_loads_and_its_folders_are_its_own(path):
    config = load([path])
    assert config.workdir.name == config.name == path.stem
    if config.data.mapping is not None:
        assert (ROOT / config.data.mapping).is_file()


@pytest.mark.parametrize("path", ABLATIONS, ids=names_of(ABLATIONS))
def test_ablation_file_loads_and_so_do_its_data_sets(path):
    ablation = load_ablation(path)
    assert ablation.workdir.name == ablation.name == path.stem
    assert {data_config(ablation, data).name for data in ablation.data} == {data.stem for data in ablation.data}


def test_config_schema_every_default_is_valid():
    assert Config.model_validate_json(Config().model_dump_json()) == Config()


def test_toml_files_all_parse():
    for path in repository_texts():
        if path.suffix == ".toml":
            tomllib.loads(path.read_text())


@pytest.mark.parametrize("path", PIPELINES, ids=names_of(PIPELINES))
def test_pipeline_compiles(path, tmp_path):
    from kfp import compiler

    name = path.stem
    module = importlib.import_module(f"pipelines.{name}")
    compiler.Compiler().compile(getattr(module, name), str(tmp_path / "ir.yaml"))
    assert next(yaml.safe_load_all((tmp_path / "ir.yaml").read_text()))["pipelineInfo"]["name"] == name


def test_pipelines_and_components_are_found():
    assert names_of(PIPELINES) == ["pipelines/train.py"]
    assert len(COMPONENTS) == 15


@pytest.mark.parametrize("path", COMPONENTS, ids=names_of(COMPONENTS))
def test_component_is_thin_and_installs_nothing(path):
    text = path.read_text()
    tree = ast.parse(text)
    imported = {name for node in tree.body for name in _modules(node)}
    assert "from __future__ import annotations" not in text  # kfp would read the artefact types as text
    assert imported == {"kfp", "kfp.dsl"}, "imports of the body belong into the body"
    (function,) = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert function.name == path.parent.name
    (decorator,) = [ast.unparse(node) for node in function.decorator_list]
    assert decorator == "dsl.component(base_image='raconteur/pipelines:0.1.0', install_kfp_package=False)"
    assert "log_metrics(" in ast.unparse(function.body[-1]), "without its metrics file a step is never cached"
    assert (path.parent / "README.md").is_file()


def test_pipeline_files_have_no_postponed_annotations():
    for path in PIPELINES:
        assert not re.search(r"^from __future__ import annotations", path.read_text(), re.MULTILINE)


def test_core_imports_no_platform_sdk():
    """Every module of the core in one fresh process; the list of loaded modules names no SDK."""
    modules = [
        ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
        for path in sorted((ROOT / "src" / "raconteur").rglob("*.py"))
    ]
    program = (
        "import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        f"print([name for name in {SDKS!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_no_file_names_a_path_of_somebodys_machine():
    found = []
    for path in repository_texts():
        try:
            lines = path.read_text().splitlines()
        except UnicodeDecodeError:
            continue  # an image
        if path != Path(__file__):
            found += [
                f"{path.relative_to(ROOT)}:{i}: {line.strip()}"
                for i, line in enumerate(lines, 1)
                if FOREIGN.search(line)
            ]
    assert found == []


def test_every_package_of_the_house_has_a_readme():
    for folder in ("components", "pipelines", "serving", "feature_repo", "monitoring", "manifests"):
        assert (ROOT / folder / "README.md").is_file(), folder


def test_constraints_pin_every_dependency_as_pyproject_does():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line)
    named = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    for requirement in named:
        name, _, version = requirement.partition("==")
        name = re.sub(r"\[.*\]", "", name)
        if version and name in pins:
            assert pins[name] == version, requirement


def _modules(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []
