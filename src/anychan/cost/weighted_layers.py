"""Depth: weighted layers on the longest path from a model's input to its output.

The model runs once by shapes alone, and every operation is watched. A value remembers whether it comes from the
input, whether it comes from parameters, and the weights on the longest path to it. An operation is a weighted layer

- if it is a matrix product of something that comes from the input with something that comes from parameters only, also
  one with the inverse of a matrix, and one that is written element by element: it counts where the products are summed
  along a dimension in which both factors differ (`anychan.cost._weighted_sums`). So do distances to several learned
  points, one way or the other;
- if it is a convolution with a kernel that comes from parameters, also one that is made out of the input too
  (the layers that make it lie on the path); an element-wise product of complex numbers is taken for a convolution,
  by a filter that is kept as its spectrum.

So these are none: normalisation, scales, shifts and gates, also where what they scale is pooled later on, products of
attention between queries, keys and values that all come from the input, convolutions with fixed kernels, and whatever
makes kernels out of parameters and names of channels alone. Attention to or from learned vectors is a product with
parameters, and counts. A parameter counts also where it is frozen; a buffer is fixed. Weights that a path meets again,
as in a recurrent network, count once. That holds for kernels made of the input too: the same one, or one made in the
same way of the same numbers, counts once, another one anew.

Not seen: a matrix that was made out of the input where it is multiplied by the input, as in attention (the layers that
made it count); a matrix product that is written as a sum of scaled parameters, one by one, or whose products are
shifted, bent or put beside others before they are summed, or are summed by a product or a convolution with ones; and
the distance to a single learned point, which is a shift and a norm.

Seen, though one may think otherwise: the mean of channels right after a scale of each of them, as in two normalisations
written by hand one after the other and without a shift between, is a weighted sum. A scale that was copied to the size
of what it scales is taken to differ along all of it. What writes to a part of a tensor is taken to write to all of it,
so that layers which each fill a slice of one stand one after another.

Where paths share weights, the longer one at each junction is followed: the other might become longer later on by what
it does not share, and depth is then counted too small.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from anychan.channels import ChannelsLike
from anychan.cost._call import call_of, on_meta, shapes_only
from anychan.cost._values import Value, Values, longest, tensors_in
from anychan.cost._weighted_sums import Operation, step

_aten = torch.ops.aten

# Operations that multiply matrices, with the positions of the two.
_PRODUCTS = {
    _aten.mm: (0, 1),
    _aten.bmm: (0, 1),
    _aten.mv: (0, 1),
    _aten.dot: (0, 1),
    _aten.addmm: (1, 2),
    _aten.addmv: (1, 2),
    _aten.addbmm: (1, 2),
    _aten.baddbmm: (1, 2),
    _aten._grouped_mm: (0, 1),
    _aten._addmm_activation: (1, 2),
    _aten._scaled_mm: (0, 1),
    _aten._cdist_forward: (0, 1),  # distances to learned points
    _aten._euclidean_dist: (0, 1),  # the same, of many points
    _aten._linalg_solve_ex: (0, 1),  # a product with the inverse
    _aten.linalg_solve_triangular: (0, 1),
    _aten.cholesky_solve: (0, 1),
}
_ATTENDED = ("query", "key", "value")
_CONVOLUTIONS = {
    "aten::convolution",
    "aten::_convolution",
    "aten::conv_tbc",
    "aten::_slow_conv2d_forward",
    "torchvision::deform_conv2d",
}


def depth(model: nn.Module, channels: ChannelsLike | None = None, image_size: int = 224) -> int:
    """Count the weighted layers on the longest path from the input to the logits; the model is left as it is.

    A squeeze-and-excitation block adds its two layers, an LSTM two (from input to state, from state to state).
    Where paths that share weights meet, the longer one is followed, of equally long ones the one met first.

    Args:
        model: any module called ``model(x)``, or an any-channel model; of several outputs the deepest counts.
        channels: of the input; None: all of an any-channel model, the planes of another model's first convolution.
        image_size: height and width in pixels.

    Raises:
        ValueError: for channels or an image size that the model does not take, a model that cannot be copied or run on
            the meta device (which asks for values, or uses weights that are not registered in it), an operation with
            weights that is neither PyTorch's nor known here, or an output that does not come from the input.

    Example:
        >>> block = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 5))
        >>> depth(block, image_size=8)
        2
    """
    call = call_of(model, channels, image_size)
    # By name, since the copy on the meta device no longer shares what modules share.
    numbers = {name: id(parameter) for name, parameter in model.named_parameters(remove_duplicate=False)}
    model = on_meta(model)
    with shapes_only(model, image_size):
        x = call.batch(model, 2, "meta")
        values = Values()
        values.set(x, Value(path=frozenset(), made_by="input"))
        for name, parameter in model.named_parameters(remove_duplicate=False):
            values.set(parameter, Value(trained=True, made_by=("parameter", numbers[name])))
        for i, buffer in enumerate(model.buffers()):
            values.set(buffer, Value(made_by=("buffer", i)))
        watch = _Watch(values)
        with _SeenAsWritten(watch), watch:
            output = call(model, x)
    paths = [path for t in tree_leaves(output) if isinstance(t, Tensor) and (path := values.get(t).path) is not None]
    if not paths:
        raise ValueError(f"the output of {type(model).__name__} does not come from its input")
    return max(len(path) for path in paths)


@dataclass(frozen=True)
class _Operand:
    """A value that is multiplied, and what stands for it where it is a weight."""

    value: Value
    identity: Any


class _Watch(TorchDispatchMode):
    """Writes down the value of whatever an operation returns or writes to."""

    def __init__(self, values: Values) -> None:
        super().__init__()
        self.values = values
        self.paused = False

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.paused:
            return func(*args, **kwargs)
        with self:  # in inference mode also what is made of other operations comes here
            output = func.decompose(*args, **kwargs)
        if output is not NotImplemented:
            return output
        output = func(*args, **kwargs)
        value = self._value_of(func, args, kwargs, output)
        if func._schema.is_mutable:
            written = [a for a, s in zip(args, func._schema.arguments, strict=False) if s.is_write]
            written += [a for s in func._schema.arguments if s.is_write and (a := kwargs.get(s.name)) is not None]
            for tensor in tensors_in((output, written)):
                self.values.set(tensor, value)
        else:
            for i, tensor in enumerate(tensors_in(output)):
                if tensor not in self.values:  # else it is a view
                    self.values.set(tensor, replace(value, made_by=(value.made_by, i)))
        return output

    def _value_of(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Value:
        tensors = tensors_in((args, kwargs))
        self.refuse_strangers(func, tensors)
        operands = [self.values.get(tensor) for tensor in tensors]
        trained, made_by = any(operand.trained for operand in operands), self.values.recipe(func, args, kwargs)
        path = longest(operands)
        if path is None:
            return Value(None, trained, made_by)
        operation = func.overloadpacket
        if operation in _PRODUCTS:
            through = self.product(*(args[i] for i in _PRODUCTS[operation]))
        elif operation == _aten._trilinear:  # of two inputs and a weight between them
            through = Value(longest(self.product(*pair) for pair in itertools.combinations(args[:3], 2)))
        elif operation in {_aten.mul, _aten.mul_} and all(isinstance(t, Tensor) and t.is_complex() for t in args[:2]):
            through = self.product(*args[:2])
        elif func._schema.name in _CONVOLUTIONS:
            through = self._convolved(args[0], args[1], args[2:4] if func.namespace == "torchvision" else ())
        else:
            self._refuse_unknown(func, operands)
            taken = step(Operation(self.values, func, args, kwargs, output))
            path = path if taken.layer is None else path | {taken.layer}
            return Value(path, trained, made_by, taken.scaled, taken.moved)
        path = longest((Value(path), through))  # what is added may have come a longer way
        return Value(path, trained, made_by)

    def product(self, first: Tensor | _Operand, second: Tensor | _Operand) -> Value:
        """Of a product of two matrices: a weighted layer if one comes from the input, the other from parameters."""
        one, other = self._operand(first), self._operand(second)
        if one.value.path is None:
            one, other = other, one
        path, trained = longest((one.value, other.value)), one.value.trained or other.value.trained
        made_by = "product", one.identity, other.identity
        if path is not None and other.value.only_parameters:
            path = path | {other.identity}
        return Value(path, trained, made_by)

    def _convolved(self, x: Tensor, kernel: Tensor, samples: Sequence[Tensor]) -> Value:
        """Of a convolution; ``samples`` say where a deformable one looks and how much of that it takes."""
        made, seen = self.values.get(kernel), [self.values.get(t) for t in (x, *samples)]
        path = longest((made, *seen))
        if made.path is not None and made.trained:
            return Value((path or frozenset()) | {self.values.identity(kernel)}, trained=True)
        sampled = Value(longest(seen), any(value.trained for value in seen))
        return self.product(_Operand(sampled, self.values.identity(x)), kernel)

    def _operand(self, given: Tensor | _Operand) -> _Operand:
        return given if isinstance(given, _Operand) else _Operand(self.values.get(given), self.values.identity(given))

    def refuse_strangers(self, func: Any, tensors: Sequence[Tensor]) -> None:
        """Weights that are not registered in the model would pass for constants."""
        for tensor in tensors:
            if tensor not in self.values and (tensor.requires_grad or isinstance(tensor, nn.Parameter)):
                raise RuntimeError(f"{func} uses a parameter of shape {tuple(tensor.shape)} that is not registered")
        outside = [t for t in tensors if t.device.type != "meta" and t.dim() > 0]
        if outside and len(outside) < len(tensors):
            raise RuntimeError(f"{func} uses a tensor of shape {tuple(outside[0].shape)} that is not registered")

    @staticmethod
    def _refuse_unknown(func: Any, operands: Sequence[Value]) -> None:
        if func.namespace not in {"aten", "prims"} and any(operand.only_parameters for operand in operands):
            raise RuntimeError(f"whether {func} is a weighted layer is not known")


class _SeenAsWritten(TorchFunctionMode):
    """Sees what operations no longer tell, by shapes alone.

    Scaled dot product attention is taken for one operation, whatever it is made of on this device. Tensors made of
    numbers, and places in a list, are told apart by these.
    """

    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self._watch = watch

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in {torch.tensor, torch.as_tensor, Tensor.__getitem__}:
            return self._of_numbers(func, args, kwargs)
        if func is not F.scaled_dot_product_attention:
            return func(*args, **kwargs)
        watch, tensors = self._watch, tensors_in((args, kwargs))
        watch.refuse_strangers(func.__name__, tensors)
        watch.paused = True
        try:
            output = func(*args, **kwargs)
        finally:  # a model may catch the error and go another way
            watch.paused = False
        query, key, value = (args[i] if i < len(args) else kwargs[name] for i, name in enumerate(_ATTENDED))
        scores = watch.product(query, key)
        attended = watch.product(_Operand(scores, scores.made_by), value)
        operands = [watch.values.get(tensor) for tensor in tensors]
        trained, made_by = any(operand.trained for operand in operands), watch.values.recipe(func, args, kwargs)
        watch.values.set(output, Value(longest((*operands, attended)), trained, made_by))
        return output

    def _of_numbers(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        output, values = func(*args, **kwargs), self._watch.values
        numbers = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, (bool, int, float))]
        is_new = all(output.untyped_storage()._cdata != t.untyped_storage()._cdata for t in tensors_in((args, kwargs)))
        if numbers and is_new:  # else it is a view, or made of another tensor
            value = values.get(output)
            values.set(output, replace(value, made_by=(value.made_by, *numbers)))
        return output
