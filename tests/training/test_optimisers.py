"""What decays, and the fused update against the plain one."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from anychan.training.config import OptimizerConfig
from anychan.training.optimisers import InMemoryOrder, make_optimizer, parameter_groups


class Positions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.zeros(1, 4, 8))

    def no_weight_decay(self) -> set[str]:
        return {"positions"}


def test_norms_biases_and_exempt_parameters_do_not_decay() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.LayerNorm(8), Positions(), nn.Linear(8, 2))
    model[4].weight.requires_grad_(False)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed, kept = (
        ({names[id(parameter)] for parameter in group["params"]}, group["weight_decay"])
        for group in parameter_groups(model, 0.05)
    )
    assert decayed == ({"0.weight"}, 0.05)
    assert kept == ({"0.bias", "1.weight", "1.bias", "2.weight", "2.bias", "3.positions", "4.bias"}, 0.0)


class Encoded(nn.Module):
    """As timm's XCiT names what its positions are made with."""

    def __init__(self) -> None:
        super().__init__()
        self.pos_embed, self.head = nn.Sequential(nn.Conv2d(8, 4, 1)), nn.Linear(4, 2)

    def no_weight_decay(self) -> set[str]:
        return {"pos_embed.*"}


def test_wildcards_name_what_does_not_decay() -> None:
    model = nn.ModuleDict({"[body]": Encoded()})
    decayed, kept = parameter_groups(model, 0.05)
    assert [id(parameter) for parameter in decayed["params"]] == [id(model["[body]"].head.weight)]
    assert len(kept["params"]) == 3


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_the_fused_update_is_the_plain_one(name: Any) -> None:
    def after_steps(fused: bool) -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 1)).to(
            memory_format=torch.channels_last
        )
        optimizer = make_optimizer(model, OptimizerConfig(name=name, learning_rate=0.01))
        for group in optimizer.param_groups:
            group["fused"], group["foreach"] = fused, False
        for _ in range(5):
            x = torch.randn(4, 3, 8, 8).contiguous(memory_format=torch.channels_last)
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
        return list(model.parameters())

    assert_close(after_steps(fused=True), after_steps(fused=False), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_an_update_in_memory_order_is_the_same_and_copies_nothing(name: Any) -> None:
    updated, states, copies = [], [], []
    for mode in (nullcontext, InMemoryOrder):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(4, 6, 3), nn.Conv2d(6, 8, 1), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(32, 5))
        model.to(memory_format=torch.channels_last)
        optimizer = make_optimizer(model, OptimizerConfig(name=name))
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.randn(2, 4, 4, 4).contiguous(memory_format=torch.channels_last)).square().sum().backward()
            with mode(), torch.profiler.profile() as profile:
                optimizer.step()
        updated.append(model.state_dict())
        states.append(optimizer.state_dict()["state"])
        copies.append(sum(event.name == "aten::clone" for event in profile.events()))
    for key, expected in updated[0].items():
        assert torch.equal(updated[1][key], expected)
        assert updated[1][key].stride() == expected.stride()
    assert_close(states[1], states[0], rtol=0, atol=0)
    assert copies[0] > 0  # once torch makes none, the mode can go
    assert copies[1] == 0


def test_a_frozen_model_is_refused() -> None:
    with pytest.raises(ValueError, match="no parameter to train"):
        make_optimizer(nn.Linear(2, 2).requires_grad_(False), OptimizerConfig())
