"""Networks by name: what is made, and what is said of bad names and options."""

from __future__ import annotations

import inspect

import pytest
import timm
import torch

from anychan._layers import _counted
from anychan.channels import ChannelSet
from anychan.models import _registry, create_model, list_models, register_model
from anychan.models.wide import wide4
from anychan.nn import list_strategies
from anychan.statistics import RunningStatistics


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize("channels", ["RGB", "R", ["B02", "B03", "B04", "B08"]])
def test_each_network_takes_any_channels(name, channels):
    model = create_model(name, channels, 5, "sliced").eval()
    for size in (32, 48):
        x = torch.randn(2, len(channels), size, size)
        assert model(x).shape == (2, 5)
        assert model(x[:, :1], [channels[0]]).shape == (2, 5)


@pytest.mark.parametrize("strategy", list_strategies())
def test_each_network_takes_every_strategy(strategy):
    """Shapes only; *tokens* is for vision transformers and says so."""
    running = RunningStatistics(ChannelSet.parse("RGB"))
    running.update(torch.rand(4, 3, 8, 8))
    for name in list_models():
        if strategy == "tokens":
            with pytest.raises(ValueError, match="tokens"):
                create_model(name, "RGB", 5, strategy)
            continue
        model = create_model(name, "RGB", 5, strategy, running.result()).to("meta").eval()
        assert model(torch.randn(2, 2, 32, 32, device="meta"), "GB").shape == (2, 5), name


def test_parameters_are_those_stated():
    counted = {name: sum(p.numel() for p in create_model(name, num_classes=50).parameters()) for name in list_models()}
    assert counted["wide6"] == 3_939_250
    assert counted["wide4"] == 2_035_954


def test_the_completed_stem_is_told_the_normalised_statistics():
    running = RunningStatistics(create_model("wide4", num_classes=2, model_options={"width": 3}).channels)
    running.update(torch.rand(4, 3, 8, 8))
    stem = create_model("wide4", "RGB", 2, "completed", running.result(), model_options={"width": 3}).stems[
        "features.0.0"
    ]
    torch.testing.assert_close(stem.covariance.diagonal(), torch.ones(3))
    assert stem.promises.foldable


@pytest.mark.parametrize("name", list_models())
def test_each_network_has_its_authors_count_of_layers(name):
    counted = _counted()[name]
    if isinstance(counted, dict):
        ((option, default),) = counted.items()
        assert inspect.signature(_registry._NETWORKS[name]).parameters[option].default == default
    else:
        assert counted == "depth" or counted > 0


def test_timm_and_its_options():
    model = create_model("resnet18", "RG", 7, model_options={"drop_path_rate": 0.1})
    assert model.body.conv1.in_channels == 2
    assert model.body.num_classes == 7
    assert "resnet18" in list_models(timm=True)
    assert "resnet18" not in list_models()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "resnet19"}, "unknown model 'resnet19'; ours are .*wide6; for timm's see .anychan list models."),
        ({"name": "hf-hub:timm/resnet18"}, "unknown model"),
        ({"name": "wide6", "model_options": {"depth": 3}}, "'wide6' does not take these options.*depth"),
        ({"name": "wide6", "strategy": "sliced", "strategy_options": {"ridge": 3}}, "'sliced' does not take.*ridge"),
        ({"name": "wide6", "strategy_options": {"ridge": 3}}, "'plain' has no options.*ridge"),
        ({"name": "wide6", "strategy": "completed"}, "needs statistics"),
    ],
)
def test_bad_names_and_options_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        create_model(**arguments)


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="'wide4' is registered already"):
        register_model(wide4)


@pytest.mark.parametrize(
    "option",
    [
        *("model_name", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"),
        *("in_chans", "num_classes"),
    ],
)
@pytest.mark.parametrize("name", ["wide4", "test_resnet"])
def test_no_option_brings_weights_or_another_network(name, option, monkeypatch):
    monkeypatch.setattr(timm, "create_model", None)  # would be called
    with pytest.raises(ValueError, match=f"model_options {option} not taken"):
        create_model(name, num_classes=2, model_options={option: 1})
