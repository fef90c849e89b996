"""Activations by name."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from anychan.blocks import make_activation


def test_a_gated_unit_is_a_product_of_halves() -> None:
    x = torch.randn(2, 6, 3, 3)
    activation, planes = make_activation("geglu")
    assert planes == 2
    assert_close(activation(x), x[:, :3] * F.gelu(x[:, 3:]))


@pytest.mark.parametrize(("name", "same"), [("gelu", F.gelu), ("relu", F.relu), ("silu", F.silu)])
def test_the_others_take_a_plane_for_a_plane(name, same) -> None:
    x = torch.randn(2, 6, 3, 3)
    activation, planes = make_activation(name)
    assert planes == 1
    assert_close(activation(x), same(x))


def test_an_unknown_one_is_refused() -> None:
    with pytest.raises(ValueError, match="activation is 'tanh', but must be one of gelu, relu, silu, geglu"):
        make_activation("tanh")
