"""Exports load in what stands for their servers: our predictor's registry, Triton's schema, transformers offline."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen3ForCausalLM

from raconteur.artifacts import Registry, new_folder, read_manifest, verify
from raconteur.config.schema import Config, DataConfig, LlmConfig, TextConfig
from raconteur.errors import ArtifactError
from raconteur.reason.choice import ChoiceModel, ChoiceReasoner
from raconteur.reason.llm import LetterReasoner
from raconteur.reason.load import load_reasoner, load_student
from raconteur.reason.onnx import MODEL
from raconteur.reason.prompts import LETTERS, Prompts
from raconteur.represent.citations import VOCABULARY
from raconteur.represent.facts import Facts
from raconteur.represent.mentions import mention
from raconteur.represent.pretrained import load_pretrained, with_lora
from raconteur.represent.rewrite import RewriteVerbalizer
from raconteur.represent.tokenizer import for_transformers, train_tokenizer
from raconteur.retrieve.sequential import body_config
from raconteur.train.builds import build, export
from raconteur.train.export import export_model

ITEMS = ["1", "2", "3", "4"]
TEXTS, CANDIDATES = (
    ["likes <item:1>", "crime", "drama <item:2> <item:4>"],
    [["1", "2", "9"], ["4", "3", "1"], ["2", "3", "4"]],
)
CONFIG = Config(seed=5).model_dump(mode="json")

PARSE = """
import sys
from google.protobuf import json_format, text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig
config = text_format.Parse(open(sys.argv[1]).read(), ModelConfig())
print(json_format.MessageToJson(config, preserving_proto_field_name=True))
"""


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([" likes drama crime"] * 20, [*map(mention, ITEMS), *LETTERS, *VOCABULARY], 280)


def reasoner(tokenizer, head="pointer"):
    torch.manual_seed(0)
    shape = {"num_layers": 1, "width": 32, "num_heads": 2, "dropout": 0.0}
    model = ChoiceModel(tokenizer.get_vocab_size(), **shape, head=head)
    return ChoiceReasoner(model, Prompts(tokenizer, history_tokens=16, head=head))


def saved(source, folder, kind):
    with new_folder(folder, kind=kind, config=CONFIG) as room:
        source.save(room)
    return folder


@pytest.fixture(scope="module")
def student(tokenizer, tmp_path_factory):
    root = tmp_path_factory.mktemp("student")
    source = reasoner(tokenizer)
    export(source.model, root / "graph.onnx")
    with new_folder(root / "student", kind="student", config=CONFIG) as folder:
        source.save(folder)
        (folder / "model.safetensors").unlink()
        build("int8-blocks", root / "graph.onnx", folder / MODEL, [])
    return root / "student"


@pytest.fixture
def verbalizer(tokenizer, tmp_path):
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(body_config(tokenizer.get_vocab_size(), 2, 32, 2))
    facts = Facts({"1": ("drama",), "2": ("crime",)}, DataConfig())
    writer = RewriteVerbalizer(model, for_transformers(tokenizer), facts, TextConfig(max_events=4), max_new_tokens=9)
    return writer, saved(writer, tmp_path / "verbalizer", "verbalizer")


def greedy(model, tokenizer, prompt, num):
    ids = tokenizer([prompt], return_tensors="pt", add_special_tokens=False)
    out = model.generate(
        input_ids=ids["input_ids"], attention_mask=ids["attention_mask"], max_new_tokens=num, do_sample=False
    )
    return out[0, ids["input_ids"].shape[1] :].tolist()


def opened(folder):
    options = {"local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(folder, **options)
    return AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True, **options).eval(), tokenizer


def assert_is_an_export(folder, kind):
    manifest = verify(folder)
    assert manifest["kind"] == f"{kind} export"
    assert manifest["config"] == CONFIG
    assert manifest["source"]["files"]


def test_kserve_student_is_a_registry_whose_champion_answers_as_the_source(student, tmp_path):
    export_model("kserve", student, tmp_path / "out")
    assert_is_an_export(tmp_path / "out", "kserve")
    champion = Registry(tmp_path / "out").champion_folder()
    verify(champion)
    got = load_student(champion / "student").score(TEXTS, CANDIDATES)
    np.testing.assert_array_equal(got, load_student(student).score(TEXTS, CANDIDATES))


def test_kserve_reasoner_stands_in_the_folder_of_its_kind(tokenizer, tmp_path):
    source = reasoner(tokenizer)
    export_model("kserve", saved(source, tmp_path / "reasoner", "reasoner"), tmp_path / "out")
    got = load_reasoner(Registry(tmp_path / "out").champion_folder() / "reasoner").score(TEXTS, CANDIDATES)
    np.testing.assert_array_equal(got, source.score(TEXTS, CANDIDATES))


def test_kserve_pretrained_reasoner_that_names_its_base_by_path_is_refused(chat_base, tmp_path):
    source = saved(LetterReasoner.start(chat_base, {"1": "Ash"}, history_tokens=20), tmp_path / "reasoner", "reasoner")
    with pytest.raises(ArtifactError, match="export it with --to vllm"):
        export_model("kserve", source, tmp_path / "out")


def test_export_replaces_an_earlier_export_and_nothing_else(student, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    export_model("kserve", student, out)  # an empty folder may be there
    export_model("triton", student, out)
    assert_is_an_export(out, "triton")
    (tmp_path / "models" / "other").mkdir(parents=True)
    with pytest.raises(ArtifactError, match="something else than an export"):
        export_model("triton", student, tmp_path / "models")
    assert (tmp_path / "models" / "other").is_dir()
    with pytest.raises(ArtifactError, match="something else than an export"):
        export_model("triton", student, student)  # an artefact, but no export
    verify(student)


def test_kserve_equal_sources_give_equal_versions(student, tmp_path):
    for name in ("one", "two"):
        export_model("kserve", student, tmp_path / name)
    one, two = (Registry(tmp_path / name).versions() for name in ("one", "two"))
    assert one == two
    assert len(one) == 1


def test_triton_config_is_of_tritons_schema_and_fits_the_graph(student, tmp_path):
    export_model("triton", student, tmp_path / "out", num_instances=3, num_threads=2)
    assert_is_an_export(tmp_path / "out", "triton")
    folder = tmp_path / "out" / "student"
    # In a process of its own: tritonclient's messages have the same protobuf names as kserve's.
    done = subprocess.run(
        [sys.executable, "-c", PARSE, str(folder / "config.pbtxt")], capture_output=True, text=True, check=True
    )
    config = json.loads(done.stdout)
    assert (config["name"], config["backend"], config["max_batch_size"]) == ("student", "onnxruntime", 64)
    assert config["dynamic_batching"]["max_queue_delay_microseconds"] == "500"
    assert config["instance_group"] == [{"count": 3, "kind": "KIND_CPU"}]
    assert config["parameters"]["intra_op_thread_count"]["string_value"] == "2"
    number = int(hashlib.sha256((student / MODEL).read_bytes()).hexdigest()[:12], 16)
    assert config["version_policy"] == {"specific": {"versions": [str(number)]}}
    session = ort.InferenceSession(str(folder / str(number) / config["default_model_filename"]))
    types = {"tensor(int64)": "TYPE_INT64", "tensor(float)": "TYPE_FP32"}
    for side, tensors in (("input", session.get_inputs()), ("output", session.get_outputs())):
        declared = {one["name"]: one for one in config[side]}
        assert declared.keys() == {tensor.name for tensor in tensors}
        for tensor in tensors:
            one = declared[tensor.name]
            dims = one["reshape"].get("shape", []) if "reshape" in one else one["dims"]
            assert one["data_type"] == types[tensor.type]
            assert 1 + len(dims) == len(tensor.shape)  # Triton puts the batch before


def test_triton_prompts_encoded_by_the_files_beside_it_score_as_the_student_whatever_the_padding(student, tmp_path):
    export_model("triton", student, tmp_path / "out")
    folder = tmp_path / "out" / "student"
    layout, _ = Prompts.load(folder).choices(TEXTS, CANDIDATES)
    ids_BL = np.pad(layout.ids_BL, ((0, 0), (0, 7)))
    (graph,) = folder.glob(f"*/{MODEL}")
    session = ort.InferenceSession(str(graph))
    feeds = {"ids": ids_BL, "choose": layout.choose_B, "candidates": layout.places_BN}
    got, expected = session.run(["scores"], feeds)[0], load_student(student).score(TEXTS, CANDIDATES)
    np.testing.assert_allclose(got[~np.isnan(expected)], expected[~np.isnan(expected)], atol=1e-5)


def test_vllm_verbalizer_loads_offline_and_writes_the_same(verbalizer, tmp_path):
    writer, folder = verbalizer
    export_model("vllm", folder, tmp_path / "out")
    assert_is_an_export(tmp_path / "out", "vllm")
    model, tokenizer = opened(tmp_path / "out")
    prompt = "play 43 tv <item:1> <e1> impression <item:2> <e2> <write>"
    assert tokenizer(prompt)["input_ids"] == writer.tokenizer(prompt)["input_ids"]
    assert greedy(model, tokenizer, prompt, 9) == greedy(writer.model, writer.tokenizer, prompt, 9)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["architectures"] == ["Qwen3ForCausalLM"]
    assert config["eos_token_id"] == tokenizer.eos_token_id == writer.tokenizer.eos_token_id
    assert json.loads((tmp_path / "out" / "raconteur.json").read_text())["max_new_tokens"] == 9


def test_vllm_letters_reasoner_next_token_logits_of_letters_are_its_scores(tokenizer, tmp_path):
    source = reasoner(tokenizer, head="letters")
    export_model("vllm", saved(source, tmp_path / "reasoner", "reasoner"), tmp_path / "out")
    model, language = opened(tmp_path / "out")
    asked = json.loads((tmp_path / "out" / "raconteur.json").read_text())
    assert asked["letter_ids"] == [language.convert_tokens_to_ids(letter) for letter in LETTERS]
    prompts = Prompts.load(tmp_path / "reasoner")
    layout, _ = prompts.choices(TEXTS[:1], [["1", "2", "3"]])
    end = layout.places_BN[0, -1] + 2
    with torch.inference_mode():
        logits_V = model(torch.from_numpy(layout.ids_BL[:1, :end])).logits[0, -1]
    got = logits_V[asked["letter_ids"][:3]].numpy()
    np.testing.assert_allclose(got, source.score(TEXTS[:1], [["1", "2", "3"]])[0], atol=1e-4)


def test_vllm_pretrained_reasoner_adapter_is_merged_into_its_base(chat_base, tmp_path):
    base, _ = load_pretrained(chat_base)
    adapted = with_lora(base, LlmConfig(lora_rank=2), seed=0)
    for name, value in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=0.3)
    source = LetterReasoner.start(chat_base, {"1": "Ash"}, history_tokens=20)
    source.model = adapted
    export_model("vllm", saved(source, tmp_path / "reasoner", "reasoner"), tmp_path / "out")
    model, tokenizer = opened(tmp_path / "out")
    assert tokenizer.chat_template
    ids = tokenizer(["which one?"], return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        got, expected = model(ids).logits, adapted.eval()(input_ids=ids).logits
    np.testing.assert_allclose(got, expected, atol=1e-3)
    assert not np.allclose(got, load_pretrained(chat_base)[0](ids).logits.detach(), atol=1e-3)
    assert not (tmp_path / "out" / "adapter").exists()


def test_export_changed_source_is_refused_and_nothing_is_written(verbalizer, tmp_path):
    _, folder = verbalizer
    (folder / "verbalizer.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"verbalizer\.json does not match its checksum"):
        export_model("vllm", folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_export_pointer_reasoner_to_vllm_says_what_to_train_instead(tokenizer, tmp_path):
    folder = saved(reasoner(tokenizer), tmp_path / "reasoner", "reasoner")
    with pytest.raises(ArtifactError, match=r"pointer head.*reasoner\.head = 'letters'"):
        export_model("vllm", folder, tmp_path / "out")


def test_export_student_to_vllm_is_refused(student, tmp_path):
    with pytest.raises(ArtifactError, match="no language model"):
        export_model("vllm", student, tmp_path / "out")


@pytest.mark.parametrize("to", ["kserve", "triton"])
def test_export_verbalizer_to_a_server_of_rankers_is_refused(to, verbalizer, tmp_path):
    with pytest.raises(ArtifactError, match=r"kind 'verbalizer'|holds no model\.onnx"):
        export_model(to, verbalizer[1], tmp_path / "out")


@pytest.mark.parametrize("to", ["kserve", "triton"])
def test_export_student_with_an_operator_that_the_runtime_lacks_is_refused(to, student, tmp_path):
    with new_folder(tmp_path / "student", kind="student", config=CONFIG) as folder:
        for name in ("config.json", "tokenizer.json"):
            (folder / name).write_bytes((student / name).read_bytes())
        ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["B", "L"])
        scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["B", "N"])
        graph = helper.make_graph([helper.make_node("Frobnicate", ["ids"], ["scores"])], "g", [ids], [scores])
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10), folder / MODEL)
    with pytest.raises(ArtifactError, match="Frobnicate"):
        export_model(to, tmp_path / "student", tmp_path / "out")


def test_export_manifest_names_the_source_by_content(student, tmp_path):
    export_model("triton", student, tmp_path / "out")
    source = read_manifest(tmp_path / "out")["source"]
    assert source["files"] == read_manifest(student)["files"]
    assert source["version"].startswith("v")
