"""Networks whose layers cannot be counted: the error says why."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anychan.cost import count_macs, depth, list_layers

from ._nets import depth_of

_UNREGISTERED = nn.Parameter(torch.ones(8, 8))


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (lambda net, x: x if x.sum() > 0 else -x, "cannot be called on meta"),
        (lambda net, x: sum(x for _ in range(int(x.max()))), "cannot be called on meta"),
        (lambda net, x: x[x > 0], "nonzero"),
        (lambda net, x: torch.from_numpy(np.sqrt(x.numpy())), "numpy"),
        (lambda net, x: torch.from_numpy(np.sqrt(x.cpu())), "no data"),
        (lambda net, x: torch.as_tensor(np.sqrt(x)), "numpy"),
        (lambda net, x: x @ _UNREGISTERED, "parameter of shape .8, 8. that is not registered"),
        (lambda net, x: F.linear(x, _UNREGISTERED.to(x.device)), "parameter of shape .8, 8. that is not registered"),
        (lambda net, x: F.scaled_dot_product_attention(x, _UNREGISTERED, x), "shape .8, 8. that is not registered"),
        (lambda net, x: x @ torch.from_numpy(np.ones((8, 8), np.float32)), "tensor of shape .8, 8. that is not"),
    ],
)
def test_what_cannot_be_followed_says_why(run: Callable[..., Tensor], said: str) -> None:
    with pytest.raises(ValueError, match=f"Net cannot be traced by shapes alone.*{said}"):
        depth_of(run)


def test_models_of_a_fixed_size_ask_for_it() -> None:
    with torch.device("meta"):
        model = timm.create_model("deit_tiny_patch16_224")
    said = r"refuses its input; another than image_size 384 may do: Input height \(384\) doesn't match"
    for measure in (depth, count_macs, list_layers):
        with pytest.raises(ValueError, match=said):
            measure(model, image_size=384)
    with pytest.raises(ValueError, match=r"Sequential cannot be traced .*324.*\(image_size 9\)"):
        depth(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(256, 5)), image_size=9)


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_model_that_cannot_be_copied() -> None:
    model = nn.Sequential(nn.utils.weight_norm(nn.Conv2d(3, 4, 1)))
    model(torch.ones(1, 3, 8, 8))
    with pytest.raises(ValueError, match="Sequential cannot be copied, as measuring it needs: Only Tensors created"):
        depth(model, image_size=8)
    assert depth(nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 1))), image_size=8) == 1


def test_output_that_does_not_come_from_the_input() -> None:
    with pytest.raises(ValueError, match="output of Net does not come from its input"):
        depth_of(lambda net, x: torch.ones(3))


def test_foreign_operation_with_weights_is_refused() -> None:
    with torch.library._scoped_library("anychan_test", "FRAGMENT") as library:
        library.define("twice(Tensor x, Tensor weight) -> Tensor")
        library.impl("twice", lambda x, weight: x * 2, "Meta")
        operation = torch.ops.anychan_test.twice
        with pytest.raises(ValueError, match=r"whether anychan_test.twice.default is a weighted layer is not known"):
            depth_of(lambda net, x: operation(x, net.weight), weight=nn.Parameter(torch.ones(3)))
        assert depth_of(lambda net, x: operation(x, x)) == 0
