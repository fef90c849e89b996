"""The layers of a network, listed by shapes alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from anychan.channels import ChannelSet
from anychan.cost import depth, list_layers, recorded_layers
from anychan.models import ModelInfo, create_model


def info(architecture: str, **options: object) -> ModelInfo:
    channels = ChannelSet.parse("RG").with_statistics([0.5, 0.5], [0.2, 0.2])
    return ModelInfo(architecture, 5, "sliced", channels, tuple("abcde"), 32, model_options=dict(options))


def test_layers_are_those_that_run_with_the_sizes_that_they_give() -> None:
    model = create_model("wide4", "RG", 5, model_options={"width": 8})
    seen: list[tuple[int, ...]] = []
    weighted = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    hooks = [m.register_forward_hook(lambda _m, _x, y: seen.append(tuple(y.shape[1:]))) for m in weighted]
    model.eval()(torch.rand(1, 2, 32, 32))
    for hook in hooks:
        hook.remove()
    layers = list_layers(model, image_size=32)
    assert [layer.output for layer in layers] == seen
    assert [layer.weight[:2] for layer in layers] == [(8, 2), *((m.weight.shape[:2]) for m in weighted[1:])]
    assert len(layers) == depth(model, image_size=32) == 4
    assert all(parameter.requires_grad for parameter in model.parameters()), "the model is left as it is"


def test_a_layer_that_runs_twice_is_listed_once_and_one_that_never_runs_is_not() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shared, self.idle = nn.Conv2d(3, 3, 1), nn.Linear(2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.shared(self.shared(x))

    assert [layer.name for layer in list_layers(Twice(), image_size=4)] == ["shared"]


def test_a_recorded_network_is_made_with_its_options() -> None:
    layers = recorded_layers(info("wide3", width=16).to_dict())
    assert [layer.kind for layer in layers] == ["Conv2d", "Conv2d", "Linear"]
    assert layers[0].weight[:2] == (16, 2)
    assert layers[-1].output == (5,)
    assert recorded_layers(info("wide3", width=16, deepened=True).to_dict()) == layers  # as it is after a training
    assert recorded_layers(info("resnet18").to_dict()) == ()
    assert recorded_layers({"architecture": "../wide3"}) == ()


def test_a_damaged_record_is_refused() -> None:
    record = info("wide3").to_dict()
    del record["classes"]
    with pytest.raises(ValueError, match="the description of 'wide3' is damaged: KeyError"):
        recorded_layers(record)
    with pytest.raises(ValueError, match="does not take these options"):
        recorded_layers(info("wide3", wings=2).to_dict())


def test_what_runs_on_the_rows_of_an_image_gives_all_of_them() -> None:
    layers = list_layers(create_model("patch_recurrent", "RGB", 5), image_size=32)
    recurrent = next(layer for layer in layers if layer.kind == "GRU")
    height, width = layers[0].output[1:]
    assert recurrent.output[:2] == (height, width)
