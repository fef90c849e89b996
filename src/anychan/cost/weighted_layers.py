"""Depth: weighted layers on the longest path from a model's input to its output.

The model runs once by shapes alone, and every operation is watched. A value remembers whether it comes from the
input, whether it comes from parameters, and the weights on the longest path to it. An operation is a weighted layer

- if it is a matrix product of something that comes from the input with something that comes from parameters only;
- if it is a convolution with a kernel that comes from parameters, also one that is made out of the input too
  (the layers that make it lie on the path).

So these are none: normalisation, products of attention (query with key, with value), convolutions with fixed
kernels, and whatever makes kernels out of parameters and names of channels alone. Weights that a path meets
again, as in a recurrent network, count once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from anychan.channels import ChannelsLike
from anychan.cost._call import call_of, on_meta, shapes_only

_aten = torch.ops.aten

# Operations that multiply matrices, with the positions of the two.
_PRODUCTS = {
    _aten.mm: (0, 1),
    _aten.bmm: (0, 1),
    _aten.mv: (0, 1),
    _aten.dot: (0, 1),
    _aten.linear: (0, 1),
    _aten.matmul: (0, 1),
    _aten.addmm: (1, 2),
    _aten.addmv: (1, 2),
    _aten.addbmm: (1, 2),
    _aten.baddbmm: (1, 2),
    _aten._trilinear: (0, 1),
}
_CONVOLUTIONS = {_aten.convolution, _aten._convolution, _aten.conv_tbc, _aten._slow_conv2d_forward}


def depth(model: nn.Module, channels: ChannelsLike | None = None, image_size: int = 224) -> int:
    """Count the weighted layers on the longest path from the input to the logits; the model is left as it is.

    A squeeze-and-excitation block adds its two layers, an LSTM two (from input to state, from state to state).
    Where paths share weights and are equally long at a junction the one met first is followed.

    Args:
        model: any module called ``model(x)``, or an any-channel model; of several outputs the deepest counts.
        channels: of the input; None: all of an any-channel model, the planes of another model's first convolution.
        image_size: height and width in pixels.

    Raises:
        ValueError: for channels the model does not take, a model that cannot run on the meta device, or an output
            that does not come from the input.

    Example:
        >>> block = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 5))
        >>> depth(block, image_size=8)
        2
    """
    call = call_of(model, channels, image_size)
    model = on_meta(model)
    with shapes_only(model):
        x = call.batch(model, 2, "meta")
        values = _Values()
        values.set(x, _Value(path=frozenset()))
        for i, parameter in enumerate(model.parameters()):
            values.set(parameter, _Value(trained=True, made_by=("parameter", i)))
        for i, buffer in enumerate(model.buffers()):
            values.set(buffer, _Value(made_by=("buffer", i)))
        watch = _Watch(values)
        with _AttentionIsOneStep(watch), watch:
            output = call(model, x)
    paths = [path for t in tree_leaves(output) if isinstance(t, Tensor) and (path := values.get(t).path) is not None]
    if not paths:
        raise ValueError(f"the output of {type(model).__name__} does not come from its input")
    return max(len(path) for path in paths)


@dataclass(frozen=True)
class _Value:
    """What is known of a tensor.

    Args:
        path: the weights on the longest path from the input; None where it does not come from the input.
        trained: whether it comes from parameters.
        made_by: what made it, equal for two values that are computed alike; of no use where ``path`` is set.
    """

    path: frozenset[Any] | None = None
    trained: bool = False
    made_by: Any = None


class _Values:
    """Values by storage, so that views and writing in place need no care; a tensor not met before is a constant."""

    def __init__(self) -> None:
        self._by_storage: dict[int, _Value] = {}
        self._alive: list[torch.UntypedStorage] = []  # the address of a dead storage is used again

    def __contains__(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self._by_storage

    def get(self, tensor: Tensor) -> _Value:
        return self._by_storage.get(tensor.untyped_storage()._cdata, _Value(made_by="constant"))

    def set(self, tensor: Tensor, value: _Value) -> None:
        if tensor not in self:
            self._alive.append(tensor.untyped_storage())
        self._by_storage[tensor.untyped_storage()._cdata] = value

    def identity(self, tensor: Tensor) -> Any:
        """Equal for two tensors that come from no input and hold the same numbers, made in the same way."""
        return self.get(tensor).made_by, tensor.storage_offset(), tuple(tensor.shape), tensor.stride()


class _Watch(TorchDispatchMode):
    """Writes down the value of whatever an operation returns or writes to."""

    def __init__(self, values: _Values) -> None:
        super().__init__()
        self.values = values
        self.paused = False

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        if self.paused:
            return output
        value = self._value_of(func, args, kwargs)
        if func._schema.is_mutable:
            written = [a for a, s in zip(args, func._schema.arguments, strict=False) if s.is_write]
            written += [a for s in func._schema.arguments if s.is_write and (a := kwargs.get(s.name)) is not None]
            for tensor in _tensors((output, written)):
                self.values.set(tensor, value)
        else:
            for i, tensor in enumerate(_tensors(output)):
                if tensor not in self.values:  # else it is a view
                    self.values.set(tensor, _Value(value.path, value.trained, (value.made_by, i)))
        return output

    def _value_of(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Value:
        operands = [self.values.get(tensor) for tensor in _tensors((args, kwargs))]
        path = _longest(operands)
        if path is None:
            recipe = repr(tree_map_only(Tensor, self.values.identity, (args, kwargs)))
            return _Value(trained=any(o.trained for o in operands), made_by=hash((str(func), recipe)))
        weight = self._weight_of(func.overloadpacket, args)
        return _Value(path if weight is None else path | {weight}, trained=True)

    def _weight_of(self, operation: Any, args: tuple[Any, ...]) -> Any:
        """What stands for the weights of a weighted layer; None for any other operation."""
        if operation not in _CONVOLUTIONS and operation not in _PRODUCTS:
            return None
        first, second = (args[i] for i in _PRODUCTS.get(operation, (0, 1)))
        for one, other in ((first, second), (second, first)):
            if self.values.get(one).path is not None and self._comes_from_parameters_only(other):
                return self.values.identity(other)
        kernel = self.values.get(second)
        if operation in _CONVOLUTIONS and kernel.path is not None and kernel.trained:
            return object()  # made out of the input: another one each time
        return None

    def _comes_from_parameters_only(self, tensor: Tensor) -> bool:
        value = self.values.get(tensor)
        return value.trained and value.path is None


class _AttentionIsOneStep(TorchFunctionMode):
    """Takes scaled dot product attention for one operation, whatever it is made of on this device."""

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
        if func is not F.scaled_dot_product_attention:
            return func(*args, **kwargs)
        operands = [self._watch.values.get(tensor) for tensor in _tensors((args, kwargs))]
        self._watch.paused = True
        output = func(*args, **kwargs)
        self._watch.paused = False
        trained = any(operand.trained for operand in operands)
        self._watch.values.set(output, _Value(_longest(operands), trained, made_by=object()))
        return output


def _longest(values: Iterable[_Value]) -> frozenset[Any] | None:
    """The longest of the paths, None where none comes from the input."""
    return max((value.path for value in values if value.path is not None), key=len, default=None)


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
