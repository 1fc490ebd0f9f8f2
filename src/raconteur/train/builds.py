"""The ways to build the student for ONNX Runtime: FP32, five kinds of INT8, and weights of four bits.

All start from one FP32 graph (`train.graph`). The table of embeddings has a scale a token in every quantised build;
they differ in the matrix products. Attention, norms and the prior stay FP32. `train.quantise` says which is served.

    int8-weights   a scale a column; multiplied in FP32, which without VNNI is as fast
    int8-blocks    a scale for each 64 weights of a column; inputs are quantised row by row
    int8-channel   a scale a column; inputs are quantised by the range of the whole batch
    int8-tensor    a scale a matrix; inputs likewise
    int8-static    a scale a column; inputs by a range that was seen once
    int4           as int8-blocks, with weights of four bits and 32 to a scale

Only with int8-channel and int8-tensor do a text's scores depend, in the last digits, on what else is in its batch.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

from raconteur.config.schema import Build
from raconteur.reason.choice import ChoiceModel, places
from raconteur.retrieve.sequential import ItemLM
from raconteur.train.graph import ServedGraph, StateGraph

OPSET = 23  # the first with attention, rotary positions and RMS norm as single operators
PRODUCTS = ("MatMul", "Gemm")
TABLE = "body.body.embed_tokens.weight"
BLOCKS = {8: 64, 4: 32}  # weights to a scale, by bits
IN_INT8 = 4  # MatMulNBits' accuracy_level that multiplies in INT8

Feeds = Mapping[str, npt.NDArray[np.int64]]  # inputs of the graph by name


def export(model: ChoiceModel, path: Path) -> None:
    """Writes FP32 ONNX with free batch, length and number of candidates."""
    ids_BL = torch.randint(0, 9, (3, 24))
    choose_B = torch.full((3,), 10)
    batch, length, candidates = torch.export.Dim("batch"), torch.export.Dim("length"), torch.export.Dim("candidates")
    _export(
        ServedGraph(model),
        {"ids": ids_BL, "choose": choose_B, "candidates": places(choose_B, 5)},
        ({0: batch, 1: length}, {0: batch}, {0: batch, 1: candidates}),
        path,
    )


def export_sequential(model: ItemLM, path: Path) -> None:
    """Writes FP32 ONNX of `retrieve.sequential_onnx`, with free batch and length."""
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length")
    asked = {"items": torch.randint(1, len(model.items_VW) + 1, (3, 24)), "last": torch.tensor([23, 9, 0])}
    _export(StateGraph(model), asked, ({0: batch, 1: length}, {0: batch}), path)


def _export(graph: torch.nn.Module, inputs: Mapping[str, torch.Tensor], shapes: tuple[Any, ...], path: Path) -> None:
    program = torch.onnx.export(
        graph.eval(),
        tuple(inputs.values()),
        dynamo=True,
        opset_version=OPSET,
        input_names=list(inputs),
        output_names=["scores"],
        dynamic_shapes=shapes,
        external_data=False,
        verbose=False,
    )
    assert program is not None
    exported = program.model_proto
    del exported.graph.value_info[:]  # stale shapes of the exporter stop the quantiser's own shape inference
    onnx.save(exported, path)


def build(name: Build, source: Path, target: Path, calibration: Sequence[Feeds]) -> None:
    """Writes a build of an exported graph.

    Args:
        calibration: prompts on which `int8-static` sees the range of each input.
    """
    if name == "fp32":
        target.write_bytes(source.read_bytes())
        return
    with_table = target.with_suffix(".table.onnx")
    onnx.save(_table_to_int8(onnx.load(source)), with_table)
    if name == "int8-static":
        _to_static_int8(with_table, target, calibration)
    elif name == "int8-weights":
        onnx.save(_weights_to_int8(onnx.load(with_table)), target)
    elif name in ("int8-blocks", "int4"):
        _to_blocks(with_table, target, bits=4 if name == "int4" else 8)
    else:
        _to_dynamic_int8(with_table, target, per_channel=name == "int8-channel")
    with_table.unlink()


# Seven-bit weights where a whole column is summed: without VNNI, products of eight-bit ones overflow the 16 bits that
# they are summed in. Eight bits where nothing is summed in INT8, and in blocks, which have kernels of their own.


def _to_dynamic_int8(source: Path, target: Path, *, per_channel: bool) -> None:
    quantize_dynamic(
        source,
        target,
        op_types_to_quantize=list(PRODUCTS),
        weight_type=QuantType.QInt8,
        per_channel=per_channel,
        reduce_range=True,
    )


def _to_static_int8(source: Path, target: Path, calibration: Sequence[Feeds]) -> None:
    """Pairs of quantise and dequantise, which the runtime merges into the products between them."""
    quantize_static(
        source,
        target,
        _Reader(calibration),
        op_types_to_quantize=list(PRODUCTS),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
    )


def _to_blocks(source: Path, target: Path, *, bits: int) -> None:
    quantizer = _block_quantizer()(
        onnx.load(source), bits=bits, block_size=BLOCKS[bits], is_symmetric=True, accuracy_level=IN_INT8
    )
    quantizer.process()
    onnx.save(quantizer.model.model, target)


def _weights_to_int8(model: onnx.ModelProto) -> onnx.ModelProto:
    """Matrices in INT8, a scale an output, made FP32 once when the runtime loads them (it folds constants)."""
    graph = model.graph
    constants = {one.name: one for one in graph.initializer}
    before: list[onnx.NodeProto] = []
    for node in [node for node in graph.node if node.op_type in PRODUCTS and node.input[1] in constants]:
        matrix = constants[node.input[1]]
        transposed = any(one.name == "transB" and one.i for one in node.attribute)
        before += _as_int8(graph, matrix, axis=1 if transposed else 0)
        node.input[1] = f"{matrix.name}.numbers"
    nodes = [*before, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def _as_int8(graph: onnx.GraphProto, matrix: onnx.TensorProto, *, axis: int) -> list[onnx.NodeProto]:
    """Replaces a matrix by integers and scales along an axis; returns the nodes that make it whole again."""
    integers, scale = _rounded(numpy_helper.to_array(matrix), axis=axis)
    names = [f"{matrix.name}.{part}" for part in ("integers", "scale", "rounded", "numbers")]
    graph.initializer.remove(matrix)
    graph.initializer.append(numpy_helper.from_array(integers, names[0]))
    graph.initializer.append(numpy_helper.from_array(scale, names[1]))
    return [
        helper.make_node("Cast", [names[0]], [names[2]], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", [names[2], names[1]], [names[3]]),
    ]


def _rounded(weights: npt.NDArray[np.float32], *, axis: int) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Integers of -127..127, and the scale of each vector along an axis."""
    scale = (np.maximum(np.abs(weights).max(axis=axis, keepdims=True), 1e-12) / 127).astype(np.float32)
    return np.round(weights / scale).astype(np.int8), scale


def _table_to_int8(model: onnx.ModelProto) -> onnx.ModelProto:
    """Embeddings in INT8, a scale a token; the quantiser of ONNX Runtime has one scale for the whole table.

    What is looked up, [..., W], becomes FP32 again before anything is computed with it.
    """
    graph = model.graph
    table = next(one for one in graph.initializer if one.name == TABLE)
    integers_VW, scale_V1 = _rounded(numpy_helper.to_array(table), axis=1)
    graph.initializer.remove(table)
    graph.initializer.append(numpy_helper.from_array(integers_VW, f"{TABLE}.integers"))
    graph.initializer.append(numpy_helper.from_array(scale_V1, f"{TABLE}.scale"))
    nodes = [part for node in graph.node for part in (_look_up(node) if TABLE in node.input else [node])]
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def _look_up(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    assert node.op_type == "Gather", "embeddings are looked up and nothing else"
    ids, out = node.input[1], node.output[0]
    integers, numbers, scale = f"{out}.integers", f"{out}.numbers", f"{out}.scale"
    return [
        helper.make_node("Gather", [f"{TABLE}.integers", ids], [integers], axis=0),
        helper.make_node("Cast", [integers], [numbers], to=onnx.TensorProto.FLOAT),
        helper.make_node("Gather", [f"{TABLE}.scale", ids], [scale], axis=0),
        helper.make_node("Mul", [numbers, scale], [out]),
    ]


def _block_quantizer() -> Any:
    """ONNX Runtime's; importing its module sets up the root logger, which is put back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    root.handlers[:] = handlers
    root.setLevel(level)
    return MatMulNBitsQuantizer


class _Reader(CalibrationDataReader):
    def __init__(self, feeds: Sequence[Feeds]) -> None:
        self._left = iter(feeds)

    def get_next(self) -> dict[str, npt.NDArray[np.int64]] | None:
        feeds = next(self._left, None)
        return None if feeds is None else dict(feeds)
