"""The builds keep the answer: torch and ONNX on the same prompts, at shapes that were not traced; the gate chooses."""

import json
import logging

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from raconteur.artifacts import new_folder, read_manifest
from raconteur.config.schema import Config
from raconteur.data.dataset import load_dataset
from raconteur.errors import ArtifactError, TrainingError
from raconteur.evaluate.agreement import Fidelity
from raconteur.evaluate.bootstrap import Interval
from raconteur.reason.choice import ChoiceModel, ChoiceReasoner
from raconteur.reason.onnx import MODEL, OnnxReasoner, start_session
from raconteur.reason.prompts import Prompts
from raconteur.represent.mentions import mention
from raconteur.represent.template import TemplateVerbalizer
from raconteur.represent.tokenizer import train_tokenizer
from raconteur.train.quantise import BUILDS, Lists, Measured, first_allowed, measure_builds, quantise, write_builds
from raconteur.train.speed import ENCODING, ORIGINAL, Speed, compared, fastest, measure_speeds

ITEMS = [str(number) for number in range(40)]
CONFIG = Config.model_validate({"evaluate": {"num_bootstrap": 50}})
NAMES = CONFIG.student.builds
SAME_IN_ANY_BATCH = ("fp32", "int8-weights", "int8-blocks", "int8-static", "int4")


def some_lists(num_texts, num_candidates, seed=0):
    rng = np.random.default_rng(seed)
    texts = [
        " ".join(f"likes <item:{item}>" for item in rng.choice(ITEMS, rng.integers(1, 9))) for _ in range(num_texts)
    ]
    candidates = [list(map(str, rng.choice(ITEMS, num_candidates, replace=False))) for _ in texts]
    return Lists(texts, candidates, rng.integers(num_candidates, size=num_texts))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A Reasoner of two layers and its builds."""
    tokenizer = train_tokenizer([" likes drama crime"] * 20, [mention(item) for item in ITEMS], 280)
    torch.manual_seed(0)
    model = ChoiceModel(tokenizer.get_vocab_size(), num_layers=2, width=64, num_heads=2, dropout=0.0)
    torch.nn.init.normal_(model.query.weight, std=0.3)
    torch.nn.init.normal_(model.prior.weight)
    source = ChoiceReasoner(model, Prompts(tokenizer, history_tokens=24))
    return source, write_builds(source, NAMES, some_lists(20, 10, seed=9), tmp_path_factory.mktemp("builds"))


def ranker(built, name):
    return OnnxReasoner(start_session(built[1][name]), built[0].prompts)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("num_texts", [1, 7])
@pytest.mark.parametrize("num_candidates", [2, 10, 20])
def test_build_any_shape_scores_like_torch(built, name, num_texts, num_candidates):
    lists = some_lists(num_texts, num_candidates)
    expected = built[0].score(lists.texts, lists.candidates)
    got = ranker(built, name).score(lists.texts, lists.candidates)
    allowed = {"fp32": 1e-5, "int8-static": 0.4, "int4": 0.8}.get(name, 0.2)  # scores spread by about 2
    assert got.shape == expected.shape
    assert np.sqrt(np.mean((got - expected) ** 2)) < allowed


@pytest.mark.parametrize("name", SAME_IN_ANY_BATCH)
def test_build_scores_do_not_depend_on_the_rest_of_the_batch(built, name):
    lists, one = some_lists(9, 10), ranker(built, name)
    together = one.score(lists.texts, lists.candidates)
    alone = np.concatenate([one.score([text], [row]) for text, row in zip(lists.texts, lists.candidates, strict=True)])
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_build_unknown_item_is_nan(built):
    assert np.isnan(ranker(built, NAMES[0]).score(["likes"], [["1", "99"]])).tolist() == [[False, True]]


def test_builds_quantised_ones_are_smaller_and_hold_no_fp32_table(built):
    size = {name: path.stat().st_size for name, path in built[1].items()}
    assert size["int4"] < size["int8-blocks"] < 0.6 * size["fp32"]
    for name in set(NAMES) - {"fp32"}:
        tables = [one for one in onnx.load(built[1][name]).graph.initializer if "embed_tokens" in one.name]
        assert {one.data_type for one in tables if one.dims[1] > 1} == {TensorProto.INT8}


def test_builds_leave_the_root_logger_as_it_was(built):
    assert logging.getLogger().level == logging.WARNING


def test_measure_builds_fp32_is_the_original_and_order_is_kept(built):
    measured = measure_builds(CONFIG, built[0], built[1], some_lists(60, 10))
    assert tuple(one.name for one in measured) == NAMES
    assert measured[-1].name == "fp32"
    assert (measured[-1].fidelity.agreement, measured[-1].refused) == (1.0, None)


def test_measure_builds_the_gate_refuses_what_chooses_otherwise(built):
    strict = CONFIG.model_copy(update={"student": CONFIG.student.model_copy(update={"min_agreement": 1.0})})
    rows = measure_builds(strict, built[0], built[1], some_lists(200, 20))
    told = {one.name: one.refused for one in rows}
    assert told["fp32"] is None
    assert "equal first choices; 100.0% are needed" in told["int4"]
    lenient = CONFIG.student.model_copy(update={"min_agreement": 0.0, "max_ndcg_loss": 1.0})
    allowed = measure_builds(CONFIG.model_copy(update={"student": lenient}), built[0], built[1], some_lists(200, 20))
    assert {one.refused for one in allowed} == {None}


def test_quantise_serves_the_first_build_that_passes_and_says_why_others_do_not(small, built, tmp_path):
    """Of 4 bits and 32, with equal choices wanted, the original's own graph is served."""
    dataset = load_dataset(small.workdir / "data")
    item_ids = dataset.items["item_id"].to_list()
    tokenizer = train_tokenizer([" likes drama crime"] * 20, [mention(item) for item in item_ids], 280)
    torch.manual_seed(0)
    model = ChoiceModel(tokenizer.get_vocab_size(), num_layers=2, width=64, num_heads=2, dropout=0.0)
    torch.nn.init.normal_(model.query.weight, std=0.3)
    source = ChoiceReasoner(model, Prompts(tokenizer, history_tokens=24))
    with new_folder(tmp_path / "student", kind="student") as folder:
        source.save(folder)
    writer = TemplateVerbalizer(tokenizer, budget_tokens=24, max_events=8)
    settings = {"builds": ("int4", "fp32"), "min_agreement": 1.0}
    config = small.model_copy(update={"student": small.student.model_copy(update=settings)})
    quantise(config, small.workdir / "data", tmp_path / "student", writer, tmp_path / "served")
    assert read_manifest(tmp_path / "served")["build"] == "fp32"
    refused = {one["name"]: one["refused"] for one in json.loads((tmp_path / "served" / BUILDS).read_text())}
    assert refused["fp32"] is None
    assert refused["int4"]
    lists = Lists(["likes"], [item_ids[:5]], np.array([0]))
    served = OnnxReasoner.load(tmp_path / "served").score(lists.texts, lists.candidates)
    np.testing.assert_allclose(served, source.score(lists.texts, lists.candidates), atol=1e-5)


def measured(name, *, refused=None, mib=1.0):
    return Measured(name, mib, Fidelity(1.0, Interval(0.0, 0.0, 0.0)), refused)


def test_first_allowed_takes_the_first_that_is_not_refused():
    rows = [measured("int8-blocks", refused="98.0% equal"), measured("int4"), measured("fp32")]
    assert first_allowed(rows).name == "int4"


def test_first_allowed_all_refused_says_why_and_what_to_do():
    with pytest.raises(TrainingError, match=r"int4 90\.0% equal; put fp32 last in student\.builds"):
        first_allowed([measured("int4", refused="90.0% equal")])


def paces(**texts_s):
    return {name.replace("_", "-"): [Speed(1, 1.0, 1.0, pace, 1.0)] for name, pace in texts_s.items()}


def test_fastest_refused_build_is_not_taken_however_fast():
    rows = [measured("int4", refused="no"), measured("int8-blocks"), measured("fp32")]
    assert fastest(rows, paces(int4=900.0, int8_blocks=300.0, fp32=200.0)).name == "int8-blocks"


def test_fastest_equally_fast_ones_go_by_size():
    rows = [measured("fp32", mib=2.0), measured("int8-blocks", mib=0.5), measured("int4", mib=0.1)]
    assert fastest(rows, paces(fp32=100.0, int8_blocks=96.0, int4=90.0)).name == "int8-blocks"


def test_fastest_all_refused_is_an_error():
    with pytest.raises(TrainingError, match="refuses every build"):
        fastest([measured("int4", refused="no")], paces(int4=1.0))


def test_measure_speeds_every_model_sees_every_batch_and_encoding_is_told_apart(built):
    seen = []
    calls = {"one": lambda layout: seen.append(layout.places_BN.shape), "two": lambda layout: None}
    speeds = measure_speeds(calls, built[0].prompts, some_lists(6, 5), batches=(1, 4), num_calls=3)
    assert {name: [one.batch for one in rows] for name, rows in speeds.items()} == {
        name: [1, 4] for name in ("one", "two", ENCODING)
    }
    assert set(seen) == {(1, 5), (4, 5)}
    assert all(0 < one.p50_ms <= one.p99_ms and one.texts_s > 0 for rows in speeds.values() for one in rows)


def test_compared_worked_by_hand():
    speeds = {
        ORIGINAL: [Speed(1, 2.0, 3.0, 100.0, 10.0)],
        "int4": [Speed(1, 1.0, 1.5, 400.0, 2.5)],
        "fp32": [Speed(1, 1.0, 1.5, 200.0, 5.0)],
        ENCODING: [Speed(1, 0.5, 0.5, 2000.0, 0.5)],
    }
    rows = [measured("int4", refused="90.0% equal", mib=0.25), measured("fp32", mib=0.75)]
    table = compared(rows, speeds, rows[1], source_mib=0.7)
    assert table["build"].to_list() == [ORIGINAL, "int4", "fp32", ENCODING]
    assert table["mib"].to_list() == [0.7, 0.25, 0.75, None]
    assert table["times_1"].to_list() == [1.0, 4.0, 2.0, 20.0]
    assert table["cpu_times_1"].to_list() == [1.0, 4.0, 2.0, 20.0]
    # encoding costs both .5 ms: (10 + .5) / (2.5 + .5), and so on
    assert table["whole_times_1"].to_list()[:3] == pytest.approx([1.0, 3.5, 10.5 / 5.5])
    assert table["refused"].to_list() == [None, "90.0% equal", None, None]
    assert table["chosen"].to_list() == [False, False, True, False]
    assert table["agreement"].to_list() == [None, 1.0, 1.0, None]


@pytest.fixture
def served(built, tmp_path):
    """A folder as the step writes it."""
    source, paths = built
    with new_folder(tmp_path / "student", kind="student") as folder:
        source.save(folder)
        (folder / "model.safetensors").unlink()
        (folder / MODEL).write_bytes(paths[NAMES[0]].read_bytes())
    return tmp_path / "student"


def test_load_changed_model_is_refused_by_its_checksum(served):
    content = bytearray((served / MODEL).read_bytes())
    content[len(content) // 2] ^= 1
    (served / MODEL).write_bytes(content)
    with pytest.raises(ArtifactError, match=r"model\.onnx does not match its checksum"):
        OnnxReasoner.load(served)


def test_load_missing_file_is_refused(served):
    (served / "tokenizer.json").unlink()
    with pytest.raises(ArtifactError, match=r"tokenizer\.json is missing"):
        OnnxReasoner.load(served)


@pytest.mark.parametrize(("domain", "operator"), [("", "Frobnicate"), ("com.microsoft", "GatherPunchCards")])
def test_load_operator_that_the_runtime_lacks_is_named(served, domain, operator):
    node = helper.make_node(operator, ["ids"], ["scores"], domain=domain)
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["B", "L"])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["B", "N"])
    imports = [helper.make_opsetid("", 23), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(helper.make_graph([node], "g", [ids], [scores]), opset_imports=imports, ir_version=10)
    onnx.save(model, served / MODEL)
    (served / "manifest.json").unlink()  # a part of a version
    with pytest.raises(ArtifactError, match=operator) as caught:
        OnnxReasoner.load(served)
    assert "\n" not in str(caught.value)


def test_load_newer_opset_than_the_runtime_knows_is_refused(served):
    model = onnx.load(served / MODEL)
    model.opset_import[0].version = 999
    onnx.save(model, served / MODEL)
    (served / "manifest.json").unlink()
    with pytest.raises(ArtifactError, match="ONNX Runtime"):
        OnnxReasoner.load(served)


def test_config_unknown_build_is_refused():
    with pytest.raises(ValueError, match="builds"):
        Config.model_validate(json.loads('{"student": {"builds": ["int2"]}}'))
