"""Deep training: two layers at first, one in the end."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from anychan.blocks import BranchedConv2d, DeepenedConv2d, fold_branches
from anychan.cost import depth

from .._trained import as_if_trained


def deepened(**options: Any) -> DeepenedConv2d:
    torch.manual_seed(0)
    return as_if_trained(DeepenedConv2d(BranchedConv2d(3, 4, [3, 1]), **options)).double()


def test_the_activation_between_becomes_linear() -> None:
    made, x = deepened(annealing=0.5), torch.randn(2, 3, 5, 6, dtype=torch.float64)
    z = made.first(x)
    for progress, linear in ((0.0, 0.0), (0.2, 0.4), (0.5, 1.0), (0.9, 1.0)):
        made.anneal(progress)
        between = (1 - linear) * F.gelu(z) + linear * z
        assert_close(made(x), made.norm(made.second(between)), rtol=1e-6, atol=1e-6)


def test_it_folds_into_one_convolution_and_not_before() -> None:
    made, x = deepened(), torch.randn(2, 3, 5, 6, dtype=torch.float64)
    made.anneal(0.5)
    with pytest.raises(ValueError, match="the activation between is only 67% linear: anneal it to the end"):
        made.fold()
    kept = fold_branches(nn.Sequential(made))[0]
    assert isinstance(kept, DeepenedConv2d)
    assert depth(kept, image_size=8) == 2
    made.anneal(1.0)
    folded = fold_branches(nn.Sequential(made))[0]
    assert type(folded) is nn.Conv2d
    assert_close(folded(x), made(x))
    single = made.float()
    with torch.autocast("cpu", torch.bfloat16):
        under = single.fold()
    assert_close(under.weight, single.fold().weight, rtol=0, atol=0)
    assert isinstance(made.first, BranchedConv2d)  # the model itself is as it was


def test_what_was_folded_too_early_is_folded_again() -> None:
    made, x = deepened(), torch.randn(2, 3, 5, 6, dtype=torch.float64)
    early = fold_branches(nn.Sequential(made))
    assert isinstance(early[0], DeepenedConv2d)
    assert type(early[0].first) is nn.Conv2d
    for model in (made, early[0]):
        model.anneal(1.0)
    folded = fold_branches(early)[0]
    assert type(folded) is nn.Conv2d
    assert_close(folded(x), made(x), rtol=1e-10, atol=1e-10)
    assert_close(early[0](x), made(x), rtol=1e-10, atol=1e-10)  # which is as it was


def test_the_model_file_holds_how_far_it_is() -> None:
    made = deepened()
    made.anneal(1.0)
    other = deepened()
    other.load_state_dict(made.state_dict())
    assert other.foldable


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"activation": "geglu"}, "'geglu' gives fewer planes than it takes"),
        ({"activation": "tanh"}, "activation is 'tanh'"),
        ({"annealing": 0.0}, "annealing is 0.0; it must be above 0"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        deepened(**options)
    with pytest.raises(ValueError, match=r"progress is 1.5; it goes from 0 to 1"):
        deepened().anneal(1.5)
