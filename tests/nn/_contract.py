"""What the contract tests share: every strategy with the options that change what it promises, and small images."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch

from anychan.channels import Channel, ChannelSet
from anychan.nn import AnyChannelConv2d, Promises, get_strategy, list_strategies

CHANNELS = ChannelSet([Channel("R", 0.665), Channel("G", 0.56), Channel("B", 0.49), Channel("NIR", 0.842)])
SUBSETS = ["R,G,B,NIR", "NIR,G,R", "B,NIR", "G"]
GEOMETRIES = [
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": (5, 3), "stride": (2, 1), "padding": "valid", "bias": False},
    {"kernel_size": 3, "padding": "same", "dilation": 2, "padding_mode": "reflect"},
]
# Each strategy as it comes, and its options that change what it promises or how it convolves.
VARIANTS = [(name, {}) for name in list_strategies()] + [
    ("sliced", {"rescale": False}),
    ("sliced", {"selection": "random"}),
    ("sliced", {"selection": "random", "mode": "eval"}),
    ("sliced", {"selection": "random", "at_test": "random", "mode": "eval"}),
    ("completed", {"learnable": True}),
    ("completed", {"mean": torch.tensor([0.3, 0.1, -0.2, 0.5])}),
    ("mixed", {"attentions": "omni"}),
    ("masked", {"templates": 0}),
    ("generated", {"hidden": 2}),
    ("template", {"templates": 2}),
    ("pooled", {"pooling": "sum"}),
    ("pooled", {"pooling": "attention"}),
    ("attentive", {"embedding": "wavelength"}),
]


def correlated(n: int, seed: int = 0) -> torch.Tensor:
    mixing = torch.randn(n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return mixing @ mixing.T + 0.1 * torch.eye(n, dtype=torch.float64)


def make(name: str, options: dict, channels: ChannelSet = CHANNELS, **geometry) -> AnyChannelConv2d:
    """A convolution with 6 outputs as training might leave it: what begins at zero is not zero any more.

    It is in training mode, unless the options say ``mode="eval"``.
    """
    options, mode = {key: value for key, value in options.items() if key != "mode"}, options.get("mode", "train")
    strategy = get_strategy(name)
    if strategy.uses_statistics:
        options = {"covariance": correlated(len(channels)), **options}
    torch.manual_seed(0)
    conv = strategy(len(channels), 6, channels=channels, **{**GEOMETRIES[0], **geometry}, **options)
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return conv.train(mode == "train")


def image(planes: int, n: int = 2, **like) -> torch.Tensor:
    return torch.randn(n, planes, 9, 11, generator=torch.Generator().manual_seed(planes)).to(**like)


def bands(n: int) -> ChannelSet:
    return ChannelSet(Channel(f"B{i}", 0.4 + 0.03 * i) for i in range(n))


def maps(conv: AnyChannelConv2d, y: torch.Tensor, planes: int) -> torch.Tensor:
    """(N, S, O, H', W'), where each channel keeps a map of its own."""
    return y.unflatten(2, (planes, -1)).transpose(1, 2)


def equal(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def ids(variant: object) -> str:
    if not isinstance(variant, tuple):
        return str(variant)
    told = [f"{key}={value}" if isinstance(value, str) else key for key, value in variant[1].items()]
    return ",".join([str(variant[0]), *told])


def promised(variant: tuple[str, dict]) -> Promises:
    return make(*variant).promises


def parametrized(variants: list) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("variant", variants, ids=ids)


every = parametrized(VARIANTS)
promising = {
    field.name: parametrized([v for v in VARIANTS if getattr(promised(v), field.name)]) for field in fields(Promises)
}
# Without its names, what a plane does is not repeatable (sliced at random), and nothing more can be asked.
repeatable = promising["any_order"]
