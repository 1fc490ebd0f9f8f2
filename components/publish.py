"""Writes what a step measured where Kubeflow shows it and where a later run finds it. Every component calls it last."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kfp.dsl import Metrics


def log_metrics(metrics: "Metrics", measured: Mapping[str, float]) -> None:
    """Logs each value to the artefact and writes all of them as JSON to the artefact's file.

    The file is not decoration: kfp's local cache takes an output whose path is missing for a miss, so a step without
    it would run again every time. A value that is not finite stands in the file as null and is not logged: a KFP
    artefact's metadata is a protobuf struct, which cannot hold it.
    """
    values = {name: float(value) for name, value in measured.items()}
    finite = {name: value for name, value in values.items() if math.isfinite(value)}
    for name, value in finite.items():
        metrics.log_metric(name, value)
    path = Path(metrics.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({name: finite.get(name) for name in values}, indent=2, sort_keys=True))
