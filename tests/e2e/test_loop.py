"""The loop as its users start it: train, serve, ask, shift the world, retrain once, swap without a restart.

Models are tiny and hardly trained; what is tested is that every part is there and hands on to the next.
"""

import json
import os
import re
import socket
import subprocess
import sys
import time

import httpx
import pytest

from pipelines.train import STEPS
from raconteur.artifacts import Registry, verify

# Two whole trainings and a service, on whatever machine; the first test's time is that of the first training as well.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

SETTINGS = """
name = "loop"
workdir = {workdir!r}

[data]
min_value = 10

[world]
num_users = 150
num_items = 80
num_days = 40

[evaluate]
max_users = 80
num_bootstrap = 50

[text]
vocab_size = 512

[sequential]
num_layers = 1
width = 32
num_heads = 2
num_steps = 60

[reasoner]
num_steps = 30
batch_size = 16
tune_steps = 10
tune_examples = 64

[verbalizer]
sft_steps = 6
best_steps = 0
sft_batch_size = 4
max_new_tokens = 16

[verbalizer.grpo]
num_steps = 2
prompts_per_step = 2
group_size = 2

[student]
min_agreement = 0.5
width = 32
num_steps = 30
batch_size = 16

[serve]
port = {port}
student_port = {student}
reasoner_port = {reasoner}
evidently_port = {evidently}
features_timeout_ms = 20_000
timeout_ms = 20_000

[monitor]
window_rows = 800
max_loss = 1.0
"""


def free_ports(num):
    """Ports that are free now, with the gRPC port 10 above each."""
    found = []
    for port in range(18200, 19900, 20):
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 10))
            except OSError:
                continue
        found.append(port)
        if len(found) == num:
            return found
    raise AssertionError("no free ports")


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loop")
    names = ("port", "student", "reasoner", "evidently")
    ports = dict(zip(names, free_ports(4), strict=True))
    (folder / "loop.toml").write_text(SETTINGS.format(workdir=str(folder / "run"), **ports))
    yield folder, ports
    raconteur(folder, "serve", "--down")


def raconteur(folder, *arguments):
    command = [sys.executable, "-m", "raconteur.cli.main", *arguments, "--config", str(folder / "loop.toml")]
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False, env=environment)
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def trained(loop):
    """The first run: every component in kfp's local runner."""
    folder, _ = loop
    raconteur(folder, "train")
    return folder / "run"


def test_train_does_every_step_and_the_gate_decides(trained):
    rows = steps_of(trained)
    assert sorted(row["step"] for row in rows) == sorted(STEPS)
    assert not any(row["cached"] for row in rows)
    assert all(row["metrics"] for row in rows)

    registry = Registry(trained / "models")
    (version,) = registry.versions()
    verify(registry.folder(version))
    parts = {"retriever", "reasoner", "verbalizer", "student", "router", "requests", "items.parquet", "gate.json"}
    assert parts <= {path.name for path in registry.folder(version).iterdir()}
    gate = json.loads((registry.folder(version) / "gate.json").read_text())
    assert gate["inputs"]["student"]["min_share"] == 0.5
    assert (registry.champion() is not None) == gate["decision"]["promote"]


def test_train_publishes_data_evaluation_and_report(trained):
    verify(trained / "data")
    verify(trained / "evaluation")
    report = (trained / "report" / "report.md").read_text()
    assert "tuned" in report
    fitted = next("temperature" in row["metrics"] for row in steps_of(trained) if row["step"] == "calibrate")
    assert (trained / "evaluation" / "routing").exists() == fitted
    assert ("no curve was drawn" in report) != fitted
    assert (trained / "report" / "index.html").stat().st_size > 100_000
    assert (trained / "pipeline" / "train.yaml").exists()
    assert not (trained / "checkpoints").exists()


def test_train_again_keeps_every_step_but_the_gate(loop, trained):
    told = raconteur(loop[0], "train")
    assert told.count("kept from an earlier run") == len(STEPS) - 1
    assert [row["step"] for row in steps_of(trained) if not row["cached"]] == ["release"]


def test_loop_from_served_model_to_swapped_model(loop, trained):
    folder, ports = loop
    run, address = trained, f"http://127.0.0.1:{ports['port']}"
    first = Registry(run / "models").champion()["version"]

    raconteur(folder, "serve", "--detach")
    answer = ask(address)
    assert answer["route"] in ("student", "reasoner")
    assert not answer["degraded"]
    assert answer["versions"]["model"] == first
    assert len({item["item_id"] for item in answer["items"]}) == 5
    assert ask(address, user="nobody")["route"] == "cold"
    for number in range(20):
        ask(address, user=f"u{number:05}")
    assert_replayed(folder, num=15)  # one or two of so small a catalogue have nothing left

    # One command: days with a new catalogue pass, drift is reported, a retraining runs, the gate decides.
    told = raconteur(folder, "monitor", "shift", "catalogue", "--retrain")
    assert "this call ran" in told
    second = Registry(run / "models").champion()["version"]
    assert second != first
    verify(run / "models" / second)
    gate = json.loads((run / "models" / second / "gate.json").read_text())
    assert gate["decision"]["promote"]
    assert gate["decision"]["rival"] == first
    assert list((run / "monitoring" / "reports").glob("*.html"))

    # The service that was never stopped answers with the new model.
    deadline = time.monotonic() + 60
    while ask(address)["versions"]["model"] != second:
        assert time.monotonic() < deadline, "the service did not swap to the new champion"
        time.sleep(0.5)

    # The log holds decisions of both champions; those of the present one are found again.
    for number in range(20, 40):
        ask(address, user=f"u{number:05}")
    assert_replayed(folder, num=15)  # one or two of so small a catalogue have nothing left

    # The same command again starts nothing.
    versions = Registry(run / "models").versions()
    raconteur(folder, "monitor", "shift", "catalogue", "--retrain")
    assert Registry(run / "models").versions() == versions

    raconteur(folder, "monitor", "rollback")
    assert Registry(run / "models").champion()["version"] == first


def steps_of(run):
    return json.loads((run / "pipeline" / "steps.json").read_text())


def assert_replayed(folder, *, num):
    """Every decision of the calibrated router, as it was logged within a second or so, is made again."""
    time.sleep(2)
    told = raconteur(folder, "route", "replay")
    same, of = re.match(r"(\d+) of (\d+) decisions of router (?!uncalibrated)", told).groups()
    assert same == of
    assert int(of) >= num, told


def ask(address, user="u00003"):
    response = httpx.post(f"{address}/v1/recommendations", json={"user_id": user, "k": 5}, timeout=20)
    response.raise_for_status()
    return response.json()
