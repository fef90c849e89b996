"""The two kinds of file: how a program is written into one, and how it is run from one."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from anychan._errors import first_line
from anychan.exporting._trace import symbols

OPSET = 18  # what torch.onnx translates to without converting; onnxruntime has had it since 1.14
DESCRIPTION = "anychan.json"  # in a .pt2 file
INPUTS, OUTPUT = ("image", "channels"), "logits"
_LARGEST = 2**31 - 1  # bytes of a protobuf message
_FUSED = "scaled_dot_product_attention"  # which timm's networks write out in other operators if told to
SUFFIXES = {"onnx": ".onnx", "torch": ".pt2"}

Run = Callable[..., Tensor]  # (image, channels) or (image,) to logits, all tensors on the CPU


def write(program: ExportedProgram, path: Path, form: str, description: Mapping[str, Any]) -> None:
    """Write a program and its description into one file.

    Raises:
        ValueError: if an ONNX file would be larger than 2 GB, or torch.onnx cannot translate the program.
    """
    if form == "torch":
        with path.open("wb") as file:
            torch.export.save(program, file, extra_files={DESCRIPTION: json.dumps(description, indent=1)})
    else:
        path.write_bytes(_onnx(program, description).SerializeToString())


def open_file(path: Path, form: str) -> Run:
    """A function that runs a file, on the CPU."""
    if form == "torch":
        with path.open("rb") as file:
            module = torch.export.load(file).module()

        def run_torch(*inputs: Tensor) -> Tensor:
            with torch.no_grad():
                return module(*inputs)

        return run_torch
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised too, and warnings of its optimiser say nothing about the file
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run_onnx(*inputs: Tensor) -> Tensor:
        named = {name: tensor.numpy() for name, tensor in zip(INPUTS, inputs, strict=False)}
        return torch.from_numpy(session.run([OUTPUT], named)[0])

    return run_onnx


def need_libraries(form: str) -> None:
    """ValueError if what a format needs is not installed."""
    if form == "onnx":
        missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
        if missing:
            raise ValueError(f"{', '.join(missing)} not installed, which ONNX needs: pip install 'anychan[export]'")


def _onnx(program: ExportedProgram, description: Mapping[str, Any]) -> Any:
    """The program as ONNX's protobuf message, with named dimensions and the description as metadata."""
    import onnx

    size = sum(tensor.numel() * tensor.element_size() for tensor in program.state_dict.values())
    if size > _LARGEST:
        raise ValueError(f"the weights have {size / 1e9:.1f} GB, and one ONNX file holds {_LARGEST / 1e9:.1f} at most")
    message = _translated(program, optimize=True)
    try:
        onnx.checker.check_model(message)
    except onnx.checker.ValidationError:  # its optimiser loses bounds where a map is clamped several times
        message = _translated(program, optimize=False)
    message.producer_name = "anychan"
    message.producer_version = str(description["anychan_version"])
    _name_dimensions(message.graph, symbols(program))
    onnx.helper.set_model_props(message, {key: json.dumps(value) for key, value in description.items()})
    return message


def _translated(program: ExportedProgram, *, optimize: bool) -> Any:
    planes = len(program.graph_signature.user_inputs)
    try:
        translated = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=INPUTS[:planes],
            output_names=[OUTPUT],
            external_data=False,
            optimize=optimize,
            verbose=False,
        )
    except torch.onnx.errors.OnnxExporterError as error:
        why = first_line(error.__cause__ or error)
        fused = "; call timm.layers.set_fused_attn(False) before the network is made" if _FUSED in why else ""
        raise ValueError(f"torch.onnx cannot translate it: {why}{fused}") from error
    assert translated is not None
    return translated.model_proto


def _name_dimensions(graph: Any, names: Mapping[str, str]) -> None:
    """Give the dimensions that may vary the names of what they are, in place of torch's symbols."""
    del graph.value_info[:]  # inner shapes, in the same symbols; whoever needs them infers them
    for value in [*graph.input, *graph.output]:
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param:
                dimension.dim_param = re.sub(r"\w+", lambda m: names.get(m.group(), m.group()), dimension.dim_param)
