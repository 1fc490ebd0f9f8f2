import json
import math

from kfp.dsl import Metrics

from components.publish import log_metrics


def test_log_metrics_finite_values_are_logged_and_written(tmp_path):
    metrics = Metrics(name="metrics", uri=str(tmp_path / "step" / "metrics"))

    log_metrics(metrics, {"loss": 0.5, "users": 3})

    assert metrics.metadata == {"loss": 0.5, "users": 3.0}
    assert json.loads((tmp_path / "step" / "metrics").read_text()) == {"loss": 0.5, "users": 3.0}


def test_log_metrics_not_a_number_is_written_as_null_and_not_logged(tmp_path):
    metrics = Metrics(name="metrics", uri=str(tmp_path / "metrics"))

    log_metrics(metrics, {"loss": math.nan, "gap": math.inf, "users": 3.0})

    assert metrics.metadata == {"users": 3.0}
    assert json.loads((tmp_path / "metrics").read_text()) == {"loss": None, "gap": None, "users": 3.0}
