"""Step 14: measures every arm on the same candidate lists and writes the report."""

from kfp import dsl
from kfp.dsl import HTML, Dataset, Input, Markdown, Metrics, Model, Output


@dsl.component(base_image="raconteur/pipelines:0.1.0", install_kfp_package=False)
def evaluate(
    config: str,
    data: Input[Dataset],
    retriever: Input[Model],
    frozen: Input[Model],
    tuned: Input[Model],
    verbalizer: Input[Model],
    student: Input[Model],
    requests: Input[Dataset],
    router: Input[Model],
    out: Output[Dataset],
    page: Output[HTML],
    table: Output[Markdown],
    metrics: Output[Metrics],
):
    """Measures classical baselines, both Reasoners on every text, and the student.

    Args:
        config: the resolved config as JSON; `evaluate` is the step's own section.
        data: the prepared data set.
        retriever: the sequential retriever.
        frozen: the Reasoner before tuning.
        tuned: the Reasoner on the Verbalizer's text.
        verbalizer: the trained Verbalizer.
        student: the INT8 student.
        requests: what student and Reasoner answered.
        router: calibrated on the validation users of these requests.
        out: `arms.parquet`, `metrics.json` and the routing curve.
        page: the report as one HTML page.
        table: the report as Markdown.
        metrics: the headline figures.
    """
    import shutil
    from pathlib import Path

    from components.publish import log_metrics
    from raconteur.config.schema import Config
    from raconteur.evaluate.inputs import ReportInputs
    from raconteur.evaluate.report import write_report
    from raconteur.train.table import evaluate_arms

    settings, arms = Config.model_validate_json(config), Path(out.path)
    models = [Path(model.path) for model in (retriever, frozen, tuned, verbalizer, student)]
    measured = evaluate_arms(
        settings, Path(data.path), *models, arms, requests=Path(requests.path), router=Path(router.path)
    )
    inputs = ReportInputs(title=settings.name, evaluation=arms, curves=arms / "curves.json", config=settings)
    report = write_report(inputs, arms.with_name("report")).parent
    shutil.copyfile(report / "index.html", page.path)
    shutil.copyfile(report / "report.md", table.path)
    log_metrics(metrics, measured)
