"""Kernels as pictures."""

from __future__ import annotations

import numpy as np
import torch

from anychan.adaptation import adapt
from anychan.channels import ChannelSet
from anychan.evaluation.kernels import draw_kernels
from anychan.models import create_model

RGB = ChannelSet.parse("RGB")


def test_a_kernel_is_drawn_in_the_colours_of_its_channels() -> None:
    body = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.Flatten())
    with torch.no_grad():
        body[0].weight.copy_(torch.tensor([[1.0, 0.0, -1.0], [0.5, -0.5, 0.0]])[:, :, None, None])
    model = adapt(body, RGB, strategy="sliced").eval()
    black, gray, white = 0, 128, 255
    edge = [white] * 3
    drawn = draw_kernels(model, RGB)
    assert drawn[1].tolist() == [edge, [white, gray, black], edge, [191, 64, gray], edge]
    two = draw_kernels(model, RGB.subset("BG"))  # slices of two of three channels count 3/2
    assert two[1].tolist() == [edge, [gray, gray, black], edge, [gray, 32, gray], edge]
    assert draw_kernels(model, RGB.subset("B"))[1].tolist() == [edge, [black] * 3, edge, [gray] * 3, edge]
    assert np.array_equal(drawn[0], np.full((5, 3), white))


def test_other_bands_are_drawn_in_their_order() -> None:
    bands = ChannelSet(["B04", "B08", "B11", "B12"])
    model = create_model("wide4", bands, 2, "sliced", model_options={"width": 3}).eval()
    weight = model.stems["features.0.0"].kernel(bands)[0]
    drawn = draw_kernels(model, bands)[1:5, 1:5] / 255
    expected = 0.5 + 0.5 * weight[0, :3].permute(1, 2, 0) / weight.abs().max()
    np.testing.assert_allclose(drawn, expected.detach().numpy(), atol=0.003)


def test_what_has_no_kernel_of_its_channels_alone_is_not_drawn() -> None:
    for strategy in ("plain", "attentive", "mixed"):
        model = create_model("wide4", "RGB", 2, strategy, model_options={"width": 3}).eval()
        assert draw_kernels(model, RGB) is None
