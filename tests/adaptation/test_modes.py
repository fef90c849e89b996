"""Training and evaluation mode of what calls bind, and what is frozen in it."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from anychan.adaptation import adapt, keep_statistics, specialize

from ._networks import network


def test_modes_and_what_is_frozen_stay() -> None:
    model = network("resnet18").train()
    model.bn1.eval()
    model.layer1.requires_grad_(False)
    model.conv1.requires_grad_(False)
    adapted = adapt(model, strategy="attentive")
    assert adapted.training
    assert adapted.body.layer1[0].bn1.training
    assert not adapted.body.bn1.training
    assert not adapted.body.layer1[0].conv1.weight.requires_grad
    assert not any(parameter.requires_grad for parameter in adapted.stems["conv1"].parameters())
    assert adapted.body.fc.weight.requires_grad
    assert not specialize(adapt(model, strategy="sliced"), "RG").conv1.weight.requires_grad
    evaluated = adapt(model.eval(), strategy="sliced")
    assert not any(module.training for module in evaluated.modules())


@pytest.mark.parametrize("frozen", ["weight", "bias"])
def test_weight_and_bias_are_frozen_apart(frozen: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 1))
    model[0].get_parameter(frozen).requires_grad_(False)
    stem = adapt(model, strategy="sliced").stems["0"]
    assert {name for name, parameter in stem.named_parameters() if not parameter.requires_grad} == {frozen}
    ordinary = specialize(adapt(model, strategy="sliced"), "RG")[0]
    assert {name for name, parameter in ordinary.named_parameters() if not parameter.requires_grad} == {frozen}


@torch.inference_mode()
@pytest.mark.parametrize("kept", [False, True])
def test_what_is_bound_is_for_the_mode_that_it_was_bound_in(kept):
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten())
    adapted, x = adapt(body, strategy="sliced").train(), torch.randn(2, 2, 6, 6)
    if kept:
        keep_statistics(adapted, ["RG"])
    bound = adapted.bind("RG")
    compiled = torch.compile(bound, backend="eager")
    compiled(x)
    before = copy.deepcopy(adapted.eval().state_dict())
    for call in (bound, compiled):
        with pytest.raises(ValueError, match="RG were bound in training mode, but the model is in evaluation mode now"):
            call(x)
    assert all(torch.equal(value, before[key]) for key, value in adapted.state_dict().items())
    assert adapted.bind("RG") is bound
    for call in (bound, compiled):
        assert torch.equal(call(x), adapted(x, "RG"))
    adapted.train()
    with pytest.raises(ValueError, match="were bound in evaluation mode, but the model is in training mode now"):
        bound(x)


def test_a_switch_of_what_is_bound_is_to_be_told_to_the_model() -> None:
    x = torch.randn(2, 3, 8, 8)
    model = adapt(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train(), strategy="sliced")
    keep_statistics(model, ["RG", "R"])
    detector = nn.Sequential(model.bind("RG")).eval()
    detector(x[:, :2])
    for call in (lambda: model.bind("R"), lambda: model(x[:, :1], "R")):
        with pytest.raises(
            ValueError, match=r"was switched to evaluation mode by itself, .* training mode: call its eval"
        ):
            call()
    model.eval()
    assert not any(module.training for module in model.bind("R").modules())


class OnFrozen(nn.Module):
    """A head on features of layers that each forward holds in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.norm, self.head = nn.BatchNorm2d(4), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.features.eval()
        with torch.no_grad():
            features = self.features(x)
        return self.head(self.norm(features).mean((2, 3)))


def test_a_body_may_hold_a_part_of_itself_in_evaluation_mode() -> None:
    torch.manual_seed(0)
    body, x = OnFrozen().train(), torch.randn(4, 3, 8, 8)
    model = adapt(copy.deepcopy(body), strategy="sliced")
    before = model.body.features[1].running_mean.clone()
    for _ in range(3):
        torch.testing.assert_close(model(x), body(x))
        model(x[:, :2], "RG")
        body.norm.load_state_dict(model.body.norm.state_dict())  # the two subsets share its statistics
    assert torch.equal(model.body.features[1].running_mean, before)
    assert not torch.equal(model.body.norm.running_mean, torch.zeros(4))
    model.bind("R").eval()  # outside of a call it is still to be told to the model
    with pytest.raises(ValueError, match="was switched to evaluation mode by itself"):
        model(x)
