"""Calls bind their channels: copies, threads, layouts in memory, and bodies that do not reach their stem."""

from __future__ import annotations

import copy
import io
import threading

import pytest
import torch
from timm.layers import Conv2dSame
from torch import nn
from torch._dynamo.testing import CompileCounter

from anychan.adaptation import AnyChannelModel, adapt, keep_statistics, recalibrate, specialize
from anychan.channels import ChannelSet
from anychan.models import create_model

from ._networks import CORRELATION, RGB, Named, network, picture


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


def test_a_copy_of_a_compiled_model_is_a_model_of_its_own() -> None:
    adapted = adapt(nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(8, 2)), strategy="sliced")
    adapted.compile(backend="eager")
    x = torch.rand(1, 3, 2, 2)
    twin = copy.deepcopy(adapted)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
        assert adapted(x).any()
        assert not twin(x).any()


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


@pytest.mark.parametrize("affine", [False, True])
def test_what_is_bound_and_moved_stays_with_what_is_kept_for_its_channels(affine: bool) -> None:
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten())
    adapted, x = adapt(body, strategy="sliced").train(), torch.randn(2, 3, 6, 6).double()
    keep_statistics(adapted, ["RG", "B"], affine=affine)
    detector = nn.Sequential(adapted.bind("RG")).to(torch.float64)
    norm, kept = detector[0][1], adapted.subset_statistics.of(RGB.subset("RG"))["1"]
    detector(x[:, :2]).sum().backward()
    assert kept.running_mean is norm.running_mean
    assert kept.running_mean.dtype == torch.float64
    assert kept.num_batches_tracked == 1
    assert norm.weight is (kept if affine else adapted.body[1]).weight
    adapted.to(torch.float64)  # with what is kept for others
    torch.testing.assert_close(adapted(x[:, :2], "RG"), detector(x[:, :2]))
    assert adapted(x[:, 2:], "B").dtype == torch.float64


@torch.inference_mode()
def test_a_replica_for_data_parallel_binds_its_own_body() -> None:
    adapted = adapt(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), strategy="sliced").eval()
    keep_statistics(adapted, ["RG"])
    bound = adapted.bind("RG")
    replica = adapted._replicate_for_data_parallel()
    assert not replica._clones
    assert replica.bind("RG") is not bound
    assert adapted.bind("RG") is bound
    scaled = adapt(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), strategy="sliced")
    keep_statistics(scaled, ["RG"], affine=True)
    with pytest.raises(ValueError, match="does not see scales and shifts that are kept for each subset"):
        scaled._replicate_for_data_parallel()


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


@torch.no_grad()
def test_a_graph_is_not_compiled_anew_when_other_calls_reach_the_stem() -> None:
    adapted, x = adapt(nn.Sequential(nn.Conv2d(3, 4, 1)), strategy="sliced"), torch.randn(1, 2, 4, 4)
    graphs = CompileCounter()
    compiled = torch.compile(adapted, backend=graphs)
    for _ in range(3):
        torch.testing.assert_close(compiled(x, "RG"), adapted(x, "RG"))
    assert graphs.frame_count == 1


@torch.no_grad()
def test_threads_with_the_same_channels_each_know_that_they_reached_the_stem(monkeypatch: pytest.MonkeyPatch):
    adapted, x = adapt(nn.Sequential(nn.Conv2d(3, 4, 1)), strategy="sliced"), torch.randn(1, 2, 4, 4)
    bind, expected = adapted._bind, adapted(x, "RG")
    others: list[torch.Tensor] = []

    def bind_and_be_overtaken(*call: object) -> nn.Module:
        """Between binding and running, another thread calls with the same channels, and one binds them."""
        bound = bind(*call)
        adapted._bind = bind
        for work in (lambda: others.append(adapted(x, "RG").detach()), lambda: adapted.bind("RG")):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        return bound

    monkeypatch.setattr(adapted, "_bind", bind_and_be_overtaken)
    for output in (adapted(x, "RG"), *others):
        assert torch.equal(output, expected)
    assert len(others) == 1


class Asking(nn.Module):
    """A body that asks its stem what bodies ask of a convolution."""

    def __init__(self, stem: nn.Module, how: str = "") -> None:
        super().__init__()
        self.stem, self.how = stem, how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stem = self.stem
        if self.how == "computes":
            return nn.functional.conv2d(x, stem.weight, stem.bias, stem.stride)
        if self.how == "multiplies":
            return x.mean() * stem.weight
        assert self.how == "pads" or x.shape[1] == stem.in_channels
        assert (stem.out_channels, stem.groups, stem.padding_mode) == (4, 1, "zeros")
        geometry = (stem.kernel_size, stem.stride, stem.padding, stem.dilation)
        assert geometry == ((3, 3), (2, 2), (0, 0), (1, 1))
        return stem(x.to(stem.weight.device, stem.weight.dtype))


@torch.no_grad()
def test_a_body_may_ask_its_stem_about_itself_but_not_compute_with_its_weight() -> None:
    x = torch.randn(2, 2, 9, 9)
    ordinary = adapt(Asking(nn.Conv2d(3, 4, 3, 2)), strategy="generated").to(torch.bfloat16)
    expected = ordinary.body.stem(x.bfloat16(), "RG")
    assert torch.equal(ordinary(x, "RG"), expected)
    assert torch.equal(torch.export.export(ordinary.bind("RG"), (x,)).module()(x), expected)
    assert torch.equal(torch.compile(ordinary.bind("RG"), backend="eager", fullgraph=True)(x), expected)
    assert ordinary.bind("RG").stem.bias is not None
    same = adapt(Asking(Conv2dSame(3, 4, 3, 2, bias=False), "pads"), strategy="sliced")
    assert same(x, "RG").shape == (2, 4, 5, 5)
    for how, function in (("computes", "conv2d"), ("multiplies", "mul")):
        adapted = adapt(Asking(nn.Conv2d(3, 4, 3), how), strategy="sliced")
        with pytest.raises(
            ValueError, match=rf"{function}\w* is given the weight of an any-channel stem, which can be"
        ):
            adapted(x, "RG")
    alone = adapt(nn.Sequential(nn.Conv2d(3, 4, 3, bias=False)), strategy="attentive").bind("B")[0]
    assert (alone.in_channels, alone.bias) == (1, None)


@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_compiled_equals_eager():
    torch.manual_seed(0)
    adapted = create_model("wide4", "RGB", 5, "sliced", model_options={"width": 3}).eval()
    compiled = torch.compile(adapted, backend="aot_eager", fullgraph=torch.__version__ >= "2.12")
    for subset in ("RGB", "BR", "G"):
        x = torch.randn(2, len(subset), 16, 16)
        torch.testing.assert_close(compiled(x, subset), adapted(x, subset))


def test_an_adapted_model_is_pickled_without_its_clones():
    adapted = adapt(network("resnet18"), strategy="sliced")
    x = picture("resnet18")[:, :1]
    expected = adapted(x, "B")
    file = io.BytesIO()
    torch.save(adapted, file)
    file.seek(0)
    read: AnyChannelModel = torch.load(file, weights_only=False)
    torch.testing.assert_close(read(x, "B"), expected)


@pytest.mark.parametrize("how", ["stored", "listed"])
def test_a_body_that_does_not_reach_its_stem_is_refused_and_not_answered_wrongly(how: str) -> None:
    model, x = adapt(Named(how).eval(), strategy="sliced"), torch.randn(2, 3, 8, 8)
    for words in ({}, {"channels": "GRB"}, {"present": torch.tensor([[True, True, False]] * 2)}):
        with pytest.raises(ValueError, match="Named does not reach its stem 'first' as an attribute of its modules"):
            model(x, **words)
    with pytest.raises(ValueError, match="Named does not reach its batch normalisation 'norm' as an attribute of its"):
        recalibrate(model, [x], ["RGB"])
    assert not model.subset_statistics


class Listed(nn.Module):
    """A stem that is reached as an attribute, and a block that is reached in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), nn.BatchNorm2d(4)
        self.blocks = [self.block]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.blocks[0](self.stem(x))


def test_a_normalisation_that_is_not_reached_is_refused_and_not_answered_wrongly() -> None:
    x, said = torch.randn(2, 3, 8, 8), "Listed does not reach its batch normalisation 'block' as an attribute"
    model = adapt(Listed().eval(), strategy="sliced")
    with pytest.raises(ValueError, match=said):
        recalibrate(model, [x], ["RGB"])
    assert not model.subset_statistics
    keep_statistics(model, ["RGB"])
    with pytest.raises(ValueError, match=said):
        model(x)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_what_is_compiled_inside_is_refused() -> None:
    x = torch.randn(2, 3, 8, 8)
    for path in ("stem", ""):
        model = adapt(Listed(), strategy="sliced")
        model.body.get_submodule(path).compile(backend="eager")
        with pytest.raises(
            ValueError, match=f"{path or 'Listed'} is compiled by itself, so that no channels can be bound"
        ):
            model(x)
    model = adapt(Listed(), strategy="sliced")
    model.body.stem = torch.compile(model.body.stem, backend="eager")
    with pytest.raises(ValueError, match=r"stem is compiled by itself"):
        model(x)


def test_statistics_do_not_outlive_a_change_of_the_body() -> None:
    model = adapt(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Identity(), nn.BatchNorm2d(4)).eval(), strategy="sliced")
    keep_statistics(model, ["RGB"])
    model.body[1] = nn.BatchNorm2d(4)
    with pytest.raises(
        ValueError, match="the batch normalisation '1' has no statistics for RGB: they were kept before"
    ):
        model(torch.randn(2, 3, 8, 8))


class Turned(nn.Module):
    """Answers whose first dimension is not that of the images."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.stem, self.norm = how, nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> object:
        y = self.norm(self.stem(x)).mean((2, 3))
        return {"turned": y.T, "sum": (y, y.sum()), "number": (y, 3), "nothing": {"logits": y, "loss": None}}[self.how]


def test_answers_that_cannot_be_put_together_are_refused() -> None:
    x, present = torch.randn(3, 3, 8, 8), torch.tensor([[True, True, True], [True, True, False], [True, True, True]])
    for how, said in (("turned", r"shape \(4, 1\)"), ("sum", r"shape \(\)"), ("number", "int")):
        model = adapt(Turned(how).eval(), strategy="sliced")
        keep_statistics(model, ["RGB", "RG"])
        with pytest.raises(ValueError, match=f"Turned gives {said} for 1 of the images, not a row each"):
            model(x, present=present)
    model = adapt(Turned("nothing").eval(), strategy="sliced")
    keep_statistics(model, ["RGB", "RG"])
    answer = model(x, present=present)
    assert answer["logits"].shape == (3, 4)
    assert answer["loss"] is None
    with pytest.raises(ValueError, match="x must be a tensor, not dict"):
        model({"image": x})


@pytest.mark.parametrize("strategy", ["sliced", "generated", "completed"])
@pytest.mark.parametrize("last", [True, False])
def test_one_plane_leaves_the_body_in_the_layout_of_its_kernels(strategy: str, last: bool) -> None:
    """A plane that was picked by its number does not tell in which layout it lies, and no kernel of one plane does."""
    layout = torch.channels_last if last else torch.contiguous_format
    options = {"statistics": CORRELATION} if strategy == "completed" else {}
    model = adapt(network("resnet18"), strategy=strategy, **options).to(memory_format=layout)
    seen: list[bool] = []
    model.body.bn1.register_forward_pre_hook(lambda _, x: seen.append(x[0].is_contiguous(memory_format=layout)))
    x = picture("resnet18").contiguous(memory_format=layout)
    some = torch.tensor([[False, True, False], [True, False, False]])
    with torch.inference_mode():
        model(x[:, [1]], "G")
        model.bind("G")(x[:, [1]])
        model(x, present=some)
        recalibrate(model, [x], ["R", "G"])
        model(x, present=some)
        specialize(model, "G")(x[:, [1]])
    assert len(seen) >= 6
    assert all(seen)
