"""The command line as a user meets it: help without heavy imports, one line on a known error, dry runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "torch",
    "polars",
    "pydantic",
    "numpy",
    "pyarrow",
    "transformers",
    "kfp",
    "feast",
    "ray",
    "kserve",
    "evidently",
)
COMMANDS = (
    *("data", "features", "train", "llm", "evaluate", "ablate", "students", "pipeline", "serve"),
    *("recommend", "monitor", "route", "doctor", "bench", "quantise", "export", "demo", "keys"),
)
ROOT = Path(__file__).parents[3]


def raconteur(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "raconteur.cli.main", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=cwd,
        check=False,
    )


def test_help_loads_nothing_heavy():
    program = (
        "import sys; sys.argv = ['raconteur', '--help']\n"
        "from raconteur.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    loaded = set(json.loads(done.stderr.replace("'", '"')))
    assert loaded.isdisjoint(HEAVY), loaded & set(HEAVY)
    commands = [
        "data",
        "features",
        "train",
        "llm",
        "evaluate",
        "ablate",
        "pipeline",
        "serve",
        "recommend",
        "monitor",
        "doctor",
        "bench",
        "demo",
    ]
    assert all(command in done.stdout for command in commands)


@pytest.mark.parametrize("group", ["data", "features", "pipeline", "monitor", "train", "serve", "demo", "bench"])
def test_help_of_each_command_answers(group):
    done = raconteur(group, "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout


def test_dry_run_prints_resolved_config_and_writes_nothing(tmp_path):
    (tmp_path / "one.toml").write_text('name = "one"\nworkdir = "here"\n[world]\nnum_users = 5\n')
    (tmp_path / "two.toml").write_text("[world]\nnum_items = 7\n")
    done = raconteur(
        "train", "--config", "one.toml", "--config", "two.toml", "--set", "world.num_users=6", "--dry-run", cwd=tmp_path
    )
    resolved = json.loads(done.stdout)
    assert resolved["world"]["num_users"] == 6  # the override wins over the file
    assert resolved["world"]["num_items"] == 7
    assert resolved["name"] == "one"
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--config", "none.toml"], ["none.toml does not exist", "configs/"]),
        (["train", "--set", "world.nothing=1"], ["world.nothing", "unknown setting"]),
        (["train", "--set", "data.layout=table"], ["data.path"]),
        (["evaluate", "--set", "workdir=nowhere"], ["report.md", "raconteur train"]),
        (["data", "show", "--folder", "nowhere"], ["nowhere", "manifest.json is missing"]),
        (["monitor", "rollback", "--set", "workdir=nowhere"], ["no earlier champion"]),
        (["monitor", "ui", "--set", "workdir=nowhere"], ["raconteur monitor check"]),
        (
            ["monitor", "shift", "taste", "--set", "data.layout=movielens", "--set", "data.path=x"],
            ["real log", "incoming"],
        ),
    ],
)
def test_known_error_is_one_clear_line_and_status_1(arguments, words, tmp_path):
    done = raconteur(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert all(word in done.stderr for word in words), done.stderr


def test_known_error_with_debug_shows_the_traceback(tmp_path):
    done = raconteur("--debug", "train", "--set", "world.nothing=1", cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "ConfigError" in done.stderr


def test_unknown_command_is_a_usage_error(tmp_path):
    assert raconteur("tarin", cwd=tmp_path).returncode == 2
