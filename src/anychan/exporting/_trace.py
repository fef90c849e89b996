"""Trace a module into a program whose batch, channels, height and width may vary where the module lets them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from anychan._errors import first_line
from anychan.exporting._graph import AllSubsets, OneSubset

_IMAGE = ("batch", "channels", "height", "width")  # what the image's dimensions are called in a file
_TRACED_IMAGES = 3  # neither 0 nor 1, which torch.export would take as fixed


class UntraceableError(ValueError):
    """A network that torch.export cannot make a program of."""


def trace(module: OneSubset | AllSubsets, inputs: tuple[Tensor, ...], any_size: bool) -> ExportedProgram:
    """A program of a module.

    Args:
        module: called with ``inputs``: an image, and for all subsets its channels.
        inputs: on the CPU, no dimension that may vary of size 0 or 1.
        any_size: height and width may vary; else they are those of ``inputs``.

    Raises:
        UntraceableError: if torch.export cannot trace it, saying why, or its batch is fixed.
        ValueError: if it does not answer these inputs, or does not return logits.
    """
    size = Dim.AUTO if any_size else Dim.STATIC
    image = {0: Dim.AUTO, 1: Dim.AUTO if len(inputs) > 1 else Dim.STATIC, 2: size, 3: size}
    shapes = (image, *({0: Dim.AUTO} for _ in inputs[1:]))
    module.eval().requires_grad_(False)
    with torch.no_grad():
        try:
            answer = module(*inputs)
        except Exception as error:  # whatever a network's code raises
            size = "x".join(map(str, inputs[0].shape[2:]))
            raise ValueError(f"the network does not answer an image of {size} alone: {first_line(error)}") from error
        if not isinstance(answer, Tensor) or answer.ndim != 2 or len(answer) != len(inputs[0]):
            raise ValueError(f"the network does not return logits (N, K), so that it is not exported: {_said(answer)}")
        try:
            program = torch.export.export(module, inputs, dynamic_shapes=shapes, strict=False)
        except Exception as error:  # whatever a network's code does under torch.export
            raise UntraceableError(f"torch.export cannot trace it: {first_line(error)}") from error
    if "batch" not in varying(program):
        raise UntraceableError("torch.export can trace it for one number of images only, not for any")
    return program


def example(module: OneSubset | AllSubsets, planes: int, size: tuple[int, int]) -> tuple[Tensor, ...]:
    """Inputs to trace with: some images, and for all subsets the first two planes, or the one there is."""
    one_set = isinstance(module, OneSubset)
    shown = planes if one_set else min(planes, 2)
    image = torch.randn(_TRACED_IMAGES, shown, *size, generator=torch.Generator().manual_seed(0))
    return (image,) if one_set else (image, torch.arange(shown))


def takes(module: nn.Module, inputs: tuple[Tensor, ...]) -> bool:
    """Whether a network, in evaluation mode, takes images of this size at all: some refuse all but their own."""
    try:
        with torch.no_grad():
            module(*inputs)
    except Exception:  # such as an IndexError of positions that there are none of
        return False
    return True


def varying(program: ExportedProgram) -> list[str]:
    """Which of the image's dimensions may vary: of "batch", "channels", "height" and "width"."""
    return list(symbols(program).values())


def symbols(program: ExportedProgram) -> dict[str, str]:
    """The image's dimensions that may vary: the name of the program's symbol, and what it is called in a file."""
    inputs = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    shape = inputs[program.graph_signature.user_inputs[0]].meta["val"].shape
    return {str(extent): name for extent, name in zip(shape, _IMAGE, strict=True) if not isinstance(extent, int)}


def _said(answer: object) -> str:
    return f"a tensor of shape {tuple(answer.shape)}" if isinstance(answer, Tensor) else type(answer).__name__
