"""What training takes a faster way for on a CPU: some convolutions, and means over maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from anychan.training.convolution import Convolution
from anychan.training.float32_gradients import way_with_float32_gradients
from anychan.training.map_means import way_of_means, way_of_pools
from anychan.training.small_maps import way_over_small_maps


class FasterOnCpu(TorchFunctionMode):
    """While it is entered, some of PyTorch's functions go a faster way on a CPU, each where that pays.

    These are ``way_over_small_maps``, ``way_with_float32_gradients``, ``way_of_means`` and ``way_of_pools``; all else
    goes the usual way, what ``torch.func`` transforms too. Derivatives in forward mode
    (``torch.autograd.forward_ad``) and several at once (``is_grads_batched``) are not made of what goes a faster way.

    Example:
        >>> x, kernel = torch.randn(8, 128, 2, 2), torch.randn(128, 128, 3, 3)
        >>> kernel = kernel.to(memory_format=torch.channels_last)
        >>> with FasterOnCpu():
        ...     y = torch.conv2d(x, kernel, padding=1)
        >>> torch.allclose(y, torch.conv2d(x, kernel, padding=1), atol=1e-3)
        True
    """

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        faster = _WAYS.get(func)
        if faster is not None and not torch._C._are_functorch_transforms_active():
            way = faster(*args, **kwargs)
            if way is not None:
                return way()
        return func(*args, **kwargs)


def _way_of_convolutions(*args: Any, **kwargs: Any) -> Callable[[], Tensor] | None:
    call = Convolution.read(*args, **kwargs)
    return None if call is None else way_over_small_maps(call) or way_with_float32_gradients(call)


_WAYS: dict[Callable, Callable[..., Callable[[], Tensor] | None]] = {
    torch.conv2d: _way_of_convolutions,
    torch.mean: way_of_means,
    torch.Tensor.mean: way_of_means,
    F.adaptive_avg_pool2d: way_of_pools,
}
