"""Batches: the right pixels under the right names, and every image once an epoch, in one or more processes."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest
import torch

from anychan.channels import ChannelSet
from anychan.data import ImageArray
from anychan.data.augment_config import AugmentationConfig
from anychan.training import batches as batches_module
from anychan.training.batches import Inputs, TrainingBatches, unaugmented
from anychan.training.config import ObjectiveConfig, TrainConfig
from anychan.training.machine import Machine

CPU = torch.device("cpu")
N, SIZE = 22, 6
KNOWN = ChannelSet(["B04", "B02"]).with_statistics([0.25, 0.5], [0.1, 0.2])  # not the order of the array


def array() -> ImageArray:
    pixels = torch.randint(0, 256, (N, SIZE, SIZE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return ImageArray(
        images=pixels.permute(0, 3, 1, 2),
        labels=torch.arange(N),  # a label of its own for each image
        paths=tuple(f"{i}.tif" for i in range(N)),
        channels=ChannelSet(["B02", "B03", "B04"]),
        classes=tuple(f"class{i}" for i in range(N)),
        skipped=(),
        fingerprint="a",
    )


def machine(channels_last: bool = True) -> Machine:
    return Machine("cpu", "float32", channels_last, processes=1)


def batches(rank: int = 0, processes: int = 1, **settings: Any) -> TrainingBatches:
    config = TrainConfig(**{"data": "", "out": ".", "strategy": "sliced", "batch_size": 8, **settings})
    return TrainingBatches(Inputs(array(), KNOWN, CPU, machine(), config.augmentation), config, CPU, rank, processes)


def test_places_are_kept_of_the_channel_sets_that_came_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches_module, "_MOST_CHOSEN", 2)
    inputs, rows = Inputs(array(), KNOWN, CPU, machine()), torch.tensor([3, 0])
    first = inputs.batch(rows, KNOWN.subset("B04")).images
    for channels in ("B02", "B04", "B02,B04", "B04,B02"):
        inputs.batch(rows, KNOWN.subset(channels))
    assert list(inputs._chosen) == [("B02", "B04"), ("B04", "B02")]
    assert torch.equal(inputs.batch(rows, KNOWN.subset("B04")).images, first)


@pytest.mark.parametrize("channels", ["B04,B02", "B02,B04", "B02", "B04"])
@pytest.mark.parametrize("channels_last", [True, False])
def test_planes_are_found_and_normalised_by_name(channels: str, channels_last: bool) -> None:
    data = array()
    rows = torch.tensor([3, 0, 21])
    chosen = KNOWN.subset(channels)
    batch = Inputs(data, KNOWN, CPU, machine(channels_last)).batch(rows, chosen)
    planes = [
        (data.images[rows, data.channels.names.index(channel.name)] / 255 - channel.mean) / channel.std
        for channel in chosen
    ]
    torch.testing.assert_close(batch.images, torch.stack(planes, dim=1), rtol=1e-5, atol=1e-5)
    assert batch.labels.tolist() == [3, 0, 21]
    assert batch.channels == chosen
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert batch.images.is_contiguous(memory_format=layout)


def test_an_epoch_sees_each_image_once_and_each_epoch_in_another_order() -> None:
    drawn = batches()
    assert drawn.steps == 2
    epochs = [[drawn.batch(epoch, step).labels.tolist() for step in range(2)] for epoch in range(3)]
    for epoch in epochs:
        labels = list(chain(*epoch))
        assert len(set(labels)) == len(labels) == 16
    assert epochs[0] != epochs[1]
    assert batches().batch(2, 1).labels.tolist() == epochs[2][1]  # without the batches before it
    assert batches(seed=1).batch(0, 0).labels.tolist() != epochs[0][0]


def test_processes_share_a_step_and_agree_on_its_channels() -> None:
    labels_alone: dict[str, Any] = {"channel_sampling": "hierarchical", "objective": ObjectiveConfig("labels")}
    alone = batches(**labels_alone)
    shares = [batches(rank, 2, **labels_alone) for rank in range(2)]
    for step in range(2):
        labels = list(chain(*(share.batch(1, step).labels.tolist() for share in shares)))
        assert labels == alone.batch(1, step).labels.tolist()
        assert shares[0].channels(1, step) == shares[1].channels(1, step) == alone.channels(1, step)
    seen = {str(alone.channels(epoch, step)) for epoch in range(10) for step in range(2)}
    assert seen == {"B04,B02", "B04", "B02"}


def test_a_sandwich_sees_all_channels_and_the_same_subsets_in_every_process() -> None:
    shares = [batches(rank, 2, objective=ObjectiveConfig(subsets=3)) for rank in range(2)]
    drawn = [shares[0].batch(epoch, step) for epoch in range(6) for step in range(2)]
    assert all(batch.channels == KNOWN and batch.images.shape[1] == 2 for batch in drawn)
    assert all(len(batch.subsets) == 3 for batch in drawn)
    assert len({tuple(map(str, batch.subsets)) for batch in drawn}) > 2
    assert shares[1].batch(1, 0).subsets == shares[0].batch(1, 0).subsets


@pytest.mark.parametrize("how", ["hierarchical", "bernoulli", "diverse"])
def test_a_sandwich_never_teaches_the_full_set_by_itself(how: str) -> None:
    settings: dict[str, Any] = {"data": "", "out": ".", "strategy": "sliced", "channel_sampling": how, "batch_size": 2}
    config = TrainConfig(**settings)
    drawn = TrainingBatches(Inputs(array(), KNOWN, CPU, machine()), config, CPU, correlation=torch.eye(2))
    subsets = [subset for epoch in range(5) for step in range(11) for subset in drawn.subsets(epoch, step)]
    assert {str(subset) for subset in subsets} == {"B04", "B02"}


def test_each_image_may_have_channels_of_its_own() -> None:
    def drawn(rank: int, step: int) -> torch.Tensor:
        present = batches(rank, 2, sampling_unit="image", batch_size=20).batch(0, step).present
        assert present is not None
        return present

    assert drawn(0, 0).shape == (10, 2)
    assert drawn(0, 0).any(dim=1).all()
    assert len(drawn(0, 0).unique(dim=0)) > 1
    assert torch.equal(drawn(0, 0), drawn(0, 0))
    assert not torch.equal(drawn(0, 0), drawn(1, 0))


@pytest.mark.parametrize("objective", ["labels", "sandwich"])
def test_unseen_subsets_are_never_drawn(objective: Any) -> None:
    drawn = batches(strategy="sliced", unseen_subsets=["B02"], objective=ObjectiveConfig(name=objective))
    steps = [(epoch, 0) for epoch in range(40)]
    if objective == "labels":
        names = {str(drawn.channels(*step)) for step in steps}
        assert names == {"B04,B02", "B04"}
    else:
        assert {tuple(map(str, drawn.subsets(*step))) for step in steps} == {("B04", "B04")}


def test_labels_alone_may_have_no_subset_left() -> None:
    drawn = batches(strategy="sliced", unseen_subsets=["B02", "B04"], objective=ObjectiveConfig("labels"))
    assert {str(drawn.channels(epoch, 0)) for epoch in range(10)} == {"B04,B02"}


@pytest.mark.parametrize(
    ("unseen", "words"),
    [
        (["B02,B04"], "unseen_subsets names B04,B02, which is all channels"),
        (["B02", "B04"], "unseen_subsets names every subset below B04,B02"),
        (["B08"], "unknown channel 'B08'"),
    ],
)
def test_subsets_that_cannot_be_left_out_are_refused(unseen: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        batches(strategy="sliced", unseen_subsets=unseen)


def test_recalibration_images_are_training_images_as_they_are() -> None:
    inputs = Inputs(array(), KNOWN, CPU, machine(), AugmentationConfig(erasing=1.0))
    seen = list(unaugmented(inputs, 17, seed=0, size=8))
    assert [len(batch) for batch in seen] == [6, 6, 5]  # each counts alike
    found = torch.cat(seen)
    assert found.shape == (17, 2, SIZE, SIZE)
    everything = Inputs(array(), KNOWN, CPU, machine()).batch(torch.arange(N), KNOWN).images
    same = (found[:, None] == everything[None]).flatten(2).all(dim=2)
    assert same.any(dim=1).all()
    assert same.any(dim=0).sum() == 17
    assert [len(batch) for batch in unaugmented(inputs, 3, seed=0, size=2)] == [2]  # one alone has no statistics


def test_augmentation_differs_between_steps_and_processes_and_is_repeatable() -> None:
    def first_pixels(epoch: int, rank: int = 0) -> torch.Tensor:
        drawn = batches(rank, 2, augmentation=AugmentationConfig(erasing=1.0))
        return (drawn.batch(epoch, 0).images == drawn.batch(epoch, 0).images.amin()).float()

    assert torch.equal(first_pixels(0), first_pixels(0))
    assert not torch.equal(first_pixels(0), first_pixels(1))
    assert not torch.equal(first_pixels(0), first_pixels(0, rank=1))


def test_a_small_data_set_is_one_batch() -> None:
    drawn = batches(batch_size=100)
    assert drawn.steps == 1
    assert len(drawn.batch(0, 0).labels) == N


def test_unequal_shares_are_refused() -> None:
    with pytest.raises(ValueError, match="a batch of 8 images cannot be shared equally by 3 processes"):
        batches(0, 3)
