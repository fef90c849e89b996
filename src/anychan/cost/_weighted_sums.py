"""Matrix products that are written element by element: a product with parameters, and later a sum.

    sum_d x_d w_d    is a weighted sum where w and x both differ along d: a linear layer
                     is a scale of the sum where w does not: (sum_d x_d) w
                     is a scale of x where x does not: x (sum_d w_d)

So a product is remembered with the axes along which both differ, and counts once it is summed or averaged along one of
them. In between it may be viewed otherwise, copied, and multiplied by constants or more parameters; any other operation
makes a new tensor of it, so that a scale and shift, or a gate, is none whatever follows. In the same way a difference
from learned points is remembered, if there are several of them for each x, and counts once its length is taken: it is
a distance, as `torch.cdist` gives.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from anychan.cost._values import Values, Weights

_aten = torch.ops.aten


class Step(NamedTuple):
    """What an operation does to products and differences.

    Args:
        layer: what stands for the weights if it completes a weighted sum or a distance, else None.
        scaled, moved: of its output, as in `Value`.
    """

    layer: Any = None
    scaled: Weights | None = None
    moved: Weights | None = None


class Operation(NamedTuple):
    """An operation that was called, and what it gave."""

    values: Values
    func: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any

    @property
    def second(self) -> Any:
        return self.args[1] if len(self.args) > 1 else None

    def from_input(self, operand: Any) -> bool:
        return isinstance(operand, Tensor) and self.values.get(operand).path is not None


def step(call: Operation) -> Step:
    """What an operation of which some argument comes from the input does."""
    rule = _RULES.get(call.func.overloadpacket)
    return Step() if rule is None or not isinstance(call.args[0], Tensor) else rule(call)


def _product(call: Operation) -> Step:
    first, second = call.args[:2]
    x, factor = (first, second) if call.from_input(first) else (second, first)
    if not call.from_input(x):
        return Step()  # only what is written over comes from the input
    before = _same(call, x)
    if not isinstance(factor, Tensor):
        return before
    if call.from_input(factor):
        squared = call.values.identity(x) == call.values.identity(factor)
        return Step(scaled=before.moved) if squared else Step()
    if not call.values.get(factor).trained:
        return before
    scaled = _met(call, x, factor)
    if before.scaled is not None:
        both = scaled.identity, before.scaled.identity
        scaled = Weights(both, tuple({*scaled.axes, *before.scaled.axes}))
    return Step(scaled=scaled, moved=before.moved)


def _quotient(call: Operation) -> Step:
    return _product(call) if call.from_input(call.args[0]) else Step()


def _shift(call: Operation) -> Step:
    return Step() if isinstance(call.second, Tensor) else _same(call, call.args[0])


def _difference(call: Operation) -> Step:
    first, second = call.args[:2]
    if not isinstance(second, Tensor):
        return _shift(call)
    x, points = (first, second) if call.from_input(first) else (second, first)
    if not call.values.get(points).only_parameters:
        return Step()
    differ = zip(_differs(x, call.output.dim()), _differs(points, call.output.dim()), strict=True)
    several = any(of_points and not of_x for of_x, of_points in differ)  # else it is a shift
    return Step(moved=_met(call, x, points)) if several else Step()


def _copy(call: Operation) -> Step:
    return _same(call, call.args[0])


def _square(call: Operation) -> Step:
    return Step() if isinstance(call.second, Tensor) else Step(scaled=_same(call, call.args[0]).moved)


def _sum(call: Operation) -> Step:
    return _summed(call, call.values.get(call.args[0]).scaled)


def _length(call: Operation) -> Step:
    return Step(_summed(call, call.values.get(call.args[0]).moved).layer)


# Of how many last dimensions they average neighbours.
_POOLS = {
    _aten.avg_pool1d: 1,
    _aten.avg_pool2d: 2,
    _aten.avg_pool3d: 3,
    _aten._adaptive_avg_pool2d: 2,
    _aten._adaptive_avg_pool3d: 3,
}
_RULES = {
    **dict.fromkeys((_aten.mul, _aten.mul_), _product),
    **dict.fromkeys((_aten.div, _aten.div_), _quotient),
    **dict.fromkeys((_aten.add, _aten.add_), _shift),
    **dict.fromkeys((_aten.sub, _aten.sub_), _difference),
    **dict.fromkeys((_aten.clone, _aten._to_copy, _aten.neg, _aten.neg_), _copy),
    **dict.fromkeys((_aten.pow, _aten.pow_, _aten.abs, _aten.abs_), _square),
    **dict.fromkeys((_aten.sum, _aten.nansum, _aten.mean, _aten.cumsum, *_POOLS), _sum),
    **dict.fromkeys((_aten.linalg_vector_norm, _aten.norm), _length),
}


def _same(call: Operation, source: Tensor) -> Step:
    """The output is the source, multiplied by numbers or not, in one shape with it or broadcast."""
    value = call.values.get(source)
    return Step(scaled=_carried(value.scaled, source, call.output), moved=_carried(value.moved, source, call.output))


def _summed(call: Operation, weights: Weights | None) -> Step:
    """A sum that is weighted if it goes along one of the axes; else what it gives still has the others."""
    if weights is None:
        return Step()
    summed, along = _dimensions(call), _along(weights, call.args[0])
    if any(along[i] for i in summed):
        return Step(weights.identity)
    if call.output.dim() < len(along):
        along = [differs for i, differs in enumerate(along) if i not in summed]
    return Step(scaled=Weights(weights.identity, _axes(call.output, along)))


def _dimensions(call: Operation) -> list[int]:
    """Those along which a sum, a mean, a length or a pooling adds."""
    every = list(range(call.args[0].dim()))
    if call.func.overloadpacket in _POOLS:
        return every[-_POOLS[call.func.overloadpacket] :]
    names = (argument.name for argument in call.func._schema.arguments)
    dim = {**dict(zip(names, call.args, strict=False)), **call.kwargs}.get("dim")
    if dim is None or dim == [] or not every:
        return every
    return [every[i] for i in ([dim] if isinstance(dim, int) else dim)]


def _met(call: Operation, x: Tensor, parameters: Tensor) -> Weights:
    """The parameters that x meets, with the axes along which both differ."""
    differ = zip(_differs(x, call.output.dim()), _differs(parameters, call.output.dim()), strict=True)
    return Weights(call.values.identity(parameters), _axes(call.output, [all(both) for both in differ]))


def _differs(tensor: Tensor, dimensions: int) -> list[bool]:
    """Of each dimension of what it is broadcast to, whether it has more than one element in it, none repeated."""
    own = [size > 1 and step > 0 for size, step in zip(tensor.shape, tensor.stride(), strict=True)]
    return [False] * (dimensions - len(own)) + own


def _carried(weights: Weights | None, source: Tensor, output: Tensor) -> Weights | None:
    """The same weights of an output of the same shape, or a broadcast one, that may lie otherwise in memory."""
    if weights is None:
        return None
    along = _along(weights, source)
    return Weights(weights.identity, _axes(output, [False] * (output.dim() - len(along)) + along))


def _axes(tensor: Tensor, chosen: Sequence[bool]) -> tuple[tuple[int, int], ...]:
    """The axes of a tensor's storage that its chosen dimensions are."""
    steps = sorted({step for size, step in zip(tensor.shape, tensor.stride(), strict=True) if size > 1})
    longer = dict(pairwise([*steps, sys.maxsize]))
    pairs = zip(tensor.shape, tensor.stride(), chosen, strict=True)
    return tuple((step, longer[step]) for size, step, is_chosen in pairs if is_chosen and size > 1)


def _along(weights: Weights, tensor: Tensor) -> list[bool]:
    """Of each dimension of a view, whether one who walks along it also walks along one of the axes."""

    def walks(size: int, step: int) -> bool:
        places = range(tensor.storage_offset(), tensor.storage_offset() + size * step, step or 1)
        return any(len({place % high // low for place in places}) > 1 for low, high in weights.axes)

    return [walks(size, step) for size, step in zip(tensor.shape, tensor.stride(), strict=True)]
