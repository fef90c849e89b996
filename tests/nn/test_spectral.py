"""The spectral strategy against its formulas in plain loops, and what must follow from them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from anychan.channels import Channel, ChannelSet
from anychan.nn import SpectralConv2d

from . import _slow

# Sentinel-2's thirteen bands, in micrometres.
SENTINEL2 = ChannelSet(
    Channel(name, wavelength)
    for name, wavelength in [
        ("B01", 0.443), ("B02", 0.490), ("B03", 0.560), ("B04", 0.665), ("B05", 0.705), ("B06", 0.740), ("B07", 0.783),
        ("B08", 0.842), ("B8A", 0.865), ("B09", 0.945), ("B10", 1.375), ("B11", 1.610), ("B12", 2.190),
    ]
)  # fmt: skip
RGB = ChannelSet([Channel("R", 0.665), Channel("G", 0.56), Channel("B", 0.49)])


def made(channels: ChannelSet = RGB, outputs: int = 5, **options) -> SpectralConv2d:
    torch.manual_seed(0)
    return SpectralConv2d(len(channels), outputs, **{"kernel_size": 3, "channels": channels, **options})


def kernel_at(conv: SpectralConv2d, wavelength: float) -> torch.Tensor:
    """A slice of the size it has on the full set, flat."""
    return conv.kernel([Channel("at", wavelength)])[0].detach().flatten() / conv.in_channels


def slow_linear(layer: nn.Linear, inputs: list[float]) -> list[float]:
    rows = zip(_slow.array(layer.weight), _slow.array(layer.bias), strict=True)
    return [sum(w * value for w, value in zip(row, inputs, strict=True)) + b for row, b in rows]


def slow_slice(conv: SpectralConv2d, wavelength: float) -> np.ndarray:
    frequencies = [(1 / 16) * 64 ** (k / 15) for k in range(16)]
    length = math.sqrt(sum(1 / f for f in frequencies))
    waves = [2 * math.pi * f * math.log2(wavelength) for f in frequencies]
    features = [
        g(w) / math.sqrt(f) / length for g in (math.sin, math.cos) for w, f in zip(waves, frequencies, strict=True)
    ]
    first, shift = _slow.array(conv.encoder.linear.weight), _slow.array(conv.encoder.linear.bias)
    hidden = [
        _slow.gelu(sum(w * f for w, f in zip(row, features, strict=True)) + b)
        for row, b in zip(first, shift, strict=True)
    ]
    last, bias = _slow.array(conv.generator.weight), _slow.array(conv.generator.bias)
    values = [sum(w * h for w, h in zip(row, hidden, strict=True)) + b for row, b in zip(last, bias, strict=True)]
    return np.array(values).reshape(conv.out_channels, *conv.kernel_size)


@pytest.mark.parametrize("wavelengths", [[0.665], [0.49, 10.9], [2.19, 0.56, 0.7, 0.665]])
def test_it_is_the_formula(wavelengths):
    conv = made(padding=1, hidden=7, dtype=torch.float64)
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    channels = [Channel(f"w{w}", w) for w in wavelengths]
    x = torch.randn(1, len(channels), 5, 6, dtype=torch.float64)
    weight = np.stack([slow_slice(conv, w) for w in wavelengths], axis=1) * 3 / len(channels)
    expected = _slow.conv2d(_slow.array(x[0]), weight, padding=1) + _slow.array(conv.bias)[:, None, None]
    np.testing.assert_allclose(_slow.array(conv(x, channels)[0]), expected, rtol=1e-9, atol=1e-9)


def mixes_bands(slices_SP: torch.Tensor, outputs: int, faulty: bool) -> torch.Tensor:
    """A kernel (O, S, 3, 3) of each band's numbers: taken band by band, or all at once as published code does it."""
    if faulty:
        return slices_SP.reshape(outputs, len(slices_SP), 3, 3)
    return slices_SP.reshape(len(slices_SP), outputs, 3, 3).transpose(0, 1)


def test_bands_in_another_order_give_the_same_and_the_published_reshape_does_not():
    conv, order = made(), [2, 0, 1]
    channels = [Channel("a", 0.45), Channel("b", 0.9), Channel("c", 2.2)]
    permuted = [channels[i] for i in order]
    x = torch.randn(2, 3, 8, 8)

    def agrees(y: torch.Tensor, y_permuted: torch.Tensor) -> bool:
        return torch.allclose(y, y_permuted, rtol=1e-5, atol=1e-5)

    assert agrees(conv(x, channels), conv(x[:, order], permuted))
    slices_SP = conv.generator(conv.encoder([0.45, 0.9, 2.2]))
    for faulty in (False, True):
        y = nn.functional.conv2d(x, mixes_bands(slices_SP, 5, faulty))
        y_permuted = nn.functional.conv2d(x[:, order], mixes_bands(slices_SP[order], 5, faulty))
        assert agrees(y, y_permuted) != faulty


@pytest.mark.parametrize("channels", [RGB, SENTINEL2], ids=["RGB", "Sentinel-2"])
def test_a_loaded_kernel_is_exact_at_the_known_bands_and_smooth_between_them(channels):
    conv = made(channels, outputs=8)
    ordinary = nn.Conv2d(len(channels), 8, 3)
    conv.load_kernel(ordinary.weight, ordinary.bias)
    assert conv.promises.exact
    torch.testing.assert_close(conv.kernel()[0], ordinary.weight, rtol=0, atol=1e-5)
    largest = max(float(kernel_at(conv, channel.wavelength).norm()) for channel in channels)
    for channel in channels:
        here = kernel_at(conv, channel.wavelength)
        near = kernel_at(conv, channel.wavelength * 1.003)
        assert torch.cosine_similarity(here, near, dim=0) > 0.95
    # Between and a little beyond the bands it stays of their size.
    steps = torch.linspace(0, 1, 60).tolist()
    low, high = min(channels.wavelengths) * 0.95, max(channels.wavelengths) * 1.05
    sizes = [float(kernel_at(conv, low * (high / low) ** step).norm()) for step in steps]
    assert max(sizes) < 8 * largest


def test_an_unseen_band_is_like_its_neighbours_more_than_like_others():
    conv = made()
    ordinary = nn.Conv2d(3, 5, 3)
    conv.load_kernel(ordinary.weight, ordinary.bias)
    for name, wavelength in (("R", 0.650), ("G", 0.545), ("B", 0.480)):
        similar = {
            channel.name: float(
                torch.cosine_similarity(kernel_at(conv, wavelength), kernel_at(conv, channel.wavelength), dim=0)
            )
            for channel in RGB
        }
        assert max(similar, key=similar.get) == name
        assert similar[name] > 0.9


@pytest.mark.parametrize(
    ("channels", "green", "ranges"),
    [
        (ChannelSet.parse("RGB"), 0.54, {0.56: (0.87, 0.97), 0.58: (0.31, 0.59), 0.6: (-0.02, 0.01)}),
        (RGB, 0.56, {0.58: (0.97, 0.99), 0.6: (0.81, 0.93), 0.665: (-0.02, 0.01)}),
        (SENTINEL2, 0.56, {0.58: (0.42, 0.77), 0.6: (0.18, 0.41), 0.665: (-0.03, 0.02)}),
    ],
    ids=["RGB", "three of Sentinel-2", "Sentinel-2"],
)
def test_a_loaded_green_gives_way_to_red_as_the_page_says(channels, green, ranges):
    """The ranges over five seeds in docs/theory/spectral.md, with a little room for other processors."""
    likeness: dict[float, list[float]] = {wavelength: [] for wavelength in ranges}
    for seed in range(5):
        torch.manual_seed(seed)
        conv, ordinary = SpectralConv2d(len(channels), 64, 7, channels=channels), nn.Conv2d(len(channels), 64, 7)
        conv.load_kernel(ordinary.weight, ordinary.bias)
        loaded = kernel_at(conv, green)
        for wavelength, cosines in likeness.items():
            cosines.append(float(torch.cosine_similarity(loaded, kernel_at(conv, wavelength), dim=0)))
    for wavelength, (low, high) in ranges.items():
        assert low - 0.006 < min(likeness[wavelength]) < low + 0.006
        assert high - 0.006 < max(likeness[wavelength]) < high + 0.006


def test_whether_it_is_exact_follows_the_encoder_it_has():
    conv, other = made(), made()
    assert other.promises.exact
    with torch.no_grad():
        conv.encoder.linear.weight.zero_()  # all wavelengths look alike
    assert not conv.promises.exact
    other.load_state_dict(conv.state_dict())
    assert not other.promises.exact
    meta = made(device="meta")
    assert meta.promises.exact  # as far as one can know without numbers
    meta.load_state_dict(conv.state_dict(), assign=True)
    assert not meta.promises.exact
    meta.load_state_dict(made().state_dict(), assign=True)
    assert meta.promises.exact
    assert not made(SENTINEL2, hidden=10, device="meta").promises.exact


def test_a_call_does_not_ask_what_is_exact(monkeypatch):
    conv = made()
    monkeypatch.setattr(SpectralConv2d, "_design", lambda self: pytest.fail("a decomposition for each call"))
    conv(torch.randn(1, 2, 8, 8), [Channel("SWIR", 1.61), Channel("G")])
    with pytest.raises(ValueError, match=r"channel 'R' has wavelength 0\.665 here, but was given with 2\.2"):
        conv(torch.randn(1, 1, 8, 8), [Channel("R", 2.2)])


def test_the_output_does_not_grow_with_the_number_of_bands():
    conv, x = made(bias=False), torch.randn(1, 1, 8, 8)
    alone = conv(x, [Channel("b0", 0.56)])
    for count in (2, 20, 200):
        alike = [Channel(f"b{i}", 0.56) for i in range(count)]
        torch.testing.assert_close(conv(x.expand(-1, count, -1, -1), alike), alone, rtol=1e-4, atol=1e-5)


def test_what_wavelengths_cannot_tell_apart_gets_the_mean_and_is_not_promised():
    channels = ChannelSet([Channel("a", 0.5), Channel("b", 0.5), Channel("c", 0.8)])
    conv, ordinary = made(channels), nn.Conv2d(3, 5, 3)
    conv.load_kernel(ordinary.weight, ordinary.bias)
    assert not conv.promises.exact
    mean = ordinary.weight[:, :2].mean(dim=1)
    torch.testing.assert_close(
        conv.kernel()[0], torch.stack([mean, mean, ordinary.weight[:, 2]], dim=1), rtol=0, atol=1e-5
    )
    many = ChannelSet(Channel(str(i), 0.4 * 2 ** (0.1 * i)) for i in range(20))
    assert not made(many, hidden=10).promises.exact  # more bands than hidden units
    assert made(many).promises.exact


def test_bands_that_are_almost_one_do_not_make_the_kernels_run_away():
    channels = ChannelSet([Channel("a", 0.5), Channel("b", 0.5001), Channel("c", 0.5002)])
    conv, ordinary = made(channels), nn.Conv2d(3, 5, 3)
    conv.load_kernel(ordinary.weight, ordinary.bias)
    assert not conv.promises.exact
    assert float(kernel_at(conv, 0.52).norm()) < float(ordinary.weight.detach().norm())


def test_it_begins_with_kernels_as_large_as_an_ordinary_convolution_draws():
    conv = made(SENTINEL2, outputs=64)
    drawn = nn.Conv2d(13, 64, 3).weight
    torch.testing.assert_close(conv.kernel()[0].std(), drawn.std(), rtol=0.05, atol=0)


def test_on_the_meta_device_it_can_be_made_and_loaded():
    conv = made(device="meta")
    conv.load_kernel(torch.empty(5, 3, 3, 3, device="meta"), torch.empty(5, device="meta"))
    assert conv(torch.empty(1, 2, 8, 8, device="meta"), "R,G").shape == (1, 5, 6, 6)


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="hidden is 0"):
        made(hidden=0)
    for device in ("cpu", "meta"):
        with pytest.raises(ValueError, match="'VV' of R,VV has no wavelength"):
            made(ChannelSet([Channel("R", 0.665), Channel("VV")]), device=device)
    with pytest.raises(ValueError, match="unknown channel 'VV' without a wavelength"):
        made()(torch.zeros(1, 2, 8, 8), ["R", "VV"])
