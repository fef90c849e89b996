"""What stands between the image and the stem: planes that are told apart there, counted, or read once more."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anychan.adaptation import adapt
from anychan.adaptation._image_path import check_no_plane_is_read_by_position, check_planes_reach_the_stem
from anychan.channels import Channel


class Before(nn.Module):
    """A stem behind a step that a test says."""

    def __init__(self, step: Any, planes: int = 3) -> None:
        super().__init__()
        self.step, self.stem = step, nn.Conv2d(planes, 4, 3)
        self.register_buffer("mean", torch.linspace(0.4, 0.5, planes)[:, None, None])
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        return self.stem(self.step(self, x)).mean((2, 3))


class Behind(nn.Module):
    """A stem, and what else a test does with the image."""

    def __init__(self, then: Any, **modules: nn.Module) -> None:
        super().__init__()
        self.then, self.stem = then, nn.Conv2d(3, 4, 3, padding=1)
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: Tensor) -> Tensor:
        return self.then(self, x, self.stem(x))


class Refined(nn.Module):
    """A convolution that is made first and called last."""

    def __init__(self) -> None:
        super().__init__()
        self.refine, self.first = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.refine(self.first(x))


def only_of_64(x: Tensor) -> Tensor:
    assert x.shape[-1] == 64, "images of 64 pixels are wanted"
    return x


def only_three(x: Tensor) -> Tensor:
    if x.shape[1] != 3:
        raise ValueError("3 planes are wanted")
    return x


def scaled_in_place(x: Tensor) -> Tensor:
    return x.mul_(2).sub_(1)


ONE_BY_ONE = {
    "resized": lambda model, x: F.interpolate(x, scale_factor=0.5),
    "scaled": lambda model, x: 2 * x - 1,
    "scaled in place": lambda model, x: scaled_in_place(x),
    "of one size": lambda model, x: only_of_64(x),
    "by all planes": lambda model, x: (x - x.mean((1, 2, 3), keepdim=True)) / x.std(),
    "at random": lambda model, x: x + torch.rand(3, 1, 1) if x.shape[1] == 3 else x,
}
BY_POSITION = {
    "its own mean": lambda model, x: x - model.mean,
    "its own mean, in place": lambda model, x: scaled_in_place(x) - model.mean,
    "turned": lambda model, x: x.flip(1),
    "another order": lambda model, x: x.flip(1) * torch.tensor([1.0, 2, 3])[:, None, None],
}


@pytest.mark.parametrize("how", ONE_BY_ONE)
def test_planes_may_be_changed_one_by_one(how: str) -> None:
    model = Before(ONE_BY_ONE[how]).train()
    model.step_mode = nn.Dropout().eval()
    adapted = adapt(model, strategy="sliced")
    assert adapted.body.training
    assert not adapted.body.step_mode.training
    adapted(torch.rand(2, 2, 64, 64), "RG")


@pytest.mark.parametrize("how", BY_POSITION)
def test_planes_treated_by_position_are_refused(how: str) -> None:
    with pytest.raises(
        ValueError, match=r"Before treats planes by their position before its stem 'stem', as by a mean"
    ):
        adapt(Before(BY_POSITION[how]), strategy="sliced")


@pytest.mark.parametrize("told", [{"input_size": 32}, {"input_size": (3, 32, 32)}, {}])
def test_a_size_that_a_model_says_of_itself_may_be_a_number(told: dict[str, Any]) -> None:
    model = Before(BY_POSITION[next(iter(BY_POSITION))])
    model.default_cfg = told
    with pytest.raises(ValueError, match="treats planes by their position"):
        adapt(model, strategy="sliced")


def test_one_plane_that_is_made_three_is_refused() -> None:
    grey = Before(lambda model, x: x.repeat(1, 3, 1, 1) if x.shape[1] == 1 else x)
    with pytest.raises(ValueError, match="of 1 planes given to Before, 3 come to its stem 'stem'"):
        adapt(grey, strategy="sliced")


def test_a_normalisation_in_front_is_refused_and_alike_for_all_planes_too() -> None:
    norm = nn.BatchNorm2d(3)
    nn.init.uniform_(norm.running_mean)
    with pytest.raises(ValueError, match="Sequential treats planes by their position before its stem '1'"):
        adapt(nn.Sequential(norm, nn.Conv2d(3, 2, 1)), strategy="sliced")
    with pytest.raises(ValueError, match=r"Sequential takes no 2 planes, before its stem '1': .*running_mean"):
        adapt(nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1)), strategy="sliced")
    assert torch.equal(norm.num_batches_tracked, torch.tensor(0))


def test_planes_that_are_counted_or_made_more_are_refused() -> None:
    with pytest.raises(ValueError, match="Before takes no 2 planes, before its stem 'stem': 3 planes are wanted"):
        adapt(Before(lambda model, x: only_three(x)), strategy="sliced")
    with pytest.raises(ValueError, match="of 1 planes given to Before, 2 come to its stem"):
        adapt(Before(lambda model, x: x + torch.zeros(2, 1, 1), planes=2), ["a", "b"], "sliced")
    bands = [Channel("R"), Channel("G"), Channel("B"), Channel("N")]
    with pytest.raises(ValueError, match="Before takes no 4 planes, before its stem 'stem': 3 planes or fewer"):
        adapt(Before(at_most_three), bands, "sliced", trained_on="RGB", new_kernels="mean")


def at_most_three(model: nn.Module, x: Tensor) -> Tensor:
    if x.shape[1] > 3:
        raise ValueError("3 planes or fewer are wanted")
    return x


def test_a_model_that_cannot_be_run_alone_is_adapted() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor, scale: float) -> Tensor:
            return self.stem(x) * scale

    x = torch.rand(2, 3, 8, 8)
    model = Two()
    torch.testing.assert_close(adapt(model, strategy="sliced").bind("RGB")(x, 2.0), model(x, 2.0))


@pytest.mark.parametrize("order", [[1, 0], [0, 2, 1, 3]])
def test_planes_that_change_places_are_refused_though_a_turn_keeps_that(order: list[int]) -> None:
    with pytest.raises(ValueError, match="Before treats planes by their position before its stem"):
        adapt(Before(lambda model, x: x[:, order], planes=len(order)), [f"B{i}" for i in order], "sliced")


def test_planes_that_come_last_are_left_to_the_call() -> None:
    adapted = adapt(Before(lambda model, x: x.permute(0, 3, 1, 2)), strategy="sliced")
    assert adapted(torch.rand(2, 8, 8, 2), "RG").shape == (2, 4)


def test_the_check_leaves_no_trace() -> None:
    seen: list[torch.Size] = []
    model = Before(lambda model, x: x)
    model.register_forward_pre_hook(lambda module, given: seen.append(given[0].shape))
    stem = model.stem
    before = torch.random.get_rng_state()
    check_planes_reach_the_stem(model, ["stem"], 3, 3)
    assert torch.equal(before, torch.random.get_rng_state())
    assert (seen, int(model.count), model.training) == ([], 0, True)
    assert not stem._forward_pre_hooks


def test_shapes_are_enough() -> None:
    with torch.device("meta"):
        model = Before(lambda model, x: x.flip(1))
    adapt(model, strategy="sliced")  # what there are no numbers of cannot be told
    counted = Before(lambda model, x: only_three(x)).to("meta")
    with pytest.raises(ValueError, match="Before takes no 2 planes"):
        adapt(counted, strategy="sliced")


class Counting(nn.Module):
    """Answers each call with more."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = iter(range(100))

    def forward(self, x: Tensor) -> Tensor:
        return x.mean() + 0.5 * next(self.calls)


LUMINANCE = torch.tensor([0.3, 0.59, 0.11])[:, None, None]
BY_POSITION_BESIDE = {
    "luminance": lambda model, x, y: torch.cat([y.mean((2, 3)), (x * LUMINANCE).sum(1).mean((1, 2))[:, None]], 1),
    "residual": lambda model, x, y: {"logits": y.mean(), "maps": [x + model.out(y)]},
    "the second": lambda model, x, y: y.mean((2, 3)) + x[:, 1].mean((1, 2))[:, None],
    "before a head of zeros": lambda model, x, y: model.empty(y.mean((2, 3)) + x[:, 0].mean((1, 2))[:, None]),
    "of one size": lambda model, x, y: model.head(y.flatten(1)) + x[:, 0].mean((1, 2))[:, None],
}
BESIDE_IN_ANY_ORDER = {
    "all planes alike": lambda model, x, y: y.mean((2, 3)) + x.mean((1, 2, 3))[:, None],
    "at random": lambda model, x, y: y + torch.randn(1),
    "of the last digits": lambda model, x, y: (y * 1e8).sin(),
    "with a memory": lambda model, x, y: y.mean() + model.counting(x),
    "a choice": lambda model, x, y: y.mean((2, 3)).argmax(1),
    "nothing": lambda model, x, y: y / 0,
}


def beside(then: Any, side: int = 32) -> Behind:
    torch.manual_seed(0)
    empty = nn.Linear(4, 2)
    nn.init.zeros_(empty.weight)
    nn.init.zeros_(empty.bias)
    return Behind(then, out=nn.Conv2d(4, 3, 1), head=nn.Linear(4 * side**2, 2), counting=Counting(), empty=empty)


@pytest.mark.parametrize("strategy", ["sliced", "generated"])
@pytest.mark.parametrize("how", BY_POSITION_BESIDE)
def test_planes_that_are_read_by_position_beside_the_stem_are_refused(how: str, strategy: str) -> None:
    with pytest.raises(
        ValueError, match="Behind answers otherwise when the planes RGB come in another order, named so"
    ):
        adapt(beside(BY_POSITION_BESIDE[how]), strategy=strategy)


@pytest.mark.parametrize("side", [28, 48, 96, 128])
def test_planes_are_looked_for_at_the_one_size_that_a_body_takes(side: int) -> None:
    with pytest.raises(ValueError, match="come in another order, named so"):
        adapt(beside(BY_POSITION_BESIDE["of one size"], side), strategy="sliced")


def test_a_head_of_zeros_stays_one_and_refuses_nothing() -> None:
    model = beside(lambda model, x, y: model.empty(y.mean((2, 3))))
    adapted = adapt(model, strategy="sliced")
    assert not adapted.body.empty.weight.any()
    assert not adapted(torch.rand(2, 1, 8, 8), "G").any()


@pytest.mark.parametrize("how", BESIDE_IN_ANY_ORDER)
def test_what_else_a_body_makes_of_the_image_is_its_own_affair(how: str) -> None:
    model = beside(BESIDE_IN_ANY_ORDER[how]).train()
    adapted = adapt(model, strategy="sliced")
    before = torch.random.get_rng_state()
    check_no_plane_is_read_by_position(adapted)
    assert torch.equal(before, torch.random.get_rng_state())
    assert adapted.training
    assert adapted.body.counting.calls.__length_hint__() == 100


SECOND = nn.Conv2d(3, 4, 3, padding=1)
READ_AGAIN = {
    "behind a pool": (
        Behind(lambda model, x, y: y + model.second(model.pool(x)), pool=nn.AvgPool2d(3, 1, 1), second=SECOND),
        r"the convolution 'second' takes the image too: name all that do, stem=\['stem', 'second'\]",
    ),
    "of a class of its own": (
        Behind(
            lambda model, x, y: y + model.second(x.flip(3)), second=type("Own", (nn.Conv2d,), {})(3, 4, 3, padding=1)
        ),
        r"the convolution 'second' takes the image too: name all that do, stem=\['stem', 'second'\]",
    ),
    "and not what was made first": (
        Refined(),
        r"the convolution 'first' takes the image too: name all that do, stem=\['first'\]",
    ),
}
NOT_READ = {
    "its size": Behind(
        lambda model, x, y: F.interpolate(model.second(model.to3(y)), size=x.shape[2:]),
        second=SECOND,
        to3=nn.Conv2d(4, 3, 1),
    ),
    "features joined": Behind(lambda model, x, y: torch.cat([y, y.flip(3)], dim=1)),
    "its number": Behind(lambda model, x, y: model.second(model.to3(y).view(x.size(0), 3, -1, 4)), second=SECOND,
                         to3=nn.Conv2d(4, 3, 1)),
}  # fmt: skip


@pytest.mark.parametrize("how", READ_AGAIN)
def test_a_second_reader_is_refused(how: str) -> None:
    model, said = READ_AGAIN[how]
    with pytest.raises(ValueError, match=said):
        adapt(model, strategy="sliced")


@pytest.mark.parametrize("how", NOT_READ)
def test_what_only_asks_about_the_image_reads_no_plane(how: str) -> None:
    adapted = adapt(NOT_READ[how], strategy="sliced")
    assert adapted(torch.rand(2, 1, 8, 8), "G").shape[0] == 2
