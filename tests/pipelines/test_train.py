"""The wiring of `train` as a cluster would read it: compiled to IR and looked at."""

import pytest
import yaml

from pipelines.remote import compile_to
from pipelines.train import STEPS, train


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    path = compile_to(train, tmp_path_factory.mktemp("ir") / "train.yaml")
    documents = list(yaml.safe_load_all(path.read_text()))
    return documents[0], documents[1]


def tasks(spec):
    return spec[0]["root"]["dag"]["tasks"]


def sources(spec, step: str) -> dict[str, str]:
    """Input artefact -> the task that makes it."""
    artifacts = tasks(spec)[step]["inputs"].get("artifacts", {})
    return {name: source["taskOutputArtifact"]["producerTask"] for name, source in artifacts.items()}


def test_train_compiled_has_every_step_once(spec):
    assert sorted(tasks(spec)) == sorted(STEPS)


def test_train_reasoner_of_each_step_is_the_right_one(spec):
    assert sources(spec, "verbalizer")["reasoner"] == "reasoner"
    assert sources(spec, "teach")["reasoner"] == "tune"
    assert sources(spec, "distil") == {"lessons": "teach", "reasoner": "tune"}
    assert sources(spec, "ask")["reasoner"] == "tune"
    assert sources(spec, "release")["reasoner"] == "tune"
    assert sources(spec, "evaluate")["frozen"] == "reasoner"
    assert sources(spec, "evaluate")["tuned"] == "tune"


def test_train_student_in_service_is_the_quantised_one(spec):
    assert sources(spec, "quantise")["student"] == "distil"
    assert sources(spec, "ask")["student"] == "quantise"
    assert sources(spec, "ask")["retriever"] == "fuse"
    assert sources(spec, "fuse")["sequential"] == sources(spec, "teach")["retriever"] == "retriever"
    assert sources(spec, "calibrate") == {"requests": "ask"}
    assert sources(spec, "evaluate")["student"] == "quantise"
    assert sources(spec, "release") == {
        "data": "prepare",
        "retriever": "fuse",
        "reasoner": "tune",
        "verbalizer": "verbalizer",
        "student": "quantise",
        "requests": "ask",
        "router": "calibrate",
        "arms": "evaluate",
    }


def test_train_narratives_are_written_after_the_store_is_made_and_before_a_release(spec):
    assert "features" in tasks(spec)["narrate"]["dependentTasks"]
    assert "narrate" in tasks(spec)["release"]["dependentTasks"]


def test_train_release_alone_is_never_cached(spec):
    uncached = [name for name, task in tasks(spec).items() if not task["cachingOptions"].get("enableCache")]
    assert uncached == ["release"]


def test_train_steps_install_nothing_and_carry_the_code_in_their_cache_key(spec):
    containers = [executor["container"] for executor in spec[0]["deploymentSpec"]["executors"].values()]
    assert len(containers) == len(STEPS)
    for container in containers:
        assert "pip install" not in " ".join(container["command"])
        assert container["image"] == "raconteur/pipelines:0.1.0"
        assert [variable["name"] for variable in container["env"]] == ["RACONTEUR_CODE"]


def test_train_steps_share_one_volume_in_a_cluster(spec):
    executors = spec[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert len(executors) == len(STEPS)
    assert {mount["mountPath"] for executor in executors.values() for mount in executor["pvcMount"]} == {"/runs"}
