"""adapt and specialize on real networks: what they keep, what they take, and what they refuse."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from anychan.adaptation import adapt, specialize
from anychan.channels import ChannelSet
from anychan.models import create_model
from anychan.statistics import ChannelStatistics

from ._networks import CORRELATION, RGB, Named, network, picture

NETWORKS = [
    "resnet18",
    "mobilenetv3_small_100",
    "convnext_atto",
    "vit_tiny_patch16_224",
    "ghostnet_100",
    "efficientnet_b0",
    "regnety_002",
]
STRATEGIES = {"sliced": {}, "completed": {"statistics": CORRELATION}}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_all_channels_as_before_any_order_and_specialised_alike(name, strategy):
    model, x = network(name), picture(name)
    adapted = adapt(model, "RGB", strategy, **STRATEGIES[strategy])
    assert not adapted.training
    torch.testing.assert_close(adapted(x), model(x), rtol=0, atol=1e-5)
    for subset in RGB.subsets():
        planes = x[:, list(RGB.indices(subset))]
        logits = adapted(planes, channels=subset)
        torch.testing.assert_close(adapted(planes.flip(1), channels=subset[::-1]), logits, rtol=0, atol=1e-5)
        ordinary = specialize(adapted, subset)
        torch.testing.assert_close(ordinary(planes), logits, rtol=0, atol=1e-5)
        assert not any(type(module).__module__.startswith("anychan") for module in ordinary.modules())


def test_a_specialised_model_loads_where_anychan_is_not_installed(tmp_path):
    adapted = adapt(network("resnet18"), strategy="completed", statistics=CORRELATION)
    x = picture("resnet18")[:, :2]
    ordinary = specialize(adapted, "RG")
    torch.save(ordinary, tmp_path / "module.pt")
    torch.save((ordinary.state_dict(), x, adapted(x, "RG")), tmp_path / "state.pt")
    script = f"""
import sys
sys.modules["anychan"] = None  # any import of it fails
import timm, torch
whole = torch.load({str(tmp_path / "module.pt")!r}, weights_only=False)
state, x, expected = torch.load({str(tmp_path / "state.pt")!r})
rebuilt = timm.create_model("resnet18", num_classes=7, in_chans=2).eval()
rebuilt.load_state_dict(state)
assert torch.allclose(whole(x), expected, atol=1e-5) and torch.allclose(rebuilt(x), expected, atol=1e-5)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, timeout=120)


def test_the_given_model_is_not_changed():
    model = network("resnet18")
    before = copy.deepcopy(model.state_dict())
    adapted = adapt(model, strategy="sliced")
    with torch.no_grad():
        adapted.stems["conv1"].weight.zero_()
    assert type(model.conv1) is nn.Conv2d
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    ordinary = specialize(adapted, "RG")
    nn.init.ones_(ordinary.fc.bias)
    assert not adapted.body.fc.bias.eq(1).all()


def test_training_moves_the_models_own_weights():
    adapted = create_model("wide4", "RGB", 5, "sliced", model_options={"width": 6})
    optimizer = torch.optim.SGD(adapted.parameters(), lr=0.1)
    before = copy.deepcopy(adapted.state_dict())
    adapted(torch.randn(4, 1, 16, 16), "G").square().sum().backward()
    optimizer.step()
    changed = {key for key, value in adapted.state_dict().items() if not torch.equal(value, before[key])}
    assert {"body.features.0.0.weight", "body.head.weight", "body.features.0.1.running_mean"} <= changed


@torch.inference_mode()
def test_images_of_one_batch_may_have_different_channels():
    adapted, x = adapt(network("resnet18"), strategy="completed", statistics=CORRELATION), picture("resnet18")
    present = torch.tensor([[True, False, True], [False, True, False]])
    x[~present] = float("nan")
    logits = adapted(x, present=present)
    torch.testing.assert_close(logits[:1], adapted(x[:1, [0, 2]], "RB"), rtol=0, atol=1e-5)
    torch.testing.assert_close(logits[1:], adapted(x[1:, [1]], "G"), rtol=0, atol=1e-5)


@torch.inference_mode()
def test_several_stems_each_get_the_channels():
    class TwoPaths(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fine = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1))
            self.coarse = nn.Conv2d(3, 4, 5, padding=2)

        def forward(self, x):
            return (self.fine(x) + self.coarse(x)).mean(dim=(2, 3))

    model = TwoPaths()
    adapted = adapt(model, strategy="sliced", stem=["fine.0", "coarse"])
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(adapted(x), model(x))
    torch.testing.assert_close(specialize(adapted, "GB")(x[:, 1:]), adapted(x[:, 1:], "GB"))


def test_statistics_follow_names():
    flipped = ChannelStatistics(
        ChannelSet.parse("BGR"), torch.zeros(3, dtype=torch.float64), CORRELATION.flip(0, 1).double(), 1
    )
    by_name = adapt(network("resnet18"), strategy="completed", statistics=flipped).stems["conv1"]
    torch.testing.assert_close(by_name.covariance, CORRELATION)


def test_a_plain_model_takes_all_its_channels_only():
    plain = create_model("wide4", "RGB", 5, model_options={"width": 3}).eval()
    x = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(plain(x[:, [1, 2, 0]], "GBR"), plain(x))
    torch.testing.assert_close(specialize(plain)(x), plain(x))
    reordered = specialize(plain, "GBR")
    torch.testing.assert_close(reordered(x[:, [1, 2, 0]]), plain(x))
    assert not any(type(module).__module__.startswith("anychan.nn") for module in reordered.modules())
    for call in (lambda: plain(x[:, :2], "RG"), lambda: specialize(plain, "RG"), lambda: plain.bind("BGR")):
        with pytest.raises(ValueError, match="a plain model takes all of RGB, not"):
            call()
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\)"):
        plain(x[:, :2])


def test_what_statistics_say_is_not_said_by_an_option_too():
    statistics = ChannelStatistics(RGB, torch.zeros(3, dtype=torch.float64), CORRELATION.double(), 1)
    for option, value in (("mean", torch.ones(3)), ("covariance", torch.eye(3))):
        with pytest.raises(ValueError, match=f"{option}= is given, and statistics= says it too"):
            adapt(nn.Sequential(nn.Conv2d(3, 2, 1)), statistics=statistics, **{option: value})


def test_a_mean_may_be_a_list():
    model = adapt(nn.Sequential(nn.Conv2d(3, 2, 1)), statistics=CORRELATION, mean=[1, 0, 2])
    assert model.stems["0"].mean.tolist() == [1.0, 0.0, 2.0]
    with pytest.raises(ValueError, match=r"mean must have the shape \(3,\), not \(2,\)"):
        adapt(nn.Sequential(nn.Conv2d(3, 2, 1)), statistics=CORRELATION, mean=[0.0, 0.0])


@pytest.mark.parametrize(
    ("strategy", "options", "said"),
    [
        (
            "completed",
            {"ridg": 0.1, "statistics": CORRELATION},
            "'completed' .* 'ridg'; there are mean, ridge, learnable",
        ),
        ("sliced", {"stride": 2}, "'sliced' does not take the option 'stride'; there are selection, at_test"),
        ("tokens", {"heads": 2}, "'tokens' does not take the option 'heads'; it has none"),
    ],
)
def test_an_option_that_a_strategy_does_not_have_is_refused_with_those_it_has(strategy, options, said):
    with pytest.raises(ValueError, match=said):
        adapt(nn.Sequential(nn.Conv2d(3, 2, 1)), strategy=strategy, **options)


def test_a_model_is_adapted_once():
    model = adapt(nn.Sequential(nn.Conv2d(3, 2, 1)), strategy="sliced")
    for again in (model, model.body):
        with pytest.raises(ValueError, match="the model is adapted already"):
            adapt(again, strategy="sliced")
    assert adapt(specialize(model), strategy="sliced").stems.keys() == {"0"}


def test_a_network_is_made_with_a_normalisation_that_there_is():
    with pytest.raises(ValueError, match="unknown normalisation 'layer'; there are batch, group, renorm"):
        create_model("wide4", normalisation="layer")


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        (nn.Linear(3, 2), {}, "Linear has no nn.Conv2d"),
        (nn.Sequential(nn.Conv2d(4, 2, 1)), {}, "'0' takes 4 planes in 1 group"),
        (nn.Sequential(nn.Conv2d(3, 3, 1, groups=3)), {}, "3 planes in 3 group"),
        (nn.Sequential(nn.Conv2d(3, 2, 1)), {"stem": "first"}, "no module at 'first'"),
        (nn.Sequential(nn.ReLU(), nn.Conv2d(3, 2, 1)), {"stem": "0"}, "is a ReLU, not an ordinary"),
        (
            nn.Sequential(nn.Conv2d(3, 2, 1)),
            {"strategy": "completed"},
            "needs statistics=: the covariance of the channels RGB, which anychan.RunningStatistics gathers from "
            "images; strategy='sliced' needs none",
        ),
        (nn.Sequential(nn.Conv2d(3, 2, 1)), {"statistics": CORRELATION}, "'sliced' makes no use of statistics"),
        (nn.Sequential(nn.Conv2d(3, 2, 1)), {"strategy": "magic"}, "unknown strategy 'magic'"),
    ],
)
def test_what_cannot_be_adapted_says_why(model, options, said):
    with pytest.raises(ValueError, match=said):
        adapt(model, **{"strategy": "sliced", **options})


def test_all_that_read_the_image_are_adapted_or_refused() -> None:
    plain, x = Named("branches").eval(), torch.randn(2, 3, 8, 8)
    with pytest.raises(ValueError, match=r"'second' takes the image too: name all that do, stem=\['first', 'second'\]"):
        adapt(plain, strategy="sliced")
    model = adapt(plain, strategy="sliced", stem=["first", "second"])
    torch.testing.assert_close(model(x[:, [1, 0, 2]], "GRB"), plain(x))
    assert adapt(Named("ordinary"), strategy="sliced").stems.keys() == {"first"}


@pytest.mark.parametrize("stem", [None, "second", ["first", "second"]])
def test_a_stem_that_is_used_in_two_places_stays_one(stem) -> None:
    plain, x = Named("shared").eval(), torch.randn(2, 3, 8, 8)
    model = adapt(plain, strategy="sliced", stem=stem)
    torch.testing.assert_close(model(x[:, [1, 0, 2]], "GRB"), plain(x))
    assert model.body.first is model.body.second
    ordinary = specialize(model, "RG")
    assert ordinary.first is ordinary.second
    torch.testing.assert_close(ordinary(x[:, :2]), model(x[:, :2], "RG"))


def test_what_cannot_stay_as_it_is_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the stem 'first' shares its parameters with 'second\.weight'"):
        adapt(Named("tied"), strategy="sliced")
    with pytest.raises(ValueError, match="the model is compiled: adapt the model itself"):
        adapt(torch.compile(Named("ordinary"), backend="eager"), strategy="sliced")
    with pytest.raises(ValueError, match=r"model must be a torch\.nn\.Module, not 'resnet18': timm\.create_model"):
        adapt("resnet18", strategy="sliced")
    with pytest.raises(ValueError, match="stem must be a module's path, such as 'conv1', or several, not 0"):
        adapt(Named("ordinary"), strategy="sliced", stem=0)
    with pytest.raises(ValueError, match="stem names no module"):
        adapt(Named("ordinary"), strategy="sliced", stem=[])
    with pytest.raises(ValueError, match="channels must be names or Channel objects"):
        adapt(Named("ordinary"), strategy="sliced")(torch.randn(2, 3, 8, 8), torch.randn(2, 5))


def test_what_is_computed_from_others_names_its_remedy() -> None:
    old = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.utils.spectral_norm(nn.Conv2d(4, 4, 3))))
    adapt(old, strategy="sliced")
    old(torch.randn(1, 3, 8, 8))  # from here on its weight is computed
    with pytest.raises(ValueError, match=r"^'1\.0\.weight' is computed from others, .*: torch.nn.utils.remove_weight"):
        adapt(old, strategy="sliced")
    nn.utils.remove_spectral_norm(old[1][0])
    adapt(old, strategy="sliced")


def test_statistics_may_be_numbers_of_another_kind() -> None:
    models = [
        adapt(network("resnet18"), statistics=kind) for kind in (CORRELATION, CORRELATION.numpy(), CORRELATION.tolist())
    ]
    kernels = [model.stems["conv1"].kernel("RG")[0] for model in models]
    for kernel in kernels[1:]:
        torch.testing.assert_close(kernel, kernels[0])
