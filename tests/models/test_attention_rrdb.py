"""The attention RRDB networks: their parameters and their operations are those that were reported, to the digit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from anychan.blocks.attention import SelfAttention2d
from anychan.cost import count_macs, depth
from anychan.models.attention_rrdb import attention_rrdb_3x3, attention_rrdb_7x7

VERSIONS = [
    (attention_rrdb_3x3, 205_204, "46.0907", 8_554_363_648),
    (attention_rrdb_7x7, 212_884, "11.6577", 807_891_712),
]


def operations(model: nn.Module, x: Tensor) -> int:
    """FLOPs as calflops counts them, with which the reported ones were counted.

    Two for each MAC of a layer and one for each bias of a convolution; two for each number that is normalised, one for
    each that goes into an activation, a pool or a softmax. Not seen: sigmoids, arithmetic of tensors, ``torch.bmm``.
    """
    total = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += output.numel() * (2 * module.weight[0].numel() + (module.bias is not None))
        elif isinstance(module, nn.Linear):
            total += 2 * output.numel() * module.in_features
        elif isinstance(module, nn.BatchNorm2d):
            total += 2 * output.numel()
        elif isinstance(module, nn.ReLU | nn.LeakyReLU):
            total += output.numel()
        elif isinstance(module, SelfAttention2d):
            total += len(output) * output[0, 0].numel() ** 2
            total += output.numel()  # the pool of the squeeze-and-excitation behind it, not a module here
        elif module is model:
            total += x.shape[0] * pooled[0]

    def remember(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        pooled.append(output[0].numel())  # goes into the global mean

    pooled: list[int] = []
    model.transition.register_forward_hook(remember)
    for module in model.modules():
        module.register_forward_hook(count)
    model(x)
    return total


@pytest.mark.parametrize(("construct", "parameters", "reported", "macs"), VERSIONS)
def test_what_they_cost(construct, parameters, reported, macs):
    with torch.device("meta"):
        model = construct(num_classes=50).eval()
        counted = operations(construct(num_classes=50).eval(), torch.empty(16, 3, 84, 84))
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert f"{counted / 1e9:.4f}" == reported
    assert count_macs(model, image_size=84).forward == macs
    assert depth(model, image_size=32) == 12


def test_without_attention():
    assert depth(attention_rrdb_3x3(attention=False), image_size=32) == 6


def test_images_of_any_size():
    for construct, _, _, _ in VERSIONS:
        model = construct(num_classes=5, width=8).eval()
        for size in ((32, 32), (45, 37)):
            assert model(torch.randn(1, 3, *size)).shape == (1, 5)


def test_the_dense_block_is_scaled():
    torch.manual_seed(0)
    model = attention_rrdb_7x7(width=8, residual_scale=0.5).eval()
    x = torch.randn(1, 8, 6, 6)
    torch.testing.assert_close(model.dense(x), x + 0.5 * model.dense.body(x))


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="width 7: must be 8 or more"):
        attention_rrdb_3x3(width=7)
