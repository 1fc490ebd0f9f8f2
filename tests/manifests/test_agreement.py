"""Names, ports, images, commands and settings in the manifests are those that the code has."""

import importlib
import tomllib
from pathlib import Path

import pytest
import yaml

from raconteur.config.load import load
from raconteur.config.schema import Config

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def pods(objects) -> dict[str, dict]:
    """Pod specifications by the name of the object that makes them."""
    found = {}
    for (kind, name), item in objects.items():
        if kind == "InferenceService":
            found[name] = item["spec"]["predictor"]
        elif kind == "RayService":
            found[name] = item["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]
        elif kind == "CronJob":
            found[name] = item["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return found


def container(objects, name: str) -> dict:
    return pods(objects)[name]["containers"][0]


def environment(box: dict) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in box["env"]}


def config_of(objects) -> Config:
    (item,) = (item for (kind, name), item in objects.items() if kind == "ConfigMap" and "config" in name)
    return Config.model_validate_json(item["data"]["config.json"])


@pytest.mark.parametrize(
    ("folder", "toml", "overrides"),
    [
        ("base", "production.toml", []),
        ("laptop", "demo.toml", ["workdir=/runs/demo", "serve.host=0.0.0.0", "serve.public=true"]),
    ],
)
def test_config_map_is_the_resolved_toml(rendered, folder: str, toml: str, overrides: list[str]):
    assert config_of(rendered(folder)) == load([ROOT / "configs" / toml], overrides)


@pytest.mark.parametrize("folder", ["base", "laptop"])
@pytest.mark.parametrize("kind", ["student", "reasoner"])
def test_predictor_arguments_parse_and_fit_ports_and_config(rendered, folder: str, kind: str):
    from serving.predictor import parse

    objects = rendered(folder)
    box = container(objects, kind)
    assert box["command"] == ["python", "-m", "serving.predictor"]
    workdir = environment(box)["RACONTEUR_WORKDIR"]
    options = parse([argument.replace("$(RACONTEUR_WORKDIR)", workdir) for argument in box["args"]])
    ports = {port["name"]: port["containerPort"] for port in box["ports"]}
    assert (options.kind, options.port, options.grpc_port) == (kind, ports["http1"], ports["grpc"])
    assert options.host == "0.0.0.0"
    assert options.models == config_of(objects).workdir / "models"
    assert {box[probe]["httpGet"]["port"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")} == {8080}


@pytest.mark.parametrize("folder", ["base", "laptop"])
def test_recommender_import_path_and_ports_are_those_of_the_code(rendered, folder: str):
    from serving.backends.build import REASONER_URL, STUDENT_URL

    objects = rendered(folder)
    serve = yaml.safe_load(objects[("RayService", "recommender")]["spec"]["serveConfigV2"])
    (application,) = serve["applications"]
    module, name = application["import_path"].split(":")
    assert callable(getattr(importlib.import_module(module), name))
    config = config_of(objects)
    assert serve["http_options"] == {"host": config.serve.host, "port": config.serve.port}
    box = container(objects, "recommender")
    assert {port["name"]: port["containerPort"] for port in box["ports"]}["serve"] == config.serve.port
    # KServe's plain deployments are reached as <name>-predictor, port 80
    assert environment(box)[STUDENT_URL] == "http://student-predictor"
    assert environment(box)[REASONER_URL] == "http://reasoner-predictor"
    mounted = {mount["name"]: mount["mountPath"] for mount in box["volumeMounts"]}
    assert application["args"]["config_json"] == f"{mounted['config']}/config.json"


def test_recommender_ray_version_is_the_pinned_one(rendered):
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line)
    cluster = rendered("base")[("RayService", "recommender")]["spec"]["rayClusterConfig"]
    assert cluster["rayVersion"] == pins.get("ray", pins.get("ray[serve]"))


def test_drift_check_arguments_parse(rendered):
    from monitoring.check import make_parser

    box = container(rendered("base"), "drift-check")
    assert box["command"] == ["python", "-m", "monitoring.check"]
    assert make_parser().parse_args(box["args"]).retrain


@pytest.mark.parametrize("folder", ["base", "laptop"])
def test_pods_share_the_volume_of_the_pipeline(rendered, folder: str):
    from pipelines.train import MOUNT, VOLUME

    assert ("PersistentVolumeClaim", VOLUME) in rendered(folder)
    for pod in pods(rendered(folder)).values():
        claims = [volume for volume in pod["volumes"] if "persistentVolumeClaim" in volume]
        assert [volume["persistentVolumeClaim"]["claimName"] for volume in claims] == [VOLUME]
        mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
        assert mounts[claims[0]["name"]] == MOUNT


@pytest.mark.parametrize("folder", ["base", "laptop"])
def test_pods_are_unprivileged_bounded_and_of_this_version(rendered, folder: str):
    found = pods(rendered(folder))
    assert set(found) == {"student", "reasoner", "recommender", "drift-check"}
    for pod in found.values():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        assert ("ServiceAccount", pod["serviceAccountName"]) in rendered(folder)
        for box in pod["containers"]:
            assert box["image"] in (f"raconteur/serving:{VERSION}", f"raconteur/pipelines:{VERSION}")
            assert box["securityContext"]["allowPrivilegeEscalation"] is False
            assert box["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert set(box["resources"]["limits"]) == {"cpu", "memory"}


def test_component_image_is_the_one_of_the_monitoring_job(rendered):
    source = (ROOT / "components" / "prepare" / "component.py").read_text()
    assert container(rendered("base"), "drift-check")["image"] in source


@pytest.mark.parametrize("folder", ["base", "laptop"])
def test_policies_and_services_point_at_ports_that_exist(rendered, folder: str):
    objects = rendered(folder)
    named = {port["name"] for pod in pods(objects).values() for port in pod["containers"][0].get("ports", [])}
    wanted = set()
    for (kind, _), item in objects.items():
        if kind == "NetworkPolicy":
            wanted |= {port["port"] for rule in item["spec"].get("ingress", []) for port in rule["ports"]}
        elif kind == "Service":
            wanted |= {port["targetPort"] for port in item["spec"]["ports"]}
        elif kind == "PodMonitor":
            wanted |= {endpoint["port"] for endpoint in item["spec"]["podMetricsEndpoints"]}
    assert wanted <= named


def test_everything_lies_in_one_namespace(rendered):
    for (kind, _), item in rendered("laptop").items():
        assert kind == "Namespace" or item["metadata"]["namespace"] == "raconteur"
