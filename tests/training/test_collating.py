"""Batches of images that have different channels."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from anychan import Channel, ChannelSet, adapt, collate
from anychan.models import create_model


def test_images_of_different_channels_go_through_a_model_together() -> None:
    model = adapt(create_model("wide4", "RGB", 4, model_options={"width": 3}).body, strategy="sliced").eval()
    images = [(torch.rand(2, 16, 16), "BR", 1), (torch.rand(1, 16, 16), "G", 0), (torch.rand(3, 16, 16), "RGB", 3)]
    loader = DataLoader(images, batch_size=3, collate_fn=partial(collate, channels=model.channels))  # type: ignore[arg-type]
    ((x, present, labels),) = list(loader)
    assert labels.tolist() == [1, 0, 3]
    assert present.tolist() == [[True, False, True], [False, True, False], [True, True, True]]
    alone = [model(planes[None], channels)[0] for planes, channels, _ in images]
    torch.testing.assert_close(model(x, present=present), torch.stack(alone))


def test_planes_keep_their_type_and_channels_may_be_objects() -> None:
    x, present = collate([(torch.ones(1, 2, 2).half(), [Channel("N", 0.8)])], ChannelSet(["N", "M"]))
    assert (x.dtype, x.tolist()) == (torch.float16, [[[[1, 1], [1, 1]], [[0, 0], [0, 0]]]])
    assert present.tolist() == [[True, False]]


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        ([], "a batch needs at least one sample"),
        ([(torch.rand(1, 2, 2), "N")], "unknown channel 'N'; there are R,G,B"),
        ([(torch.rand(3, 2, 2), "RG")], r"sample 0 has planes of shape \(3, 2, 2\); for RG, .* must be \(2, 2, 2\)"),
        (
            [(torch.rand(1, 2, 2), "R"), (torch.ones(1, 2, 2).int(), "R")],
            "sample 1 has planes of torch.int32, the first",
        ),
        ([(torch.rand(1, 2, 2), "R"), (torch.rand(1, 2, 3), "R")], r"sample 1 .* \(1, 2, 3\); for R, .* \(1, 2, 2\)"),
    ],
)
def test_what_is_no_batch_is_refused(samples: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        collate(samples, "RGB")
