"""int8 weights in an ONNX file: a quarter of the size, each output channel with a scale of its own.

Each weight of a convolution or a matrix product is kept as int8 with a DequantizeLinear before it (onnx.ai,
symmetric, -127 to 127), so that everything is computed in float32 as before. That is about size, not speed.
``onnxruntime.quantization.quantize_dynamic`` rounds what is computed too, image by image, and makes ConvInteger of
convolutions, which onnxruntime runs on the CPU with unsigned weights only (microsoft/onnxruntime#15888). The kernels
of subsets, which are picked from a table, and what is small (norms, biases) stay as they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_LEAST = 256  # numbers in a weight that is worth it


def quantize_int8(path: Path) -> int:
    """Quantise the weights of an ONNX file, in place.

    Returns:
        How many of them are int8 now.

    Raises:
        ValueError: if there is none.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from onnxruntime.quantization.quant_utils import quantize_onnx_initializer

    model = onnx.load(path)
    graph = model.graph
    axes = _output_axes(graph)
    kept, nodes = [], []
    for weight in graph.initializer:
        size = int(np.prod(weight.dims))
        if weight.name not in axes or weight.data_type != TensorProto.FLOAT or size < _LEAST:
            kept.append(weight)
            continue
        axis = axes[weight.name]
        scale = _scales(numpy_helper.to_array(weight), axis)
        names = [f"{weight.name}_int8", f"{weight.name}_scale"]
        zero = np.zeros(len(scale), dtype=np.int8)
        kept += [
            quantize_onnx_initializer(weight, TensorProto.INT8, zero, scale, axis, names[0]),
            numpy_helper.from_array(scale, names[1]),
        ]
        nodes.append(helper.make_node("DequantizeLinear", names, [weight.name], axis=axis))
    if not nodes:
        raise ValueError(f"no weight of a convolution or matrix product has {_LEAST} numbers or more: leave out int8")
    rest = list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend([*nodes, *rest])
    path.write_bytes(model.SerializeToString())
    return len(nodes)


def _output_axes(graph: Any) -> dict[str, int]:
    """The weights that nodes multiply by, and along which axis of each the outputs lie."""
    ranks = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    axes: dict[str, int] = {}
    for node in graph.node:
        weight = node.input[1] if len(node.input) > 1 else ""
        if ranks.get(weight, 0) < 2:
            continue
        if node.op_type == "Conv":
            axes[weight] = 0
        elif node.op_type == "Gemm":
            axes[weight] = 0 if any(a.name == "transB" and a.i for a in node.attribute) else 1
        elif node.op_type == "MatMul":
            axes[weight] = ranks[weight] - 1
    return axes


def _scales(weight: npt.NDArray[np.float32], axis: int) -> npt.NDArray[np.float32]:
    """What one step is worth for each output, (O,); 1 where all its weights are zero."""
    others = tuple(i for i in range(weight.ndim) if i != axis)
    largest = np.abs(weight).max(axis=others)
    return np.where(largest > 0, largest / 127, 1).astype(np.float32)
