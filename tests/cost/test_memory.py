"""Peak memory against sums by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from anychan.cost import measure_memory

# 4 images of 3 x 16 x 16, convolutions of 16 channels: an activation has 16,384 numbers of 4 bytes.
_INPUT = 4 * 4 * 3 * 256
_ACTIVATION = 4 * 4 * 16 * 256


def _chain(length: int) -> nn.Sequential:
    convs = [nn.Conv2d(3 if i == 0 else 16, 16, 3, padding=1, bias=False) for i in range(length)]
    return nn.Sequential(*convs)


def _bytes_of_parameters(model: nn.Module) -> int:
    return 4 * sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("length", [2, 6])
def test_inference_holds_two_activations_however_long_the_chain(length: int) -> None:
    model = _chain(length)
    expected = _bytes_of_parameters(model) + _INPUT + 2 * _ACTIVATION
    assert measure_memory(model, image_size=16, batch_size=4).inference_bytes == expected


def test_training_holds_what_the_backward_pass_needs() -> None:
    model = _chain(6)
    # Weights and their two moments and the input are always there. The peak comes in the second step backwards: the
    # output, 4 activations still needed, the gradients of two, and those of two layers' weights.
    held = 3 * _bytes_of_parameters(model) + _INPUT
    expected = held + (1 + 4 + 2) * _ACTIVATION + 2 * 4 * model[1].weight.numel()
    assert measure_memory(model, image_size=16, batch_size=4).training_bytes == pytest.approx(expected, rel=0.001)


def test_training_grows_by_one_activation_a_layer() -> None:
    shorter, longer = (measure_memory(_chain(n), image_size=16, batch_size=4).training_bytes for n in (6, 10))
    parameters = _bytes_of_parameters(_chain(10)) - _bytes_of_parameters(_chain(6))
    assert longer - shorter == pytest.approx(4 * _ACTIVATION + 3 * parameters, rel=0.001)


def test_in_place_operations_take_no_memory() -> None:
    plain, in_place = (nn.Sequential(_chain(1), nn.ReLU(inplace=flag)) for flag in (False, True))
    found = [measure_memory(model, image_size=16, batch_size=4).inference_bytes for model in (plain, in_place)]
    assert found[0] - found[1] == _ACTIVATION


def test_model_and_random_state_are_left_as_they_are() -> None:
    model = nn.Sequential(_chain(1), nn.BatchNorm2d(16), nn.Dropout()).eval()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    measure_memory(model, image_size=8, batch_size=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_batch_size_must_be_positive() -> None:
    with pytest.raises(ValueError, match="batch_size 0"):
        measure_memory(_chain(1), batch_size=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_workspaces_come_on_top() -> None:
    model = _chain(6)
    on_cpu, on_gpu = (measure_memory(model.to(device), image_size=16, batch_size=4) for device in ("cpu", "cuda"))
    assert on_gpu.inference_bytes >= on_cpu.inference_bytes
    assert on_gpu.training_bytes >= 0.9 * on_cpu.training_bytes
