"""`raconteur llm` as it is started by a launcher: a module of its own."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def llm(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "raconteur.cli.llm", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
        check=False,
    )


def test_dry_run_prints_the_config_of_both_files():
    files = ("--config", "configs/production.toml", "--config", "configs/qwen3.toml")
    done = llm("verbalizer", *files, "--set", "llm.vllm=colocate", "--dry-run")
    assert done.returncode == 0, done.stderr
    settings = json.loads(done.stdout)
    assert settings["data"]["path"] == "s3://raconteur/log"
    assert (settings["llm"]["base"], settings["llm"]["vllm"]) == ("Qwen/Qwen3-8B", "colocate")


def test_without_prepared_data_one_line_says_so(tmp_path):
    done = llm("verbalizer", "--config", "configs/qwen3.toml", "--set", f"workdir={tmp_path}")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr
