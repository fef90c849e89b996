"""The contract, checked over the registry: how convolutions are made, loaded, copied and kept."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from anychan.nn import AnyChannelConv2d, KernelConv2d, get_strategy

from ._contract import CHANNELS, correlated, every, image, make, promising, repeatable


@every
def test_unknown_duplicate_and_no_channels_raise(variant):
    conv = make(*variant)
    promises = conv.promises
    bad = [("R,R", "twice"), ([], "at least one channel|no channel")]
    if not promises.unnamed:
        bad.append((["X"], "unknown channel 'X'"))
    for channels, said in bad:
        with pytest.raises(ValueError, match=said):
            conv(image(1), channels)
    with pytest.raises(ValueError, match=r"\(N, 2, H, W\) for R,G"):
        conv(image(3), "R,G")
    if not promises.unnamed:
        with pytest.raises(ValueError, match=r"\(N, 4, H, W\) for R,G,B,NIR"):
            conv(image(3))
    for shapeless in (image(4)[0], image(4)[:, :0]):
        with pytest.raises(ValueError, match="x must have the shape"):
            conv(shapeless)
    with pytest.raises(ValueError, match="bool of shape"):
        conv(image(4), present=torch.ones(2, 4))
    with pytest.raises(ValueError, match=r"present must be bool of shape \(2, 4\), not list"):
        conv(image(4), present=[[True] * 4] * 2)
    with pytest.raises(ValueError, match="bool of shape"):
        conv(image(4), present=torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="image 1 of the batch has no channel"):
        conv(image(4), present=torch.tensor([[True] * 4, [False] * 4]))


@every
def test_construction_is_checked(variant):
    with pytest.raises(ValueError, match="groups is 2"):
        make(*variant, groups=2)
    statistics = {"covariance": correlated(5)} if get_strategy(variant[0]).uses_statistics else {}
    with pytest.raises(ValueError, match="in_channels is 5"):
        get_strategy(variant[0])(5, 6, 3, channels=CHANNELS, **statistics)
    conv = make(*variant)
    for weight, bias in (
        (torch.zeros(6, 3, 3, 3), torch.zeros(6)),
        (torch.zeros(6, 4, 3, 3), None),
        (torch.zeros(5, 4, 3, 3), torch.zeros(5)),
        (torch.zeros(6, 4, 3, 2), torch.zeros(6)),
    ):
        with pytest.raises(ValueError, match="cannot load a kernel of shape"):
            conv.load_kernel(weight, bias)


@every
def test_a_loaded_kernel_is_copied_and_the_output_follows_it(variant):
    conv, ordinary = make(*variant), nn.Conv2d(4, 6, 3, padding=1)
    torch.manual_seed(1)
    conv.load_kernel(ordinary.weight, ordinary.bias)
    torch.manual_seed(1)
    y = conv(image(4))
    with torch.no_grad():
        ordinary.weight.mul_(2)
        ordinary.bias.mul_(2)
    torch.manual_seed(1)
    assert torch.equal(conv(image(4)), y), "the stem shares memory with the kernel it was given"
    conv.load_kernel(ordinary.weight, ordinary.bias)
    torch.manual_seed(1)
    assert not torch.allclose(conv(image(4)), y)


@every
def test_without_a_bias_there_is_none(variant):
    conv = make(*variant, bias=False)
    conv.load_kernel(torch.randn(6, 4, 3, 3), None)
    with pytest.raises(ValueError, match="cannot load a kernel of shape"):
        conv.load_kernel(torch.randn(6, 4, 3, 3), torch.zeros(6))
    if conv.promises.foldable:
        assert conv.fold("R,B").bias is None


@repeatable
def test_state_dict_round_trip(variant):
    conv, other = make(*variant), make(*variant)
    conv.load_state_dict({name: tensor + 0.05 for name, tensor in conv.state_dict().items()})
    assert not torch.equal(other(image(2), "R,NIR"), conv(image(2), "R,NIR"))
    other.load_state_dict(conv.state_dict())
    assert torch.equal(other(image(2), "R,NIR"), conv(image(2), "R,NIR"))


@every
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_other_types_are_kept_by_a_state_dict_and_a_loaded_kernel(variant, dtype):
    conv, other = make(*variant, dtype=dtype), make(*variant, dtype=dtype)
    conv.load_kernel(torch.randn(6, 4, 3, 3), torch.randn(6))  # float32, as most pretrained kernels are
    other.load_state_dict(conv.state_dict())
    exact = ("mean", "covariance", "cholesky")  # from which *completed* makes kernels: in bfloat16 they keep float32
    assert all(tensor.dtype == dtype for name, tensor in other.state_dict().items() if name not in exact)
    x = image(2, dtype=dtype)
    outputs = []
    for one in (conv, other):
        torch.manual_seed(0)
        outputs.append(one(x, "R,NIR"))
    assert outputs[0].dtype == dtype
    assert torch.equal(*outputs)


@promising["exact"]
def test_a_loaded_kernel_of_another_type_is_met_as_its_type_allows(variant):
    kernel, bias = torch.randn(6, 4, 3, 3), torch.randn(6)
    for dtype, off in ((torch.float64, 1e-5), (torch.bfloat16, 0.03)):
        conv = make(*variant, dtype=dtype)
        conv.load_kernel(kernel, bias)
        x = image(4, dtype=dtype)
        expected = F.conv2d(x, kernel.to(dtype), bias.to(dtype), padding=1)
        error = (conv(x) - expected).detach().float().abs().max() / expected.float().abs().max()
        assert float(error) < off


@every
def test_a_deep_copy_is_the_same_and_independent(variant):
    conv, outputs = make(*variant), []
    other = copy.deepcopy(conv)
    assert other.promises == conv.promises
    for one in (conv, other):
        torch.manual_seed(0)
        outputs.append(one(image(2), "R,NIR"))
    assert torch.equal(*outputs)
    with torch.no_grad():
        for tensor in other.state_dict().values():
            tensor.zero_()
    torch.manual_seed(0)
    assert torch.equal(conv(image(2), "R,NIR"), outputs[0])


@every
def test_a_batch_without_images_gives_one_without_outputs(variant):
    conv, x = make(*variant), image(4)[:0].requires_grad_()
    for channels, planes in ((None, 4), ("NIR,R", 2)):
        for present in (None, torch.ones(0, planes, dtype=torch.bool)):
            y = conv(x[:, :planes], channels, present)
            assert y.shape == (0, 6, 9 if conv.promises.merges else 9 * planes, 11)
            y.sum().backward()
    with pytest.raises(ValueError, match="bool of shape"):
        conv(x, present=torch.ones(0, 3, dtype=torch.bool))


@pytest.mark.parametrize("contract", [AnyChannelConv2d, KernelConv2d])
def test_only_strategies_can_be_made(contract):
    with pytest.raises(TypeError, match="abstract"):
        contract(3, 4, 3)
