"""Statistics of each subset: what is kept, what is recomputed, and that nothing else moves."""

from __future__ import annotations

import copy
import threading

import pytest
import torch
from torch import Tensor, nn

from anychan.adaptation import AnyChannelModel, adapt, keep_statistics, recalibrate, specialize
from anychan.channels import ChannelSet

from ._small import RGB, Small, images, of, small


def state(model: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(model.state_dict())


def changed(model: nn.Module, before: dict[str, Tensor]) -> set[str]:
    return {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}


@pytest.fixture(scope="module")
def calibrated() -> AnyChannelModel:
    """Statistics of its own for each of the seven subsets."""
    model = small()
    recalibrate(model, [images(seed=1), images(seed=2)])
    return model


def by_hand(model: AnyChannelModel, subset: str, batches: list[Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean and variance of what each normalisation is given, from hooks on an ordinary network in training."""
    ordinary = specialize(model, subset).train()
    ordinary.block[1].p = 0.0
    seen: dict[str, list[Tensor]] = {"norm": [], "block.3": []}
    for path, inputs in seen.items():
        ordinary.get_submodule(path).register_forward_pre_hook(lambda _, x, to=inputs: to.append(x[0].detach()))
    ordinary.again = ordinary.block[3]
    for x in batches:
        ordinary(of(x, subset))
    return {
        path: (
            torch.stack([x.mean(dim=(0, 2, 3)) for x in inputs]).mean(dim=0),
            torch.stack([x.transpose(0, 1).flatten(1).var(dim=1) for x in inputs]).mean(dim=0),
        )
        for path, inputs in seen.items()
    }


def test_recalibrated_statistics_are_those_of_the_subsets_own_activations():
    model = small()
    batches = [images(seed=1), images(n=7, seed=2)]
    expected = {subset: by_hand(model, subset, batches) for subset in ("RGB", "RB", "G")}
    recalibrate(model, iter(batches), list(expected))
    assert [str(subset) for subset in model.subset_statistics.subsets] == ["RGB", "RB", "G"]
    for subset, norms in expected.items():
        kept = model.subset_statistics.of(RGB.subset(subset))
        assert set(kept) == {"norm", "block/3"}
        for path, (mean, variance) in norms.items():
            torch.testing.assert_close(kept[path.replace(".", "/")].running_mean, mean, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(kept[path.replace(".", "/")].running_var, variance, rtol=1e-4, atol=1e-5)


def test_recalibrating_again_begins_anew_and_leaves_other_subsets_alone():
    model, once = small(), small()
    recalibrate(once, [images(seed=3)], ["RG"])
    recalibrate(model, [images(seed=1)], ["RG", "B"])
    before = state(model)
    recalibrate(model, [images(seed=3)], ["GR"])
    assert {key.split(".")[1] for key in changed(model, before)} == {"[R,G]"}
    torch.testing.assert_close(model(of(images(), "RG"), "RG"), once(of(images(), "RG"), "RG"))
    recalibrate(model, [images(seed=4)])  # those that are kept
    assert [str(subset) for subset in model.subset_statistics.subsets] == ["RG", "B"]
    assert any(key.startswith("subset_statistics.[B]") for key in changed(model, before))


def test_recalibrating_changes_no_weight_and_nothing_of_the_models_own():
    model = small().train()
    model.body.norm.eval()  # somebody has frozen it
    model.body.norm.weight.requires_grad_(False)
    before, modes = state(model), {path: module.training for path, module in model.named_modules()}
    recording: list[bool] = []
    model.body.head.register_forward_pre_hook(lambda *_: recording.append(torch.is_grad_enabled()))
    recalibrate(model, [images()], ["RG"])
    assert recording == [False]  # no graph is built, which would take the memory of a training step
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items() if key in before)
    assert {path: module.training for path, module in model.named_modules() if path in modes} == modes
    assert all(parameter.grad is None for parameter in model.parameters())
    assert (model.body.norm.momentum, model.body.again.momentum) == (0.1, 0.1)


def test_dropout_stays_off_in_recalibration():
    model, other = small().train(), small().eval()
    recalibrate(model, [images()], ["RG"])
    recalibrate(other, [images()], ["RG"])
    for mine, its in zip(model.subset_statistics.buffers(), other.subset_statistics.buffers(), strict=True):
        torch.testing.assert_close(mine, its)


@pytest.mark.parametrize(
    ("batches", "said"),
    [
        ([images(), images(n=1)], r"shape \(2 or more, 3, H, W\), not \(1, 3, 8, 8\)"),
        ([images(), images()[:, :2]], r"shape \(2 or more, 3, H, W\), not \(4, 2, 8, 8\)"),
        ([images(), images()[0]], r"not \(3, 8, 8\)"),
        ([images(), (images(), torch.zeros(4))], "a tensor of images, without labels, not tuple"),
        ([], "no batch of images"),
        ([images(), images() * float("nan")], "the statistics for RG came out infinite or NaN"),
        ([images() * 1e30], "the statistics for RG came out infinite or NaN"),
    ],
)
def test_a_recalibration_that_fails_leaves_all_as_it_was(batches, said):
    for kept in ([], ["RG"]):
        model = small().train()
        model.body.norm.eval()
        if kept:
            recalibrate(model, [images(seed=1)], kept)
        before = state(model)
        with pytest.raises(ValueError, match=said):
            recalibrate(model, batches, ["RG", "B"])
        assert state(model).keys() == before.keys()
        assert not changed(model, before)
        assert [str(subset) for subset in model.subset_statistics.subsets] == kept
        assert model.training
        assert model.body.block.training
        assert not model.body.norm.training


def test_what_was_bound_before_does_not_see_the_recalibration():
    model = small()
    recalibrate(model, [images(seed=1)], ["RG"])
    bound, x = model.bind("RG"), of(images(n=2), "RG")
    recalibrate(model, [images(seed=2)], ["RG"])
    before = state(model)
    alone = torch.cat([bound(x[:1]), bound(x[1:])])
    torch.testing.assert_close(bound(x), alone)  # not by the batch
    torch.testing.assert_close(alone, model(x, "RG"))
    assert not changed(model, before)


def test_training_a_subset_moves_its_statistics_and_no_others():
    model = small()
    keep_statistics(model, ["RG", "B"])
    before = state(model)
    model.train()(of(images(), "RG"), "RG").sum().backward()
    moved = changed(model, before)
    assert {key.split(".")[1] for key in moved} == {"[R,G]"}
    assert len(moved) == 6  # mean, variance and count of two normalisations
    assert model.body.norm.weight.grad is not None


def test_statistics_begin_as_the_models_own_and_those_that_are_there_stay():
    model = small()
    model.train()(images(), "RGB")
    model.eval()
    expected = model(of(images(), "RG"), "RG")
    keep_statistics(model, ["RG"])
    torch.testing.assert_close(model(of(images(), "RG"), "RG"), expected)
    recalibrate(model, [images()], ["RG"])
    expected = model(of(images(), "RG"), "RG")
    keep_statistics(model, ["GR", "B"])
    torch.testing.assert_close(model(of(images(), "RG"), "RG"), expected)


def test_batches_are_counted_for_each_subset_from_its_first_on():
    model = small()
    model.body.norm.momentum = None  # a plain mean over all batches
    model.train()(images(seed=1), "RGB")
    keep_statistics(model, ["RG", "B"])
    assert model.subset_statistics.batches_seen() == {"RG": 0, "B": 0}
    model(of(images(seed=2), "RG"), "RG")
    kept = model.subset_statistics.of(RGB.subset("RG"))["norm"]
    expected = model.stems["stem"](of(images(seed=2), "RG"), RGB.subset("RG")).mean(dim=(0, 2, 3))
    torch.testing.assert_close(kept.running_mean, expected)
    read = small()
    keep_statistics(read, ["RG", "B"])
    read.load_state_dict(model.state_dict())
    assert read.subset_statistics.batches_seen() == {"RG": 1, "B": 0}


def test_scale_and_shift_of_each_subset_are_trained_apart():
    model = small()
    model.body.norm.bias.requires_grad_(False)
    keep_statistics(model, ["RG", "B"], affine=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = state(model)
    model.train()(of(images(), "RG"), "RG").square().sum().backward()
    assert model.body.norm.weight.grad is None
    optimizer.step()
    moved = {key for key in changed(model, before) if key.endswith(("norm.weight", "norm.bias", "3.weight", "3.bias"))}
    assert moved == {f"subset_statistics.[R,G].{key}" for key in ("norm.weight", "block/3.weight", "block/3.bias")}
    model.eval()
    torch.testing.assert_close(specialize(model, "RG")(of(images(), "RG")), model(of(images(), "RG"), "RG"))
    before = state(model)
    recalibrate(model, [images()])
    assert not [key for key in changed(model, before) if key.endswith(("weight", "bias"))]
    with pytest.raises(ValueError, match="affine is False, but the statistics kept so far were made with True"):
        keep_statistics(model, ["R"])


def test_a_subset_without_statistics_is_an_error_that_names_it():
    model = small()
    recalibrate(model, [images()], ["RG", "B"])
    for call in (lambda: model(images()), lambda: model.bind("RGB"), lambda: specialize(model, "RGB")):
        with pytest.raises(ValueError, match="no normalisation statistics for RGB, only for RG, B: recalibrate"):
            call()
    present = torch.tensor([[True, True, False], [True, False, True]])
    with pytest.raises(ValueError, match="statistics for RB, only"):
        model(images(n=2), present=present)


@torch.inference_mode()
def test_the_order_of_names_plays_no_part(calibrated):
    x = images()
    torch.testing.assert_close(calibrated(of(x, "BG"), "BG"), calibrated(of(x, "GB"), "GB"))
    model = small()
    recalibrate(model, [x], ["BG", "GB", ["B", "G"]])
    assert [str(subset) for subset in model.subset_statistics.subsets] == ["GB"]
    assert model.subset_statistics.of(RGB.subset("GB"))["norm"].num_batches_tracked == 1
    torch.testing.assert_close(model(of(x, "BG"), "BG"), model(of(x, "GB"), "GB"))


@torch.inference_mode()
def test_specialised_models_have_the_subsets_statistics(calibrated):
    x = images()
    outputs = []
    for subset in RGB.subsets():
        ordinary = specialize(calibrated, subset)
        outputs.append(ordinary(of(x, subset)))
        torch.testing.assert_close(outputs[-1], calibrated(of(x, subset), subset))
        assert not any(type(module).__module__.startswith("anychan") for module in ordinary.modules())
        assert ordinary.block[3] is ordinary.again
        ordinary.norm.running_mean.fill_(7)
    torch.testing.assert_close(calibrated(of(x, "B"), "B"), outputs[-1])  # no memory is shared


def test_state_dict_and_deepcopy(calibrated):
    x = of(images(), "RG")
    expected = calibrated(x, "RG").detach()
    read = small()
    keep_statistics(read)
    read.load_state_dict(calibrated.state_dict())
    torch.testing.assert_close(read(x, "RG"), expected)
    twin = copy.deepcopy(calibrated)
    recalibrate(twin, [images(seed=9)])
    torch.testing.assert_close(calibrated(x, "RG"), expected)
    assert not torch.allclose(twin(x, "RG"), expected)


@torch.inference_mode()
def test_images_of_different_subsets_go_each_with_its_own_statistics(calibrated):
    x = images(n=5)
    present = torch.tensor([[1, 1, 0], [0, 0, 1], [1, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=torch.bool)
    x[~present] = float("nan")
    logits = calibrated(x, present=present)
    for i, there in enumerate(present):
        subset = [channel for channel, is_there in zip(RGB, there, strict=True) if is_there]
        torch.testing.assert_close(logits[i : i + 1], calibrated(x[i : i + 1][:, there], subset))


@pytest.mark.parametrize(
    ("model", "subsets", "said"),
    [
        (small, ["RX"], "unknown channel 'X'"),
        (small, [], "no subset is named"),
        (small, "RG", "must be a list of channel sets, not the text 'RG'"),
        (lambda: AnyChannelModel(Small(), (), RGB, "plain"), None, "a plain model takes one channel set"),
        (lambda: adapt(nn.Sequential(nn.Conv2d(3, 2, 1)), strategy="sliced"), None, "Sequential has no batch norm"),
    ],
)
def test_what_has_no_statistics_to_keep_says_so(model, subsets, said):
    made = model()
    for call in (lambda: keep_statistics(made, subsets), lambda: recalibrate(made, [images()], subsets)):
        with pytest.raises(ValueError, match=said):
            call()


def test_threads_with_different_subsets_do_not_meet(calibrated):
    x = images()
    expected = {subset: calibrated(of(x, subset), subset).detach() for subset in RGB.subsets()}
    wrong: list[str] = []

    def work(subset: ChannelSet) -> None:
        with torch.inference_mode():
            right = [torch.allclose(calibrated(of(x, subset), subset), expected[subset]) for _ in range(30)]
            wrong.extend(str(subset) for is_right in right if not is_right)

    threads = [threading.Thread(target=work, args=(subset,)) for subset in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_compiled_equals_eager(calibrated):
    for subset in ("RG", "B"):
        x = of(images(), subset)
        expected = calibrated(x, subset)
        bound = torch.compile(calibrated.bind(subset), backend="eager", fullgraph=True)
        torch.testing.assert_close(bound(x), expected)
        whole = torch.compile(calibrated, backend="eager", fullgraph=torch.__version__ >= "2.12")
        torch.testing.assert_close(whole(x, subset), expected)
