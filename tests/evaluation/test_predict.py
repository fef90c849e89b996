"""Asking a model about a split: by name, normalised, in batches, with fills."""

from __future__ import annotations

import dataclasses
import threading
from contextlib import ExitStack

import numpy as np
import pytest
import torch

from anychan.adaptation import AnyChannelModel
from anychan.channels import ChannelSet
from anychan.data import ImageArray
from anychan.evaluation import FILLS, predict_subset
from anychan.evaluation.activation import activation_map
from anychan.evaluation.predict import _in_full_float32, prepare


def probabilities(model: AnyChannelModel, x: torch.Tensor, channels: str) -> torch.Tensor:
    with torch.inference_mode():
        return model(x, channels=channels).softmax(1)


def test_answers_are_those_of_the_model_on_normalised_planes(sliced: AnyChannelModel, array: ImageArray) -> None:
    answers = predict_subset(sliced, array, "BR", batch_size=4)
    b = (array.images[:, 2].double() / 255 - 0.4) / 0.28
    r = (array.images[:, 0].double() / 255 - 0.48) / 0.27
    expected = probabilities(sliced, torch.stack([b, r], 1).float(), "BR").sort(1, descending=True)
    assert answers.subset == "BR"
    assert answers.fill == ""
    assert answers.paths == array.paths
    assert answers.labels.tolist() == array.labels.tolist()
    assert answers.top.tolist() == expected.indices[:, :5].tolist()
    np.testing.assert_allclose(answers.probability, expected.values[:, :5], atol=1e-6)
    assert answers.milliseconds is not None
    assert answers.milliseconds > 0


@pytest.mark.parametrize("order", ["RG", "RGB"])
def test_planes_in_another_order_give_the_same_answers(sliced: AnyChannelModel, array: ImageArray, order: str) -> None:
    one, other = (predict_subset(sliced, array, names) for names in (order, order[::-1]))
    assert np.array_equal(one.top, other.top)
    np.testing.assert_allclose(one.probability, other.probability, atol=1e-6)
    shuffled = dataclasses.replace(array, images=array.images[:, [1, 2, 0]], channels=ChannelSet.parse("GBR"))
    found_by_name = predict_subset(sliced, shuffled, order)
    np.testing.assert_allclose(one.probability, found_by_name.probability, atol=1e-6)


def test_batch_size_changes_nothing(sliced: AnyChannelModel, array: ImageArray) -> None:
    whole = predict_subset(sliced, array, "G", batch_size=100)
    assert whole.milliseconds is None  # of one batch, which warms up
    for size in (1, 3, 11):
        parts = predict_subset(sliced, array, "G", batch_size=size)
        assert parts.paths == whole.paths
        np.testing.assert_allclose(parts.probability, whole.probability, atol=1e-6)


def test_flips_take_the_mean_of_an_image_and_its_mirror_image(sliced: AnyChannelModel, array: ImageArray) -> None:
    answers = predict_subset(sliced, array, "RG", batch_size=4, flips=True)
    x = prepare(array.images[:, :2], sliced.channels, sliced.channels.subset("RG"))
    with torch.inference_mode():
        logits = (sliced(x, channels="RG") + sliced(x.flip(3), channels="RG")) / 2
    np.testing.assert_allclose(answers.probability[:, 0], logits.softmax(1).amax(1), atol=1e-6)
    alone = predict_subset(sliced, array, "RG", batch_size=4)
    assert not np.allclose(answers.probability, alone.probability, atol=1e-4)


@pytest.mark.parametrize("fill", FILLS)
def test_a_plain_model_answers_a_subset_through_a_fill(plain: AnyChannelModel, array: ImageArray, fill: str) -> None:
    answers = predict_subset(plain, array, "GR", fill=fill, batch_size=5)
    pixels = array.images.float() / 255
    if fill == "zeros-rescaled":
        pixels = pixels * 1.5
    pixels[:, 2] = {"mean": torch.tensor(0.4), "mean-of-present": pixels[:, :2].mean(1)}.get(fill, torch.tensor(0.0))
    mean, std = torch.tensor([0.48, 0.45, 0.4]), torch.tensor([0.27, 0.26, 0.28])
    x = (pixels - mean[:, None, None]) / std[:, None, None]
    expected = probabilities(plain, x, "RGB").sort(1, descending=True).values[:, :5]
    np.testing.assert_allclose(answers.probability, expected, atol=1e-6)
    assert (answers.subset, answers.fill) == ("GR", fill)


def test_a_plain_model_refuses_a_subset_without_a_fill(plain: AnyChannelModel, array: ImageArray) -> None:
    with pytest.raises(ValueError, match="name --fill"):
        predict_subset(plain, array, "RG")
    assert predict_subset(plain, array, None).subset == "RGB"


def test_the_input_is_channels_last(array: ImageArray, known: ChannelSet) -> None:
    x = prepare(array.images[:, :2], known, known.subset("RG"))
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert prepare(array.images[:, :1], known, known.subset("R"), "zeros").shape == (11, 3, 12, 10)


def test_the_model_is_asked_in_evaluation_mode_and_float32(sliced: AnyChannelModel, array: ImageArray) -> None:
    seen: list[tuple[bool, bool, torch.dtype]] = []

    def look(module: torch.nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        seen.append((module.training, torch.is_inference_mode_enabled(), output.dtype))

    sliced.body.get_submodule("4").register_forward_hook(look)
    predict_subset(sliced.train(), array, "R")
    predict_subset(sliced, array, "R", autocast=torch.bfloat16)
    assert seen == [(False, True, torch.float32), (False, True, torch.bfloat16)]


def test_on_a_cpu_other_devices_are_left_alone(
    drawing: AnyChannelModel, array: ImageArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To keep the random states of all GPUs starts them, and PyTorch warns where there are several."""
    asked = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: asked.append("count") or 2)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", asked.append)
    before = torch.get_rng_state()
    predict_subset(drawing, array, "R")
    planes = prepare(array.images[:1, :1], drawing.channels, drawing.channels.subset("R"))
    activation_map(drawing, planes, drawing.channels.subset("R"), 0)
    assert asked == []
    assert torch.equal(torch.get_rng_state(), before)


def test_settings_of_the_caller_are_left_alone(sliced: AnyChannelModel, array: ImageArray) -> None:
    torch.set_float32_matmul_precision("medium")
    try:
        predict_subset(sliced, array, "R")
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_where_no_stem_draws_the_random_state_is_not_touched_for_a_moment(
    sliced: AnyChannelModel, array: ImageArray
) -> None:
    seen = []
    sliced.body.get_submodule("4").register_forward_hook(lambda *_: seen.append(torch.get_rng_state()))
    before = torch.get_rng_state()
    predict_subset(sliced, array, "R")
    activation_map(sliced, torch.randn(1, 1, 12, 10, generator=torch.Generator()), sliced.channels.subset("R"), 0)
    assert len(seen) == 2
    assert all(torch.equal(state, before) for state in seen)


def test_threads_that_draw_take_turns(drawing: AnyChannelModel, array: ImageArray) -> None:
    alone = predict_subset(drawing, array, "R").probability
    answers = {}
    other = threading.Thread(target=lambda: answers.update(other=predict_subset(drawing, array, "R").probability))

    def meanwhile(*_: object) -> None:  # between two batches of the first
        if other.ident is None:
            other.start()
            other.join(timeout=0.5)
            assert other.is_alive()

    hook = drawing.body.get_submodule("4").register_forward_hook(meanwhile)
    first = predict_subset(drawing, array, "R", batch_size=4).probability
    other.join(timeout=60)
    hook.remove()
    np.testing.assert_array_equal(answers["other"], alone)
    np.testing.assert_array_equal(first, predict_subset(drawing, array, "R", batch_size=4).probability)


def test_the_last_of_several_threads_takes_the_settings_back() -> None:
    torch.set_float32_matmul_precision("medium")
    try:
        with ExitStack() as first, ExitStack() as second:
            first.enter_context(_in_full_float32)
            second.enter_context(_in_full_float32)
            first.close()
            assert torch.get_float32_matmul_precision() == "highest"
            assert torch.backends.cudnn.deterministic
            second.close()
            assert torch.get_float32_matmul_precision() == "medium"
            assert not torch.backends.cudnn.deterministic
    finally:
        torch.set_float32_matmul_precision("highest")


def test_logits_that_are_not_finite_are_refused(sliced: AnyChannelModel, array: ImageArray) -> None:
    torch.nn.init.constant_(sliced.body.get_parameter("4.bias"), float("nan"))
    with pytest.raises(ValueError, match=r"not finite for R of test/0\.png"):
        predict_subset(sliced, array, "R")


def test_what_is_not_there_is_named(sliced: AnyChannelModel, array: ImageArray) -> None:
    with pytest.raises(ValueError, match="'NIR'"):
        predict_subset(sliced, array, ["NIR"])
    with pytest.raises(ValueError, match="'median'"):
        predict_subset(sliced, array, "R", fill="median")
    nameless = AnyChannelModel(sliced.body, ["0"], ChannelSet.parse("RGB"), "sliced")
    with pytest.raises(ValueError, match="'R' has no mean"):
        predict_subset(nameless, array, "R")
    with pytest.raises(ValueError, match="batches of 0"):
        predict_subset(sliced, array, "R", batch_size=0)
    with pytest.raises(ValueError, match="device 'abacus' cannot be used"):
        predict_subset(sliced, array, "R", device="abacus")
    without_blue = dataclasses.replace(array, images=array.images[:, :2], channels=ChannelSet.parse("RG"))
    with pytest.raises(ValueError, match="no channel 'B'"):
        predict_subset(sliced, without_blue, "B")
