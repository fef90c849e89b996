"""Branches that fold into one convolution: equal to their training form, and to a slow sum of convolutions."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close

from anychan.adaptation import adapt, keep_statistics, replace_batch_norm, specialize
from anychan.adaptation.replacement import fold_batch_renorm
from anychan.blocks import BranchedConv2d, FoldableConv2d, fold_branches
from anychan.cost._folded import as_shipped

from .._trained import as_if_trained


def slow(branched: BranchedConv2d, x: Tensor, stride: int) -> Tensor:
    """The definition, pixel by pixel: each branch's window lies around the same centre."""
    height, width = x.shape[2:]
    even = branched.branches[0][0].kernel_size[0] % 2 == 0
    total: Tensor = torch.zeros(())
    for convolution, norm in branched.branches:
        rows, columns = convolution.kernel_size
        y = torch.zeros(len(x), convolution.out_channels, height // stride, width // stride)
        for i in range(y.shape[2]):
            for j in range(y.shape[3]):
                top = i * stride + (stride // 2 if even else 0) - rows // 2
                left = j * stride + (stride // 2 if even else 0) - columns // 2
                for a in range(rows):
                    for b in range(columns):
                        if 0 <= top + a < height and 0 <= left + b < width:
                            y[:, :, i, j] += x[:, :, top + a, left + b] @ convolution.weight[:, :, a, b].T
        total = total + F.batch_norm(y, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
    if branched.shortcut is not None:
        norm = branched.shortcut
        total = total + F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
    return total


@pytest.mark.parametrize(
    ("kernel_sizes", "stride", "shortcut"),
    [([3], 1, False), ([5, 3, 1], 1, True), ([(1, 3), (3, 1), 3], 1, False), ([5, 3], 2, False), ([6, 4, 2], 2, False)],
)
def test_folded_equals_the_branches_and_their_definition(kernel_sizes: list, stride: int, shortcut: bool) -> None:
    with torch.no_grad():
        branched = as_if_trained(BranchedConv2d(4, 4, kernel_sizes, stride, shortcut=shortcut))
        x = torch.randn(2, 4, 8, 6)
        expected = slow(branched, x, stride)
        assert_close(branched(x), expected, atol=1e-4, rtol=1e-4)
        assert_close(branched.fold()(x), expected, atol=1e-4, rtol=1e-4)


def test_a_model_is_folded_in_a_copy() -> None:
    model = nn.Sequential(BranchedConv2d(3, 6, [4, 2], 2), nn.GELU(), nn.Sequential(BranchedConv2d(6, 6, [3, 1])))
    as_if_trained(model)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    folded = fold_branches(model)
    assert [type(m) for m in folded.modules() if not list(m.children())] == [nn.Conv2d, nn.GELU, nn.Conv2d]
    assert model.training
    assert not folded.training
    assert all(torch.equal(model.state_dict()[name], value) for name, value in state.items())
    x = torch.randn(2, 3, 8, 8)
    assert_close(folded(x), model.eval()(x), atol=1e-4, rtol=1e-4)
    assert isinstance(fold_branches(BranchedConv2d(3, 6, [3, 1])), nn.Conv2d)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((3, 3, []), r"kernel sizes \[\]: one or more"),
        ((3, 3, [4, 3]), r"kernel sizes \[4, 3\]: .* all odd or all even"),
        ((3, 3, [2]), "with stride 1: even ones go with an even stride"),
        ((3, 3, [2], 4), "with stride 4"),
    ],
)
def test_kernels_without_a_common_centre_are_refused(arguments: tuple, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        BranchedConv2d(*arguments)


def test_a_shortcut_needs_equal_planes_and_stride_one() -> None:
    for arguments in ((3, 4, [3]), (3, 3, [3], 2), (4, 4, [4, 2], 2)):
        with pytest.raises(ValueError, match="needs equal planes, stride 1 and odd kernels"):
            BranchedConv2d(*arguments, shortcut=True)


def test_other_normalisations_cannot_be_folded() -> None:
    branched = BranchedConv2d(3, 4, [3, 1])
    branched.branches[1][1] = nn.GroupNorm(2, 4)
    with pytest.raises(ValueError, match="GroupNorm cannot be folded"):
        branched.fold()
    assert isinstance(fold_branches(nn.Sequential(branched))[0], BranchedConv2d)  # it is none, and so it stays


def test_batch_renormalisation_is_folded_once_it_is_ordinary() -> None:
    model = as_if_trained(replace_batch_norm(nn.Sequential(BranchedConv2d(3, 4, [3, 1])), "renorm")).eval()
    assert not model[0].foldable
    with pytest.raises(ValueError, match="BatchRenorm2d cannot be folded"):
        model[0].fold()
    assert isinstance(fold_branches(model)[0], BranchedConv2d)
    x = torch.randn(2, 3, 6, 6)
    for folded in (fold_branches(fold_batch_renorm(copy.deepcopy(model))), as_shipped(model)):
        assert isinstance(folded[0], nn.Conv2d)
        assert_close(folded(x), model(x), atol=1e-5, rtol=1e-4)


def test_a_block_that_is_used_in_two_places_stays_one() -> None:
    block = BranchedConv2d(4, 4, [3, 1])
    model = as_if_trained(nn.Sequential(nn.Conv2d(3, 4, 3), block, nn.Sequential(block), nn.Flatten())).eval()
    adapted, x = adapt(model, strategy="sliced"), torch.randn(2, 3, 6, 6)
    for folded in (fold_branches(model), specialize(adapted)):
        assert not any(isinstance(module, FoldableConv2d) for module in folded.modules())
        assert folded[1] is folded[2][0]
        assert_close(folded(x), model(x), atol=1e-5, rtol=1e-4)


def test_a_model_with_statistics_for_each_subset_is_specialized_first() -> None:
    """Each subset's kernel is another one, and the body's own statistics belong to none of them."""
    body = nn.Sequential(nn.Conv2d(3, 4, 3), BranchedConv2d(4, 4, [3, 1]), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = adapt(body, "RGB", "sliced", trained_on="RGB")
    assert_close(fold_branches(model)(torch.ones(1, 3, 6, 6)), model.eval()(torch.ones(1, 3, 6, 6)))
    keep_statistics(model, ["RGB", "R"])
    for subset in (["RGB"], ["R"]):
        for norm in model.subset_statistics.of(model.resolve(subset[0])).values():
            nn.init.normal_(norm.running_mean)
    with pytest.raises(ValueError, match="specialize the model for one"):
        fold_branches(model)
    x = torch.randn(2, 1, 6, 6)
    ordinary = specialize(model.eval(), "R")
    assert not any(isinstance(module, BranchedConv2d) for module in ordinary.modules())
    assert_close(ordinary(x), model(x, "R"), atol=1e-5, rtol=1e-4)
    kept = specialize(model.train(), "R")  # to be trained on
    assert any(isinstance(module, BranchedConv2d) for module in kept.modules())


def test_an_any_channel_convolution_in_a_block_is_made_ordinary_first() -> None:
    model = adapt(nn.Sequential(BranchedConv2d(3, 4, [3]), nn.ReLU()).eval(), "RGB", "sliced")
    with pytest.raises(ValueError, match=r"an any-channel convolution is in body\.0, so specialize the model"):
        fold_branches(model)
    assert isinstance(specialize(model, "RG")[0], nn.Conv2d)


def test_a_folded_kernel_lies_as_those_that_it_was_made_of() -> None:
    model = nn.Sequential(BranchedConv2d(3, 4, [3, 1])).eval()
    for layout in (torch.contiguous_format, torch.channels_last):
        assert fold_branches(model.to(memory_format=layout))[0].weight.is_contiguous(memory_format=layout)
