"""Exports the student to ONNX and quantises it to INT8, and says how often its first choice stays the same."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic

from raconteur import columns as c
from raconteur.artifacts import new_folder
from raconteur.config.schema import Config
from raconteur.data.dataset import load_dataset
from raconteur.data.histories import history_before
from raconteur.errors import TrainingError
from raconteur.reason.choice import ChoiceModel, ChoiceReasoner, places
from raconteur.reason.onnx import MODEL, OnnxReasoner
from raconteur.represent.load import load_verbalizer
from raconteur.represent.tokenizer import FILE
from raconteur.train.examples import choices

OPSET = 20
CHECKED = 512  # lists on which that is measured


def quantise(config: Config, data: Path, student: Path, verbalizer: Path, out: Path) -> dict[str, float]:
    """Writes the served student; returns sizes in MiB and the agreement of first choices with torch FP32.

    Raises:
        TrainingError: the INT8 build disagrees too often with the model it was made from.
    """
    source = ChoiceReasoner.load(student)
    dataset = load_dataset(data)
    held_out = choices(dataset, "validation", config.evaluate.negatives[0])[:CHECKED]
    histories = history_before(dataset.events, held_out, config.text.max_events)
    texts = load_verbalizer(verbalizer).write(histories)
    lists = held_out[c.CANDIDATES].to_list()
    with new_folder(out, kind="student", config=config.model_dump(mode="json")) as folder:
        floating = folder / "fp32.onnx"
        export(source.model, floating)
        to_int8(floating, folder / MODEL)
        for name in (FILE, "config.json"):
            shutil.copy(student / name, folder / name)
        served = OnnxReasoner.load(folder)
        before, after = source.score(texts, lists), served.score(texts, lists)
        agreement = float(np.mean(np.nanargmax(before, axis=1) == np.nanargmax(after, axis=1)))
        sizes = {"fp32_mib": floating.stat().st_size / 2**20, "int8_mib": (folder / MODEL).stat().st_size / 2**20}
        floating.unlink()
        needed = config.student.min_agreement
        if agreement < needed:
            raise TrainingError(
                f"the INT8 student keeps {agreement:.1%} of the first choices; {needed:.0%} are needed: "
                "train it longer (student.num_steps) or wider (student.width)"
            )
    return {"agreement": agreement, **sizes}


def export(model: ChoiceModel, path: Path) -> None:
    """Writes FP32 ONNX with free batch, length and number of candidates."""
    ids_BL = torch.randint(0, 9, (3, 24))
    choose_B = torch.full((3,), 10)
    batch, length, candidates = torch.export.Dim("batch"), torch.export.Dim("length"), torch.export.Dim("candidates")
    program = torch.onnx.export(
        model.eval(),
        (ids_BL, choose_B, places(choose_B, 5)),
        dynamo=True,
        opset_version=OPSET,
        input_names=["ids", "choose", "candidates"],
        output_names=["scores"],
        dynamic_shapes=({0: batch, 1: length}, {0: batch}, {0: batch, 1: candidates}),
        external_data=False,
        verbose=False,
    )
    assert program is not None
    program.save(str(path))


def to_int8(source: Path, target: Path) -> None:
    """Dynamic INT8 weights, one scale a channel."""
    model = onnx.load(source)
    del model.graph.value_info[:]  # stale shapes of the exporter stop the quantiser's own shape inference
    stripped = source.with_suffix(".stripped.onnx")
    onnx.save(model, stripped)
    # Seven-bit weights: without VNNI, products of eight-bit ones overflow the 16 bits that they are summed in.
    quantize_dynamic(stripped, target, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True)
    stripped.unlink()
