"""Every rendered object against its schema, strictly: a field that the schema does not know is an error."""

import copy
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

CRDS = Path(__file__).parents[2].parent / "shared" / "crds"
FILES = {
    "InferenceService": "serving.kserve.io_inferenceservices.yaml",
    "RayService": "ray.io_rayservices.yaml",
    "PodMonitor": "monitoring.coreos.com_podmonitors.yaml",
    "PrometheusRule": "monitoring.coreos.com_prometheusrules.yaml",
}


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema as the API server's strict field validation reads it."""
    closed = {key: value for key, value in schema.items() if not key.startswith("x-")}
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    if schema.get("nullable"):
        closed["type"] = [closed["type"], "null"]
    if "properties" in schema:
        closed["properties"] = {name: strict(inner) for name, inner in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields") and "additionalProperties" not in schema:
            closed["additionalProperties"] = False
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            closed[key] = strict(schema[key])
    return closed


@cache
def crd_schema(kind: str, version: str) -> dict[str, Any]:
    definition = yaml.load((CRDS / FILES[kind]).read_text(), Loader=yaml.CSafeLoader)  # megabytes: the C reader
    group = definition["spec"]["group"]
    schema = next(
        entry["schema"]["openAPIV3Schema"]
        for entry in definition["spec"]["versions"]
        if f"{group}/{entry['name']}" == version
    )
    schema["properties"]["metadata"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return strict(schema)


def check(item: dict[str, Any]) -> None:
    jsonschema.Draft7Validator(crd_schema(item["kind"], item["apiVersion"])).validate(item)


@pytest.mark.shared
@pytest.mark.parametrize("folder", ["base", "laptop"])
def test_custom_resources_are_strictly_valid(rendered, folder: str):
    if not CRDS.is_dir():
        pytest.skip("../shared/crds is not there: custom resources were not validated")
    custom = [item for (kind, _), item in rendered(folder).items() if kind in FILES]
    assert {item["kind"] for item in custom} == set(FILES)
    for item in custom:
        check(item)


@pytest.mark.shared
@pytest.mark.parametrize(
    "path", [("spec", "predictor"), ("spec", "predictor", "containers", 0), ("spec", "predictor", "volumes", 0)]
)
def test_custom_resource_with_a_misspelt_field_is_refused(rendered, path: tuple):
    if not CRDS.is_dir():
        pytest.skip("../shared/crds is not there: custom resources were not validated")
    item = copy.deepcopy(rendered("base")[("InferenceService", "student")])
    place = item
    for key in path:
        place = place[key]
    place["readynessProbe"] = {}
    with pytest.raises(jsonschema.ValidationError, match="readynessProbe"):
        check(item)


@pytest.mark.parametrize("folder", ["base", "laptop"])
def test_built_in_kinds_are_strictly_valid(rendered, folder: str):
    built_in = [item for (kind, _), item in rendered(folder).items() if kind not in FILES]
    assert len(built_in) >= 10
    for item in built_in:
        kubernetes_validate.validate(item, "1.32", strict=True)


@pytest.mark.parametrize("kind_and_name", [("RayService", "recommender"), ("InferenceService", "reasoner")])
def test_pod_templates_inside_custom_resources_are_strictly_valid(rendered, kind_and_name: tuple[str, str]):
    spec = rendered("laptop")[kind_and_name]["spec"]
    template = (
        spec["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]
        if "rayClusterConfig" in spec
        else {key: value for key, value in spec["predictor"].items() if key not in ("minReplicas", "maxReplicas")}
    )
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": template}
    kubernetes_validate.validate(pod, "1.32", strict=True)
