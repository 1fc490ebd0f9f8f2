"""`raconteur ablate` as a user meets it."""

import subprocess
import sys
from pathlib import Path

import pytest

from raconteur.config.ablation import data_config, load_ablation

ROOT = Path(__file__).parents[3]
ABLATIONS = sorted(ROOT.glob("configs/ablation*.toml"))
ABSENT = 'name = "absent"\n[data]\nlayout = "movielens"\npath = "nowhere"\n'


def ablate(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "raconteur.cli.main", "ablate", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=cwd,
        check=False,
    )


@pytest.fixture
def folder(tmp_path):
    """A folder with an ablation whose only data set is not there."""
    (tmp_path / "absent.toml").write_text(ABSENT)
    head = '[ablation]\nname = "a"\nworkdir = "runs"\ndata = ["absent.toml"]\n'
    (tmp_path / "a.toml").write_text(head + 'verbalizers = ["clean"]\nreasoners = ["frozen"]\n')
    (tmp_path / "blocked.toml").write_text((tmp_path / "a.toml").read_text().replace('"runs"', '"a.toml/runs"'))
    return tmp_path


def test_dry_run_prints_the_plan_and_writes_nothing(folder):
    done = ablate("--config", "a.toml", "--dry-run", cwd=folder)
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["absent/0/baselines", "absent/0/clean/frozen"]
    assert not (folder / "runs").exists()


def test_failed_cells_end_with_status_1_and_a_report(folder):
    done = ablate("--config", "a.toml", cwd=folder)
    assert done.returncode == 1
    assert "absent/0/clean/frozen: data: " in done.stderr
    assert "## Failed" in (folder / "runs" / "report.md").read_text()


def test_report_alone_runs_nothing(folder):
    done = ablate("--config", "a.toml", "--report", cwd=folder)
    assert done.returncode == 0
    assert "- absent/0: baselines, clean/frozen" in (folder / "runs" / "report.md").read_text()
    assert not (folder / "runs" / "absent").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config", "none.toml"], ["none.toml does not exist"]),
        (["--config", "a.toml", "--cell", "world/*"], ["nothing fits 'world/*'", "absent/0/baselines"]),
        (["--config", "a.toml", "--set", "nothing.at=1"], ["nothing", "unknown setting"]),
        (["--config", "."], ["config file . cannot be read"]),
        (["--config", "blocked.toml"], ["workdir a.toml/runs cannot be made: Not a directory"]),
    ],
)
def test_known_error_is_one_clear_line_and_status_1(folder, arguments, words):
    done = ablate(*arguments, cwd=folder)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert all(word in done.stderr for word in words), done.stderr


@pytest.mark.parametrize("path", ABLATIONS, ids=[path.name for path in ABLATIONS])
def test_ablation_of_the_repository_loads_with_all_its_data(path):
    ablation = load_ablation(path)
    assert ablation.workdir == Path("runs") / ablation.name
    assert ablation.name == path.stem
    for data in ablation.data:
        assert data_config(ablation, data).name == data.stem
        for variant in ablation.variants:
            data_config(ablation, data, [*variant.set, *variant.tune])
