"""`raconteur quantise` and `raconteur export`: the table of the student's builds; models as other servers take them."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from raconteur.cli.settings import ConfigFiles, DryRun, Overrides, resolve


class Server(StrEnum):
    KSERVE = "kserve"
    TRITON = "triton"
    VLLM = "vllm"


def export(
    to: Annotated[Server, typer.Option(help="Which server is to load it.")],
    model: Annotated[Path, typer.Option(help="Folder of a student, Reasoner or Verbalizer.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    instances: Annotated[int, typer.Option(min=1, help="Triton: copies of the model in one server.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Triton: threads of each.")] = 1,
) -> None:
    """Write a KServe model folder, a Triton model repository or a folder for vLLM, with checksums and config."""
    from raconteur.train.export import export_model

    export_model(to.value, model.resolve(), out.resolve(), num_instances=instances, num_threads=threads)
    typer.echo(f"{to.value}: {out}")


def quantise(
    student: Annotated[Path, typer.Option(help="Folder of the distilled student (torch).")],
    data: Annotated[Path, typer.Option(help="Folder of the prepared data set.")],
    verbalizer: Annotated[Path, typer.Option(help="Folder of the Verbalizer whose texts the student reads.")],
    out: Annotated[Path, typer.Option(help="Folder to write: builds.md and builds.parquet.")],
    config: ConfigFiles = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch and of ONNX Runtime.")] = 1,
) -> None:
    """Build the student in every way of student.builds; print size, speed, agreement and NDCG beside torch FP32."""
    resolved = resolve(config, overrides, dry_run=dry_run)
    from raconteur.train.speed import PAGE, build_table

    build_table(resolved, data, student, verbalizer, out.resolve(), num_threads=threads)
    typer.echo((out / PAGE).read_text())
