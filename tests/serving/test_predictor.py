"""`python -m serving.predictor` as it is deployed: real artefacts of an untrained student and Reasoner."""

import subprocess
import sys

import httpx
import numpy as np
import pytest
import torch

from raconteur.artifacts import Registry, new_folder
from raconteur.reason.choice import ChoiceModel, ChoiceReasoner
from raconteur.reason.load import load_reasoner, load_student
from raconteur.reason.onnx import MODEL
from raconteur.reason.prompts import Prompts
from raconteur.represent.mentions import mention
from raconteur.represent.tokenizer import train_tokenizer
from raconteur.train.builds import build, export
from serving.predictor import parse

ITEMS = ["i1", "i2", "i3", "i4"]
TEXTS = ["played <item:i1> twice", ""]
CANDIDATES = [["i2", "i3", "ghost"], ["i4", "i1", "i2"]]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    with new_folder(root / "v1", artefact="version") as folder:
        reasoner = tiny_reasoner()
        for kind in ("reasoner", "student"):
            (folder / kind).mkdir()
            reasoner.save(folder / kind)
        export(reasoner.model, folder / "fp32.onnx")
        build("int8-blocks", folder / "fp32.onnx", folder / "student" / MODEL, [])
        (folder / "student" / "model.safetensors").unlink()
    Registry(root).promote("v1", cause="test")
    return root


@pytest.mark.parametrize(("kind", "load"), [("student", load_student), ("reasoner", load_reasoner)])
def test_predictor_real_artefact_answers_as_the_model_in_this_process(kind, load, models, start, free_ports):
    port, grpc_port = free_ports(2)
    options = {"--kind": kind, "--models": models, "--port": port, "--grpc-port": grpc_port}
    arguments = [str(word) for pair in options.items() for word in pair]
    url = f"http://127.0.0.1:{port}/v2/models/{kind}"
    start([sys.executable, "-m", "serving.predictor", *arguments], ready=f"{url}/ready")

    body = {
        "inputs": [
            {"name": "text", "shape": [2], "datatype": "BYTES", "data": TEXTS},
            {"name": "candidates", "shape": [2, 3], "datatype": "BYTES", "data": CANDIDATES},
        ]
    }
    answer = httpx.post(f"{url}/infer", json=body, timeout=30).raise_for_status().json()
    served = np.array(answer["outputs"][0]["data"]).reshape(2, 3)
    expected = np.nan_to_num(load(models / "v1" / kind).score(TEXTS, CANDIDATES), nan=-1e9)
    np.testing.assert_allclose(served, expected, rtol=1e-4, atol=1e-5)
    assert (served == -1e9).tolist() == [[False, False, True], [False] * 3]  # only the ghost is unknown


def test_parse_grpc_port_follows_the_rest_port():
    options = parse(["--kind", "student", "--models", "m", "--port", "8801"])
    assert (options.host, options.grpc_port) == ("127.0.0.1", 8811)


def test_predictor_address_of_another_machine_is_one_clear_line_and_status_1(models):
    arguments = ["--kind", "student", "--models", str(models), "--host", "192.0.2.77", "--port", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "serving.predictor", *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert "error: student cannot serve on 192.0.2.77:1 and 192.0.2.77:11" in done.stderr


def test_predictor_without_a_champion_is_one_clear_line_and_status_1(tmp_path):
    arguments = ["--kind", "student", "--models", str(tmp_path), "--port", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "serving.predictor", *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert done.stderr.strip().endswith("has no champion yet; run `raconteur train` first")


def tiny_reasoner():
    torch.manual_seed(0)
    tokenizer = train_tokenizer(TEXTS, [mention(item) for item in ITEMS], 260)
    model = ChoiceModel(tokenizer.get_vocab_size(), num_layers=1, width=16, num_heads=2, dropout=0.0)
    return ChoiceReasoner(model, Prompts(tokenizer, history_tokens=16))
