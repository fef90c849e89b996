"""What is known of tensors while a model is traced by shapes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only


@dataclass(frozen=True)
class Weights:
    """Parameters that the elements of a tensor were multiplied by, or that were taken from them.

    Args:
        identity: what stands for these parameters.
        axes: those along which they differ, and what they met differs too; each given by the places in the storage
            that lie between neighbours on it, and between neighbours on the next longer axis.
    """

    identity: Any
    axes: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Value:
    """What is known of a tensor.

    Args:
        path: the weights on the longest path from the input; None where it does not come from the input.
        trained: whether it comes from parameters.
        made_by: what made it, equal for two values that are computed alike.
        scaled: what it was multiplied by; a sum along one of the axes is a weighted one.
        moved: the points that were taken from it; its length along one of the axes is a distance to them.
    """

    path: frozenset[Any] | None = None
    trained: bool = False
    made_by: Any = None
    scaled: Weights | None = None
    moved: Weights | None = None

    @property
    def only_parameters(self) -> bool:
        """Whether it comes from parameters and from nothing of the input."""
        return self.trained and self.path is None


class Values:
    """Values by storage, so that a view has the value of the whole; a tensor not met before is a constant."""

    def __init__(self) -> None:
        self._by_storage: dict[int, Value] = {}
        self._alive: list[torch.UntypedStorage] = []  # the address of a dead storage is used again

    def __contains__(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self._by_storage

    def get(self, tensor: Tensor) -> Value:
        return self._by_storage.get(tensor.untyped_storage()._cdata, Value(made_by="constant"))

    def set(self, tensor: Tensor, value: Value) -> None:
        if tensor not in self:
            self._alive.append(tensor.untyped_storage())
        self._by_storage[tensor.untyped_storage()._cdata] = value

    def identity(self, tensor: Tensor) -> Any:
        """Equal for two tensors that hold the same numbers, made in the same way."""
        return self.get(tensor).made_by, tensor.storage_offset(), tuple(tensor.shape), tensor.stride()

    def recipe(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
        """Equal for two calls of an operation with the same numbers."""
        return hash((str(func), repr(tree_map_only(Tensor, self.identity, (args, kwargs)))))


def longest(values: Iterable[Value]) -> frozenset[Any] | None:
    """The longest of the paths, None where none comes from the input."""
    return max((value.path for value in values if value.path is not None), key=len, default=None)


def tensors_in(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
