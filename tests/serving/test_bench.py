"""`raconteur bench serve` and the program behind it, against small real servers."""

import json
import subprocess
import sys
from datetime import timedelta

import polars as pl
import pytest
from answering import always, answering, http, ranked
from serving_world import START, write_version
from typer.testing import CliRunner

from raconteur.cli.bench import app
from raconteur.config.schema import Config
from raconteur.errors import DataError, ServingError
from serving.load import bench
from serving.load.about import about
from serving.machine.state import Stack, write_stack

USERS = [f"u{number}" for number in range(50)]
OK = http(ranked(latency_ms=2.0, features=0.5, student=1.0))


@pytest.fixture
def config(tmp_path):
    """A run that knows fifty users."""
    (tmp_path / "data").mkdir()
    rows = {"user_id": USERS, "item_id": "i1", "event_time": [START + timedelta(hours=n) for n in range(50)]}
    pl.DataFrame(rows).write_parquet(tmp_path / "data" / "events.parquet")
    return Config(workdir=tmp_path)


@pytest.fixture
def short(monkeypatch):
    """The same run with fewer requests."""
    monkeypatch.setattr(bench, "NUM_REQUESTS", 60)
    monkeypatch.setattr(bench, "NUM_WARM", 8)


def options(*arguments):
    return bench.parse(["--config-json", "unused", *arguments])


def program(config, *arguments, env=None):
    path = config.workdir / "bench.json"
    path.write_text(config.model_dump_json())
    command = [sys.executable, "-m", "serving.load.bench", "--config-json", str(path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=env)


def test_run_default_measures_client_closed_loops_and_open_loop(config, short):
    with answering(always(OK)) as server:
        config = config.model_copy(update={"serve": config.serve.model_copy(update={"port": server.port})})
        report = bench.run(config, options("--seconds", "0.5"))
    assert [load.name for load in report.loads] == ["client alone", "1 at a time", "16 at a time", "100 a second"]
    assert [load.num_answered for load in report.loads[:3]] == [60, 60, 60]
    assert all(load.errors == {} for load in report.loads)
    assert list(report.loads[1].stages) == ["features", "student", "between", "outside"]
    asked = [body["user_id"] for body in server.bodies]
    assert sorted(asked[:50]) == sorted(USERS)  # each once before anyone a second time
    assert asked[:50] != sorted(asked[:50])
    assert asked[50:100] == asked[:50]
    assert {body["k"] for body in server.bodies} == {10}
    # This run has no champion and no stack: the rest is measured all the same, and both are said.
    assert any("floor: not measured" in remark and "no champion" in remark for remark in report.remarks)
    assert any("no local stack" in remark for remark in report.remarks)
    assert "hardware" in report.facts
    assert "onnxruntime" in report.facts["versions"]


def test_run_another_address_has_neither_floor_nor_memory_of_this_machine(config, short):
    with answering(always(OK)) as server:
        report = bench.run(config, options("--address", f"{server.address}/", "--concurrency", "2", "--seconds", "0.2"))
    assert [load.name for load in report.loads] == ["client alone", "2 at a time"]
    assert report.memory is None
    assert not any("floor" in remark for remark in report.remarks)


def test_run_soak_sends_half_of_what_it_measured(config, short):
    with answering(always(OK)) as server:
        report = bench.run(config, options("--address", server.address, "--soak", "0.01"))
    _, measured, soaked = report.loads
    assert soaked.name == f"soak, {measured.per_second / 2:.0f} a second"
    assert soaked.num_answered > 0
    assert any("samples of memory" in remark for remark in report.remarks)  # nothing local to watch


def test_run_nobody_answers(config, short, free_ports):
    [port] = free_ports(1)
    with pytest.raises(ServingError, match=r"cannot connect 8\); start it: `raconteur serve`"):
        bench.run(config, options("--address", f"http://127.0.0.1:{port}"))


def test_run_key_is_refused(config, short, monkeypatch):
    monkeypatch.setenv(bench.KEY, "wrong-key")
    with (
        answering(always(http(b"{}", 401))) as server,
        pytest.raises(ServingError, match="set RACONTEUR_KEY") as caught,
    ):
        bench.run(config, options("--address", server.address))
    assert "wrong-key" not in str(caught.value)
    assert "authorization: Bearer wrong-key" in server.heads[0]


def test_run_without_data(tmp_path):
    with pytest.raises(DataError, match="names no users"):
        bench.run(Config(workdir=tmp_path), options())


@pytest.mark.parametrize("arguments", [["--rate", "0"], ["--soak", "-1"], ["--rate", "5", "--concurrency", "2"]])
def test_parse_refuses_loads_that_are_none(arguments, capsys):
    with pytest.raises(SystemExit):
        options(*arguments)
    assert "error" in capsys.readouterr().err


def test_program_writes_tables_and_exits_with_0(config):
    out = config.workdir / "results" / "serving.md"
    with answering(always(OK)) as server:
        done = program(config, "--address", server.address, "--rate", "50", "--seconds", "0.5", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "50 a second" in done.stdout
    assert "| 50 a second | " in out.read_text()
    loads = {load["name"]: load for load in json.loads(out.with_suffix(".json").read_text())["loads"]}
    assert loads["50 a second"]["routes"] == {"student": 1.0}
    assert loads["client alone"]["client_us"] > 0


def test_program_failed_requests_are_printed_and_exit_with_1(config):
    async def reply(number):
        return http(b'{"error": "busy"}', 429) if number >= bench.NUM_WARM and number % 2 else OK

    with answering(reply) as server:
        done = program(config, "--address", server.address, "--concurrency", "1", "--seconds", "0.3")
    assert done.returncode == 1
    assert "FAILED status 429" in done.stdout
    assert "requests failed" in done.stderr


def test_command_starts_the_program_with_what_it_was_told(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # no configs/ here: the defaults
    with answering(always(OK)) as server:
        # The terminal of the program is ours, so what it printed is read from the file.
        arguments = ["serve", "--set", f"workdir={str(config.workdir)!r}", "--address", server.address]
        done = CliRunner().invoke(app, [*arguments, "--rate", "50", "--seconds", "0.2", "--out", "here.md"])
    assert done.exit_code == 0
    assert "| 50 a second |" in (tmp_path / "here.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["serve", "--rate", "1", "--soak", "1"], "exclude each other"), (["--dry-run", "serve"], "stand after its name")],
)
def test_command_options_that_do_not_fit(arguments, words):
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert words in done.output


def test_about_tells_model_and_start_of_the_local_service_only(tmp_path):
    write_stack(tmp_path / "serving", Stack("2024-05-01T00:00:00Z", "/tmp/none", ready_s=31.5))
    write_version(tmp_path / "models", "v1").promote("v1", cause="test")
    facts = about(Config(workdir=tmp_path), "http://127.0.0.1:1", local=True)
    assert (facts["model"], facts["start to ready"]) == ("v1", "31.5 s, all parts")
    assert {"model", "start to ready"}.isdisjoint(about(Config(workdir=tmp_path), "http://elsewhere", local=False))
