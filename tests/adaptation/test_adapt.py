"""adapt and specialize on real networks, from several threads, under torch.compile."""

from __future__ import annotations

import copy
import io
import subprocess
import sys
import threading

import pytest
import timm
import torch
from torch import nn

from anychan.adaptation import AnyChannelModel, adapt, keep_statistics, recalibrate, specialize
from anychan.channels import ChannelSet
from anychan.models import create_model
from anychan.statistics import ChannelStatistics

RGB = ChannelSet.parse("RGB")
CORRELATION = torch.tensor([[1.0, 0.865, 0.709], [0.865, 1.0, 0.859], [0.709, 0.859, 1.0]])  # of 50 animals' pixels
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


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=7)
    for module in model.modules():  # as if trained: normalisation that does something
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval()


def picture(name: str) -> torch.Tensor:
    size = 224 if name.startswith("vit") else 64
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


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


@torch.inference_mode()
def test_what_is_changed_after_the_first_call_is_seen_by_the_next():
    adapted, x = adapt(network("resnet18"), strategy="sliced"), picture("resnet18")[:, :2]
    adapted(x, "RG")
    adapted.body.reset_classifier(11)
    assert adapted(x, "RG").shape == (2, 11)
    adapted.load_state_dict({key: torch.zeros_like(value) for key, value in adapted.state_dict().items()})
    assert not adapted(x, "RG").any()
    adapted.train()
    assert adapted.bind("RG").training
    twin = copy.deepcopy(adapted)
    nn.init.ones_(twin.body.fc.bias)
    assert not adapted.eval()(x, "RG").any()
    assert twin.eval()(x, "RG").eq(1).all()


def test_training_moves_the_models_own_weights():
    adapted = create_model("wide4", "RGB", 5, "sliced", model_options={"width": 6})
    optimizer = torch.optim.SGD(adapted.parameters(), lr=0.1)
    before = copy.deepcopy(adapted.state_dict())
    adapted(torch.randn(4, 1, 16, 16), "G").square().sum().backward()
    optimizer.step()
    changed = {key for key, value in adapted.state_dict().items() if not torch.equal(value, before[key])}
    assert {"body.features.0.0.weight", "body.head.weight", "body.features.0.1.running_mean"} <= changed


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


@torch.inference_mode()
def test_copies_are_kept_of_the_channel_sets_used_last():
    adapted = create_model("wide4", [f"B{i}" for i in range(7)], 5, "sliced", model_options={"width": 3}).eval()
    subsets = adapted.channels.subsets()
    first = adapted.bind(subsets[0])
    for subset in subsets:
        adapted.bind(subset)
        assert adapted.bind(subsets[0]) is first  # in use all the time
    assert len(subsets) > 64
    assert len(adapted._clones) == 64
    assert {names for names, _ in adapted._clones} >= {subset.names for subset in subsets[-63:]}
    old = subsets[5]
    x = torch.randn(2, len(old), 16, 16)
    assert adapted(x, old).isfinite().all()
    assert len(adapted._clones) == 64


@torch.inference_mode()
def test_what_is_bound_keeps_its_channels():
    adapted, x = adapt(network("resnet18"), strategy="sliced"), picture("resnet18")
    expected = adapted(x[:, :2], "RG")
    bound = adapted.bind("RG")
    adapted(x[:, 2:], "B")
    assert torch.equal(bound(x[:, :2]), expected)
    assert bound.fc is adapted.body.fc


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


def test_threads_with_different_channels_do_not_meet():
    adapted = adapt(network("resnet18"), strategy="completed", statistics=CORRELATION)
    x = picture("resnet18")
    subsets = RGB.subsets()
    expected = {s: adapted(x[:, list(RGB.indices(s))], s).detach() for s in subsets}
    wrong: list[str] = []

    def work(subset: ChannelSet) -> None:
        for _ in range(10):
            with torch.inference_mode():
                if not torch.allclose(adapted(x[:, list(RGB.indices(subset))], subset), expected[subset], atol=1e-5):
                    wrong.append(str(subset))

    threads = [threading.Thread(target=work, args=(s,)) for s in subsets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_compiled_equals_eager():
    torch.manual_seed(0)
    adapted = create_model("wide4", "RGB", 5, "sliced", model_options={"width": 3}).eval()
    compiled = torch.compile(adapted, backend="aot_eager", fullgraph=True)
    for subset in ("RGB", "BR", "G"):
        x = torch.randn(2, len(subset), 16, 16)
        torch.testing.assert_close(compiled(x, subset), adapted(x, subset))


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
        (nn.Sequential(nn.Conv2d(3, 2, 1)), {"strategy": "completed"}, "'completed' needs statistics="),
        (nn.Sequential(nn.Conv2d(3, 2, 1)), {"statistics": CORRELATION}, "'sliced' makes no use of statistics"),
        (nn.Sequential(nn.Conv2d(3, 2, 1)), {"strategy": "magic"}, "unknown strategy 'magic'"),
    ],
)
def test_what_cannot_be_adapted_says_why(model, options, said):
    with pytest.raises(ValueError, match=said):
        adapt(model, **{"strategy": "sliced", **options})


def test_an_adapted_model_is_pickled_without_its_clones():
    adapted = adapt(network("resnet18"), strategy="sliced")
    x = picture("resnet18")[:, :1]
    expected = adapted(x, "B")
    file = io.BytesIO()
    torch.save(adapted, file)
    file.seek(0)
    read: AnyChannelModel = torch.load(file, weights_only=False)
    torch.testing.assert_close(read(x, "B"), expected)


class Named(nn.Module):
    """A forward that finds its convolutions where the test says."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        if how == "branches":
            self.second = nn.Conv2d(3, 4, 5, padding=1)
        elif how == "shared":
            self.second = self.first
        elif how == "tied":
            self.second = nn.ConvTranspose2d(4, 3, 3)
            self.second.weight = self.first.weight
        self.listed = [self.first, self.norm]
        self.stored = self.one_after_another
        self.how = how

    def one_after_another(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.first(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.how == "stored":
            return self.stored(x)
        if self.how == "listed":
            return self.listed[1](self.listed[0](x))
        x, other = self.one_after_another(x), x.flip(3)
        return x if self.how == "ordinary" else x.mean((2, 3)) + self.second(other).mean((2, 3))


@pytest.mark.parametrize("how", ["stored", "listed"])
def test_a_body_that_does_not_reach_its_stem_is_refused_and_not_answered_wrongly(how: str) -> None:
    model, x = adapt(Named(how).eval(), strategy="sliced"), torch.randn(2, 3, 8, 8)
    for words in ({}, {"channels": "GRB"}, {"present": torch.tensor([[True, True, False]] * 2)}):
        with pytest.raises(ValueError, match="Named does not reach its stem 'first' as an attribute of its modules"):
            model(x, **words)
    with pytest.raises(ValueError, match="Named does not reach its batch normalisations as attributes"):
        recalibrate(model, [x], ["RGB"])
    assert not model.subset_statistics


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
    with pytest.raises(ValueError, match="stem names no module"):
        adapt(Named("ordinary"), strategy="sliced", stem=[])
    with pytest.raises(ValueError, match="channels must be names or Channel objects"):
        adapt(Named("ordinary"), strategy="sliced")(torch.randn(2, 3, 8, 8), torch.randn(2, 5))


def test_statistics_may_be_numbers_of_another_kind() -> None:
    models = [
        adapt(network("resnet18"), statistics=kind) for kind in (CORRELATION, CORRELATION.numpy(), CORRELATION.tolist())
    ]
    kernels = [model.stems["conv1"].kernel("RG")[0] for model in models]
    for kernel in kernels[1:]:
        torch.testing.assert_close(kernel, kernels[0])
