"""The naive answers to missing channels against loops over single pixels."""

from __future__ import annotations

import pytest
import torch

from anychan.channels import Channel, ChannelSet
from anychan.evaluation import FILLS, fill_missing
from anychan.evaluation.fills import list_fills
from anychan.evaluation.questions import list_questions

CHANNELS = ChannelSet(["B02", "B03", "B04", "B08"]).with_statistics([0.1, 0.2, 0.3, 0.4], [1.0, 1.0, 1.0, 1.0])


def one_pixel(fill: str, name: str, seen: dict[str, float]) -> float:
    """The value of one channel of one pixel, from the values that are there."""
    if name in seen:
        return seen[name] * len(CHANNELS) / len(seen) if fill == "zeros-rescaled" else seen[name]
    if fill == "mean":
        return {"B02": 0.1, "B03": 0.2, "B04": 0.3, "B08": 0.4}[name]
    return sum(seen.values()) / len(seen) if fill == "mean-of-present" else 0.0


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("names", [["B08", "B03"], ["B02"], ["B03", "B04", "B02"], ["B02", "B03", "B04", "B08"]])
def test_equals_a_loop_over_pixels(fill: str, names: list[str]) -> None:
    present = CHANNELS.subset(names)
    pixels = torch.rand(2, len(names), 3, 4, generator=torch.Generator().manual_seed(0))
    untouched = pixels.clone()
    filled = fill_missing(pixels, CHANNELS, present, fill)
    assert filled.shape == (2, 4, 3, 4)
    for n in range(2):
        for y in range(3):
            for x in range(4):
                seen = dict(zip(names, pixels[n, :, y, x].tolist(), strict=True))
                expected = [one_pixel(fill, name, seen) for name in CHANNELS.names]
                assert filled[n, :, y, x].tolist() == pytest.approx(expected, abs=1e-6)
    assert torch.equal(pixels, untouched)


def test_there_are_the_four_of_the_comparison() -> None:
    assert list(FILLS) == ["zeros", "zeros-rescaled", "mean", "mean-of-present"]


def test_an_unknown_fill_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'median'; there are zeros, zeros-rescaled, mean, mean-of-present"):
        fill_missing(torch.zeros(1, 1, 1, 1), CHANNELS, CHANNELS.subset(["B02"]), "median")


def test_numbers_of_a_measured_channel_stand_for_no_other_channel() -> None:
    """280 kelvins are no reflectance; its own mean is one."""
    channels = ChannelSet([Channel("T", 10.9, 280.0, 12.0, "measured"), Channel("B04", 0.66, 0.1, 0.05, "measured")])
    assert list_fills(channels) == ["mean"]
    planes = fill_missing(torch.full((1, 1, 1, 1), 290.0), channels, channels.subset(["T"]), "mean")
    assert planes.flatten().tolist() == pytest.approx([290.0, 0.1])
    for fill in ("zeros", "zeros-rescaled", "mean-of-present"):
        with pytest.raises(ValueError, match=f"the fill '{fill}' takes all channels to be on one scale, and 'T' is"):
            fill_missing(torch.zeros(1, 1, 1, 1), channels, channels.subset(["T"]), fill)
    assert [fill for _, fill in list_questions(channels, "plain", ["T"], "all")] == ["mean"]
    with pytest.raises(ValueError, match="fill with 'mean'"):
        list_questions(channels, "plain", ["T"], ["zeros"])


def test_the_mean_of_a_channel_that_is_not_known_is_not_guessed() -> None:
    rgb = ChannelSet.parse("RGB")
    with pytest.raises(ValueError, match="needs the mean of every channel"):
        fill_missing(torch.zeros(1, 1, 1, 1), rgb, rgb.subset("R"), "mean")
