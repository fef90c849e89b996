"""The contract, checked over the registry: number formats, borders, compilation, sizes from 1 to 64 channels."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from ._contract import CHANNELS, VARIANTS, bands, equal, every, ids, image, make, maps, promised, repeatable


@repeatable
def test_bfloat16(variant):
    conv = make(*variant)
    y = conv(image(2), "R,NIR")
    half = conv.bfloat16()(image(2, dtype=torch.bfloat16), "R,NIR")
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), y, rtol=0.05, atol=0.05 * float(y.detach().std()))


@repeatable
def test_under_autocast_kernels_are_made_in_full_precision(variant):
    conv, x = make(*variant), image(2)
    y = conv(x, "R,NIR")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = conv(x, "R,NIR")
        folded = conv.fold("R,NIR") if hasattr(conv, "kernel") and conv.promises.foldable else None
    assert cast.dtype == torch.bfloat16
    torch.testing.assert_close(cast.float(), y, rtol=0.05, atol=0.05 * float(y.detach().std()))
    if folded is not None:
        ordinary = conv.fold("R,NIR")  # made without autocast
        assert folded.weight.dtype == torch.float32
        assert torch.equal(folded.weight, ordinary.weight)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(cast, ordinary(x))


@every
def test_shapes_can_be_had_on_the_meta_device(variant):
    x = image(2, device="meta")
    rows = 9 if make(*variant).promises.merges else 18
    assert make(*variant).to("meta")(x, "R,NIR").shape == (2, 6, rows, 11)


def padding_is_all_that_differs(variant: tuple[str, dict], mode: str) -> bool:
    """Whether a strategy does with a padded image what it does with the image and padding."""
    if variant[0] == "mixed":  # its attention sees the image's mean, which zero padding leaves at zero
        return mode == "zeros"
    # A constant must not reach the zero padding; tests/nn/test_completed.py has the reference for it.
    return not (mode == "zeros" and "mean" in variant[1])


PADDED = [
    pytest.param(variant, mode, id=f"{ids(variant)}-{mode}")
    for variant in VARIANTS
    for mode in ("zeros", "reflect", "replicate", "circular")
    if promised(variant).any_order and padding_is_all_that_differs(variant, mode)
]


@pytest.mark.parametrize(("variant", "mode"), PADDED)
def test_at_the_border_it_convolves_the_padded_image(variant, mode):
    padded, valid = make(*variant, padding_mode=mode, padding=(1, 2)), make(*variant, padding=0)
    valid.load_state_dict(padded.state_dict())
    x = image(3)
    x = x - x.mean(dim=(2, 3), keepdim=True)
    wide = F.pad(x, (2, 2, 1, 1), mode="constant" if mode == "zeros" else mode)
    equal(padded(x, "R,B,NIR"), valid(wide, "R,B,NIR"))


@repeatable
def test_compiled_equals_eager_without_a_graph_break(variant):
    conv = make(*variant)
    torch.compiler.reset()
    compiled = torch.compile(conv, backend="aot_eager", fullgraph=True)
    for chosen in (CHANNELS.subset("NIR,G"), CHANNELS):
        gradients = []
        for one in (compiled, conv):
            x = image(len(chosen)).requires_grad_()
            y = one(x, chosen)
            wanted = [x, *conv.parameters()]  # those without a part, as masked's network on all channels, get zeros
            gradients.append([y, *torch.autograd.grad(y.square().mean(), wanted, materialize_grads=True)])
        for ours, expected in zip(*gradients, strict=True):
            equal(ours, expected)


@settings(max_examples=8, deadline=None)
@given(c=st.integers(1, 64), height=st.integers(3, 20), width=st.integers(3, 20), data=st.data())
@repeatable
def test_any_number_of_channels_and_any_size(variant, c, height, width, data):
    channels = bands(c)
    options = {k: v for k, v in variant[1].items() if k != "mean"}
    conv = make(variant[0], options, channels)
    subset = data.draw(st.lists(st.sampled_from(channels.names), min_size=1, unique=True))
    x = torch.randn(1, len(subset), height, width)
    y = conv(x, subset)
    assert y.shape == (1, 6, height if conv.promises.merges else height * len(subset), width)
    assert y.isfinite().all()
    size = float(y.detach().abs().max())

    def same(a: torch.Tensor, b: torch.Tensor) -> None:
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * max(size, 1.0))

    order = data.draw(st.permutations(range(len(subset))))
    permuted = conv(x[:, order], [subset[i] for i in order])
    if conv.promises.merges:
        same(permuted, y)
    else:
        same(maps(conv, permuted, len(subset)), maps(conv, y, len(subset))[:, order])
    if conv.promises.foldable:
        same(conv.fold(subset)(x), y)
